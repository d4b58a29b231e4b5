# SPDX-License-Identifier: Apache-2.0
"""What ViVa stands on: codecs, Wan's own weights, texts, and the sizes of the presets."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import yaml
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import save_file

from tests.vvf_models.toy import SIZE, small_viva
from vvf_models.config import from_mapping
from vvf_models.errors import UserError
from vvf_models.values.base import Goal
from vvf_models.values.viva import Viva, VivaConfig
from vvf_models.values.viva_backbone import load_backbone
from vvf_models.values.viva_codec import PatchCodec, WanCodec, fit_into, latent_shape

PRESETS = Path(__file__).parents[2] / 'config' / 'models'


def preset(name, **changes):
    entries = yaml.safe_load((PRESETS / f'{name}.yaml').read_text())
    assert entries.pop('kind') == 'viva'
    return from_mapping(VivaConfig, {**entries, **changes}, name, partial=True)


def smooth_images(count, size=SIZE, seed=0):
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=source) * 2 - 1
    return F.interpolate(coarse, (size, size), mode='bilinear')


@pytest.fixture(scope='module')
def vae_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('wan')
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=6,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.1 * n for n in range(6)],
        latents_std=[1.0 + n for n in range(6)],
        scale_factor_spatial=2,
    )
    vae.save_pretrained(folder)
    return folder


def wan(folder, **changes):
    return small_viva(
        **{
            'codec': 'wan-vae',
            'codec_folder': str(folder),
            'codec_stride': 2,
            'codec_channels': 6,
            'frame_size': (16, 12),
            **changes,
        }
    )


def test_all_components_of_a_patch_give_the_image_back():
    codec = PatchCodec(small_viva(codec_channels=48))
    images = torch.rand(20, 3, SIZE, SIZE) * 2 - 1
    assert codec.fit(images) == pytest.approx(1.0, abs=1e-4)
    latents = codec.encode(images)
    assert latents.shape == (20, 48, 4, 4) == (20, *latent_shape(small_viva(codec_channels=48)))
    torch.testing.assert_close(codec.decode(latents), images, atol=1e-3, rtol=0)
    assert float(latents.square().mean()) == pytest.approx(1.0, abs=0.02)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(48), atol=1e-3, rtol=0)


def test_few_components_keep_what_varies_most():
    images = smooth_images(60)
    codec = PatchCodec(small_viva(codec_channels=9))
    explained = codec.fit(images)
    assert 0.9 < explained < 1
    error = (codec.decode(codec.encode(images)) - images).square().mean()
    assert float(error) < 0.1 * float(images.var())
    spread = codec.encode(images).std((0, 2, 3))
    assert spread[0] > 1.5 * spread[-1]  # the root of the components' own spread
    even = PatchCodec(small_viva(codec_channels=9, codec_whiten=1.0))
    even.fit(images)
    torch.testing.assert_close(even.encode(images).std((0, 2, 3)), torch.ones(9), atol=0.05, rtol=0)


def test_an_image_is_fitted_into_a_frame_with_black_around_it():
    fitted = fit_into(torch.ones(1, 3, 10, 20), (16, 12))
    assert fitted.shape == (1, 3, 16, 12)
    rows = fitted[0, 0].mean(1)
    assert rows.tolist() == [-1] * 5 + [1] * 6 + [-1] * 5
    square = fit_into(torch.ones(1, 3, 320, 320), (384, 320))
    assert square[0, 0, :, 0].tolist() == [-1] * 32 + [1] * 320 + [-1] * 32


def test_the_autoencoder_of_wan_takes_an_image_as_a_video_of_one_frame(vae_folder):
    codec = WanCodec(wan(vae_folder))
    images = smooth_images(2)
    latents = codec.encode(images)
    assert latents.shape == (2, 6, 8, 6) == (2, *latent_shape(wan(vae_folder)))
    vae = AutoencoderKLWan.from_pretrained(vae_folder, local_files_only=True)
    with torch.no_grad():
        video = fit_into(images, (16, 12))[:, :, None]
        plain = vae.encode(video).latent_dist.mode()[:, :, 0]
    scale = torch.arange(6.0)[:, None, None]
    torch.testing.assert_close(latents, (plain - 0.1 * scale) / (1 + scale))
    assert not codec.state_dict()  # it stays where it is
    with pytest.raises(UserError, match='has 6 channels at stride 2'):
        WanCodec(wan(vae_folder, codec_channels=5))
    with pytest.raises(UserError, match='set "codec_folder"'):
        WanCodec(wan('')).encode(images)
    with pytest.raises(UserError, match='holds no autoencoder'):
        WanCodec(wan(vae_folder.parent / 'nowhere'))


def test_weights_of_wan_are_taken_from_a_folder(tmp_path):
    config = small_viva(output='velocity', backbone_folder=str(tmp_path))
    torch.manual_seed(5)
    pretrained = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=24,
        out_channels=24,
        text_dim=4,
        freq_dim=32,
        ffn_dim=64,
        num_layers=1,
    )
    pretrained.save_pretrained(tmp_path / 'transformer')
    model = Viva(config)
    load_backbone(model.backbone, config, model.shape[0])
    given = pretrained.state_dict()
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, given[name]), name
    # Cross-attention is left out without a text, and all the rest is there.
    left_out = set(given) - set(model.backbone.state_dict())
    assert all('attn2' in name or 'norm2' in name or 'text_embedder' in name for name in left_out)
    for changes, message in (
        ({'layers': 2}, 'num_layers 1, the configuration makes it 2'),
        ({'text': 'sentence'}, 'text_dim 4'),
    ):
        with pytest.raises(UserError, match=message):
            load_backbone(model.backbone, small_viva(backbone_folder=str(tmp_path), **changes), 24)
    with pytest.raises(UserError, match='holds no transformer'):
        load_backbone(model.backbone, small_viva(backbone_folder=str(tmp_path / 'no')), 24)


def test_without_a_text_the_transformer_is_wans_with_its_cross_attention_silent():
    torch.manual_seed(0)
    quiet, full = Viva(small_viva(marks=False)), Viva(small_viva(text='sentence', marks=False))
    missing = full.backbone.load_state_dict(quiet.backbone.state_dict(), strict=False)
    assert not missing.unexpected_keys
    for model in (quiet, full):
        torch.nn.init.constant_(model.backbone.proj_out.weight, 0.1)
    with torch.no_grad():
        for block in full.backbone.blocks:
            block.attn2.to_out[0].weight.zero_()
            block.attn2.to_out[0].bias.zero_()
    latents = torch.randn(2, quiet.latent_size)
    text = torch.randn(384)
    expected = full.eval().values(latents, Goal(text=text))
    torch.testing.assert_close(quiet.eval().values(latents, Goal()), expected)


def test_sentences_are_read():
    torch.manual_seed(0)
    model = Viva(small_viva(text='sentence')).eval()
    assert model.reads_text
    assert not Viva(small_viva()).reads_text
    torch.nn.init.normal_(model.backbone.proj_out.weight)
    texts = model.embed(['put the carrot into the bowl', 'open the window'])
    assert texts.shape == (2, 384)
    latents = torch.randn(3, model.latent_size)
    one, other = (model.values(latents, Goal(text=text)) for text in texts)
    assert (one - other).abs().min() > 0
    with pytest.raises(ValueError, match='needs an instruction'):
        model.values(latents, Goal())


def test_embeddings_made_beforehand_are_read_from_a_file(tmp_path):
    path = tmp_path / 'texts.safetensors'
    save_file({'fold': torch.ones(2, 5), 'long': torch.full((9, 5), 2.0)}, path)
    config = small_viva(text='file', text_file=str(path), text_dim=5, text_tokens=4)
    model = Viva(config)
    texts = model.embed(['fold', 'long']).view(2, 4, 5)
    assert texts[0].sum(1).tolist() == [5, 5, 0, 0]
    assert texts[1].unique().tolist() == [2]
    assert model.values(torch.zeros(3, model.latent_size), Goal(text=texts[0].flatten())).shape == (
        1,
        3,
    )
    with pytest.raises(UserError, match='no embedding of "unfold"'):
        model.embed(['unfold'])
    with pytest.raises(UserError, match='compute it anew'):
        Viva(small_viva(text='file', text_file=str(path), text_dim=6)).embed(['fold'])
    with pytest.raises(UserError, match='set "text_file"'):
        Viva(small_viva(text='file', text_dim=5)).embed(['fold'])


def test_the_preset_of_the_authors_has_5_billion_weights_and_840_tokens():
    config = preset('viva_wan2.2-ti2v-5b', cameras=['left', 'right', 'high'], state_dim=14)
    with torch.device('meta'):
        model = Viva(config)
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(5.0, abs=0.005)
    assert model.shape == (48, 24, 20)
    assert (model.n_clean + model.n_noisy) * model.frame_tokens == 840
    assert model.camera_tokens(0) == slice(240, 360)
    assert (config.horizon, config.output, config.sigma_shift) == (50, 'velocity', 5.0)
    assert (config.state_weight, config.value_weight, config.full_noise) == (0.5, 1.0, 0.0)


def test_tiny_presets_fit_each_other_and_into_10_megabytes():
    tiny = Viva(preset('viva_tiny'))
    video = Viva(preset('viva_tiny_video'))
    assert 4 * sum(p.numel() for p in tiny.parameters()) < 10e6
    weights, pretrained = tiny.state_dict(), video.state_dict()
    assert {n for n in set(weights) ^ set(pretrained) if not n.startswith('marks.')} == set()
    for name in set(weights) & set(pretrained) - {'noise'}:
        assert weights[name].shape == pretrained[name].shape
