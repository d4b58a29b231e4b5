# SPDX-License-Identifier: Apache-2.0
"""LeRobot's policies: what a folder says, what a policy is shown, and one that is really loaded."""

import json
import sys
import types

import numpy as np
import pytest
import torch

from vvf_models.errors import UserError
from vvf_models.policies.lerobot import observation, prompt, read_spec
from vvf_models.runtime import load_policy

IMAGE = {'type': 'VISUAL', 'shape': [3, 32, 48]}


def write(folder, ours='kind: lerobot\ntold: true\ndt: 0.2\n', **changes):
    folder.mkdir(exist_ok=True)
    config = {
        'type': 'act',
        'input_features': {
            'observation.images.front': IMAGE,
            'observation.state': {'type': 'STATE', 'shape': [4]},
        },
        'output_features': {'action': {'type': 'ACTION', 'shape': [7]}},
        'chunk_size': 6,
        **changes,
    }
    (folder / 'config.json').write_text(json.dumps(config))
    if ours:
        (folder / 'config.yaml').write_text(ours)
    return folder


def test_a_folder_says_what_its_policy_sees_and_gives(tmp_path):
    spec = read_spec(write(tmp_path))
    assert spec.cameras == {'front': (32, 48)}
    assert (spec.state_dim, spec.action_dim, spec.horizon) == (4, 7, 6)
    assert (spec.told, spec.dt, spec.displacements) == (True, 0.2, None)
    (tmp_path / 'config.yaml').unlink()
    assert not read_spec(tmp_path).told, 'trained by LeRobot alone'
    (tmp_path / 'config.yaml').write_text('kind: bc\n')
    assert read_spec(tmp_path) is None
    assert read_spec(tmp_path / 'nowhere') is None


@pytest.mark.parametrize(
    ('changes', 'words'),
    [({'type': 'diffusion'}, "kind 'diffusion' cannot"), ({'chunk_size': None}, 'damaged')],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        read_spec(write(tmp_path, **changes))


def test_an_observation_has_lerobots_names_units_and_sizes(tmp_path):
    spec = read_spec(write(tmp_path))
    white = np.full((64, 96, 3), 255, np.uint8)
    batch = observation(spec, {'front': white, 'other': white}, np.arange(4.0), 'fold')
    assert set(batch) == {'observation.images.front', 'observation.state', 'task'}
    assert batch['observation.images.front'].shape == (1, 3, 32, 48)
    torch.testing.assert_close(batch['observation.images.front'], torch.ones(1, 3, 32, 48))
    assert batch['observation.state'].tolist() == [[0, 1, 2, 3]]
    assert batch['task'] == ['fold']
    for images, state, words in (
        ({}, np.zeros(4), 'no image of camera "front"'),
        ({'front': white[0]}, np.zeros(4), 'must be'),
        ({'front': white}, None, 'must have 4 numbers'),
        ({'front': white}, np.full(4, np.nan), 'NaN'),
    ):
        with pytest.raises(ValueError, match=words):
            observation(spec, images, state, 'fold')


def test_the_indicator_is_a_line_below_the_instruction():
    assert prompt('fold', 'positive') == 'fold\nAdvantage: positive'
    assert prompt('fold', 'negative') == 'fold\nAdvantage: negative'
    assert prompt('fold', 'none') == 'fold'


def test_without_lerobot_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lerobot', None)
    with pytest.raises(UserError, match='pip install lerobot'):
        load_policy(write(tmp_path))


@pytest.mark.parametrize(
    ('text', 'said'),
    [('Run: migrate it\n\nOriginal error: no processor.', 'Run: migrate it Original error: no'),
     ('', r'\(MigrationError\)')],
)  # fmt: skip
def test_whatever_lerobot_raises_is_one_sentence(tmp_path, monkeypatch, text, said):
    class MigrationError(Exception):
        pass

    class Config:
        @staticmethod
        def from_pretrained(folder, **how):
            raise MigrationError(text)

    parts = ('', '.configs', '.configs.policies', '.policies', '.policies.factory')
    modules = {part: types.ModuleType(f'lerobot{part}') for part in parts}
    modules['.configs.policies'].PreTrainedConfig = Config
    modules['.policies.factory'].get_policy_class = None
    modules['.policies.factory'].make_pre_post_processors = None
    for module in modules.values():
        monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(UserError, match=f'cannot load this policy .*{said}') as caught:
        load_policy(write(tmp_path))
    assert '\n' not in str(caught.value)


def test_a_policy_that_lerobot_saved_acts(tmp_path):
    pytest.importorskip('lerobot.policies.act.modeling_act', reason='LeRobot is not installed')
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    torch.manual_seed(0)
    config = ACTConfig(
        input_features={
            'observation.images.front': PolicyFeature(FeatureType.VISUAL, (3, 64, 64)),
            'observation.state': PolicyFeature(FeatureType.STATE, (4,)),
        },
        output_features={'action': PolicyFeature(FeatureType.ACTION, (7,))},
        chunk_size=6,
        n_action_steps=6,
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        pretrained_backbone_weights=None,
        device='cpu',
    )
    stats = {
        'observation.images.front': {'mean': torch.zeros(3, 1, 1), 'std': torch.ones(3, 1, 1)},
        'observation.state': {'mean': torch.zeros(4), 'std': torch.ones(4)},
        'action': {'mean': torch.full((7,), 5.0), 'std': torch.full((7,), 1e-3)},
    }
    ACTPolicy(config).save_pretrained(tmp_path)
    for part in make_pre_post_processors(config, dataset_stats=stats):
        part.save_pretrained(tmp_path)
    policy = load_policy(tmp_path)
    policy.set_instruction('fold')
    chunk = policy.act({'front': np.zeros((80, 60, 3), np.uint8)}, np.zeros(4, np.float32))
    assert chunk.shape == (6, 7)
    assert np.abs(chunk - 5).max() < 0.1, 'in the units of the data'
    with pytest.raises(UserError, match='without an indicator'):
        policy.ask_for(indicator='negative')
