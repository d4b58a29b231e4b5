# SPDX-License-Identifier: Apache-2.0
"""The vision-language backbone, with tiny SigLIP and Gemma models made here."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vvf_models.toy import SIZE, small_distributional, toy_episode, toy_store
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import episode_values
from vvf_models.runtime import load_value
from vvf_models.training import train
from vvf_models.training.distributional import DistributionalLearner
from vvf_models.values.base import Goal
from vvf_models.values.distributional import DistributionalValue
from vvf_models.values.siglip_gemma import prompt_of, state_bins

WORDS = 'Task : put the dot to disc , State Value - ' + ' '.join(map(str, range(256)))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """SigLIP as it is downloaded, with its text model, and Gemma with a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipModel,
    )

    torch.manual_seed(0)
    out = tmp_path_factory.mktemp('vlm')
    size = {
        'hidden_size': 32,
        'intermediate_size': 48,
        'num_hidden_layers': 1,
        'num_attention_heads': 2,
    }
    siglip = SiglipConfig(
        vision_config={**size, 'image_size': 24, 'patch_size': 8},
        text_config={**size, 'vocab_size': 20},
    )
    SiglipModel(siglip).save_pretrained(out / 'vision')
    names = ['<pad>', '<unk>', *dict.fromkeys(WORDS.split())]
    gemma = Gemma3TextConfig(
        **size, vocab_size=len(names), num_key_value_heads=1, head_dim=16, pad_token_id=0
    )
    Gemma3ForCausalLM(gemma).to(torch.bfloat16).save_pretrained(out / 'language')
    vocabulary = {name: number for number, name in enumerate(names)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token='<unk>'))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token='<pad>', unk_token='<unk>'
    )
    tokenizer.save_pretrained(out / 'language')
    return out


def config_of(folder, **changes):
    defaults = {
        'backbone': 'siglip-gemma',
        'vlm_folder': str(folder),
        'wrong_instruction_share': 0.0,
        'batch_size': 4,
        'evaluate_every': 2,
        'state_noise': 0.0,
    }
    return small_distributional(**{**defaults, **changes})


def test_the_prompt_holds_the_instruction_and_the_bins():
    assert prompt_of('put_the\n dot', [0, 255]) == 'Task: put the dot, State: 0 255\nValue: '
    assert prompt_of('put the dot', []) == 'Task: put the dot\nValue: '
    bins = state_bins(torch.tensor([[-3.0, -1.0, 0.0, 0.999, 1.0, 7.0]]))
    assert bins.tolist() == [[0, 0, 128, 255, 255, 255]]


@pytest.mark.parametrize('frozen', [False, True])
def test_two_steps_of_training_survive_saving_and_loading(folder, tmp_path, frozen):
    store = toy_store(8)
    config = config_of(folder, freeze_encoder=frozen, learning_rate=1e-2)
    metrics = train('distributional', store, config, tmp_path, steps=2, progress=False)
    assert np.isfinite(metrics['held_out_loss'])
    weights = load_file(tmp_path / 'model.safetensors')
    towers = [name for name in weights if '.vision.' in name or '.language.' in name]
    assert bool(towers) != frozen
    assert not any('text_model' in name for name in weights)
    runtime = load_value(tmp_path)
    # With the hooks that leave frozen models out of a checkpoint passed by.
    all_weights = torch.nn.Module.state_dict
    kept = all_weights(runtime.model.encoder)
    pretrained = all_weights(DistributionalValue(config).encoder)
    assert kept.keys() == pretrained.keys()
    changed = [name for name in kept if not torch.equal(kept[name], pretrained[name])]
    assert bool(changed) != frozen
    runtime.set_instruction(store.instructions[0])
    episode = toy_episode(0)
    found = runtime.value(runtime.encode(episode.images, episode.state))
    assert ((found.value >= -1) & (found.value <= 0)).all()
    ours = episode_values(runtime.model, store, np.array([0]))[0]
    np.testing.assert_allclose(found.value, ours, atol=1e-5)


def test_values_depend_on_image_state_and_instruction(folder):
    torch.manual_seed(0)
    learner = DistributionalLearner.create(config_of(folder), toy_store(8), 0)
    model = learner.model.eval()
    images = [torch.rand(2, 3, SIZE, SIZE) * 2 - 1]
    state = torch.zeros(2, 3)
    text = model.embed(['put the dot to disc', 'put the disc to dot, to the dot'])
    with torch.inference_mode():

        def value(shown, given, row):
            return model.values(model.encode(shown, given), Goal(text=text[row]))[0]

        plain = value(images, state, 0)
        assert not torch.equal(plain, value([images[0].flip(0)], state, 0))
        assert not torch.equal(plain, value(images, state + 0.5, 0))
        assert not torch.equal(plain, value(images, state, 1))
        # Alone or padded among others, an instruction is read alike.
        alone = model.embed(['put the dot to disc'])[0]
        again = model.values(model.encode(images, state), Goal(text=alone))[0]
        torch.testing.assert_close(again, plain)
        latents = model.encode(images, state)
        mixed = model.logits(latents, text)
        single = model.logits(latents[:1], text[:1])
        torch.testing.assert_close(mixed[:1], single, atol=1e-4, rtol=1e-4)
        hidden = model.encode(images, state, torch.tensor([True, False]))
        shown = model.logits(hidden, text[:1].expand(2, -1))
        assert not torch.allclose(shown[0], mixed[0])


def test_cameras_are_averaged(folder):
    torch.manual_seed(0)
    config = config_of(folder, cameras=('left', 'right'), state_dim=0)
    model = DistributionalValue(config).eval()
    left, right = torch.rand(2, 1, 3, SIZE, SIZE) * 2 - 1
    with torch.inference_mode():
        both = model.encode([left, right], None)
        ends = model.encode([left, left], None), model.encode([right, right], None)
    torch.testing.assert_close(both, sum(ends) / 2)
    assert both.shape == (1, model.latent_size)


def test_state_statistics_are_percentiles(folder):
    store = toy_store(12)
    learner = DistributionalLearner.create(config_of(folder), store, 0)
    state = store.state[store.frames_of(learner.train_episodes)]
    given = learner.model.normalise(torch.from_numpy(state))
    low, high = np.percentile(given.numpy(), [1, 99], axis=0)
    np.testing.assert_allclose(low, -1, atol=1e-4)
    np.testing.assert_allclose(high, 1, atol=1e-4)


def test_what_is_wrong_with_the_folder_is_said(folder, tmp_path):
    with pytest.raises(UserError, match='needs "vlm_folder"'):
        DistributionalValue(config_of(''))
    with pytest.raises(UserError, match='vision holds no model'):
        DistributionalValue(config_of(tmp_path))
    swapped = tmp_path / 'swapped'
    shutil.copytree(folder / 'language', swapped / 'vision')
    with pytest.raises(UserError, match='type "gemma3_text"'):
        DistributionalValue(config_of(swapped))
    pickled = tmp_path / 'pickled'
    shutil.copytree(folder, pickled)
    weights = pickled / 'language' / 'model.safetensors'
    tensors = load_file(weights)
    torch.save(tensors, pickled / 'language' / 'pytorch_model.bin')
    weights.unlink()
    with pytest.raises(UserError, match='safetensors'):
        DistributionalValue(config_of(pickled))
    del tensors['model.norm.weight']
    save_file(tensors, weights, {'format': 'pt'})
    with pytest.raises(UserError, match='lacks some of its weights'):
        DistributionalValue(config_of(pickled))
    for file in (pickled / 'language').glob('tokenizer*'):
        file.unlink()
    shutil.copy(folder / 'language' / 'model.safetensors', weights)
    with pytest.raises(UserError, match='no tokenizer'):
        DistributionalValue(config_of(pickled))
