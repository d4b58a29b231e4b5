# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from tests.vvf_models.toy import small_icvf
from vvf_models.encoders.freezing import freeze
from vvf_models.encoders.registry import build_encoder
from vvf_models.evaluation.gradcam import gradcam, overlay
from vvf_models.values.base import Goal, ValueConfig, ValueModel
from vvf_models.values.icvf import Icvf
from vvf_models.values.viva import Viva, VivaConfig

SIZE = 64
NO_GOAL = Goal()


class ToyModel(ValueModel):
    """The parts of a value model that Grad-CAM uses."""

    def __init__(self, cameras=('left', 'right')):
        super().__init__(ValueConfig(cameras=cameras, image_size=SIZE, state_dim=0))


class CornerModel(ToyModel):
    """Flattens the last map and reads one place of it, for each camera one of its own."""

    def __init__(self, corners):
        super().__init__(tuple(corners))
        self.encoders = nn.ModuleList(build_encoder('small', SIZE, 0) for _ in corners)
        weights = []
        for y, x in corners.values():
            weight = torch.zeros(64, 4, 4)
            weight[:, y, x] = 1.0
            weights.append(weight.flatten())
        self.register_buffer('weight', torch.cat(weights))

    def encode(self, images, state, hide_state=None):
        return torch.cat([e(image) for e, image in zip(self.encoders, images, strict=True)], 1)

    def values(self, latents, goal):
        return (latents @ self.weight)[None]


class BrightnessModel(ToyModel):
    """One encoder for all cameras, which averages over the places what is bright."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 1, 3, 2, 1)
        self.activation = nn.ReLU()
        with torch.no_grad():
            self.convolution.weight.fill_(1 / 27)
            self.convolution.bias.fill_(-0.2)

    def encode(self, images, state, hide_state=None):
        together = self.activation(self.convolution(torch.cat(images)))
        return torch.cat(together.mean((2, 3)).chunk(len(images)), 1)

    def values(self, latents, goal):
        return latents.sum(1)[None]


class FramesModel(ToyModel):
    """Latent frames [blank, left, right, value] through attention; encodes without gradients."""

    def __init__(self):
        super().__init__()
        self.codec = nn.Conv2d(3, 2, 8, 8)
        self.patches = nn.Conv3d(2, 4, (1, 2, 2), (1, 2, 2))
        self.norm = nn.LayerNorm(4, elementwise_affine=False)
        self.last_norm = nn.LayerNorm(4)
        with torch.no_grad():
            self.codec.weight.fill_(1 / 192)
            self.codec.bias.fill_(0)
            self.patches.weight.fill_(0)
            self.patches.weight[0].fill_(1 / 8)  # brightness; the other channels are constants
            self.patches.bias.copy_(torch.tensor([0.0, 0.5, -0.5, 0.0]))

    @torch.no_grad()
    def encode(self, images, state, hide_state=None):
        return torch.stack([self.codec(image) for image in images], 2).flatten(1)

    def values(self, latents, goal):
        cameras = latents.view(-1, 2, 2, 8, 8)
        empty = torch.zeros_like(cameras[:, :, :1])
        patches = self.patches(torch.cat([empty, cameras, empty], 2))
        tokens = patches.flatten(2).transpose(1, 2)
        attended = F.relu(self.norm(tokens)[:, :, :1]).mean(1, keepdim=True)  # uniform attention
        channels = torch.tensor([1.0, 0, 0, 0])
        tokens = self.last_norm(tokens + attended * channels)
        return tokens[:, -16:, 0].mean(1)[None]  # of the last frame


class PatchesModel(ToyModel):
    """A shared vision transformer that is called once for each camera."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 16, 16)
        self.norm = nn.LayerNorm(4)
        with torch.no_grad():
            self.patches.weight.fill_(0)
            self.patches.weight[0].fill_(1 / 768)
            self.patches.bias.copy_(torch.tensor([0.0, 0.5, -0.5, 0.0]))

    def encode(self, images, state, hide_state=None):
        tokens = [self.norm(self.patches(image).flatten(2).transpose(1, 2)) for image in images]
        return torch.cat([F.relu(part[:, :, 0]).mean(1, keepdim=True) for part in tokens], 1)

    def values(self, latents, goal):
        return latents.sum(1)[None]


def spots(places, cameras=2):
    """Dark images, per camera, with a bright spot whose centre (y, x) is given per observation."""
    images = [torch.full((len(places), 3, SIZE, SIZE), -0.6) for _ in range(cameras)]
    for number, place in enumerate(places):
        for camera in range(cameras):
            y, x = place[camera]
            images[camera][number, :, y - 6 : y + 6, x - 6 : x + 6] = 1.0
    return images


def share(heat, y, x, radius=16):
    """How much of the heat of an image lies around a place."""
    inside = heat[max(y - radius, 0) : y + radius, max(x - radius, 0) : x + radius]
    return inside.sum() / heat.sum()


def noise(count, cameras=2, size=SIZE):
    torch.manual_seed(0)
    return [torch.rand(count, 3, size, size) * 2 - 1 for _ in range(cameras)]


def test_heat_lies_in_the_corner_that_a_flattening_encoder_reads():
    torch.manual_seed(0)
    model = CornerModel({'left': (0, 3), 'right': (3, 0)})
    heat = gradcam(model, noise(3), None, NO_GOAL)
    assert set(heat) == {'left', 'right'}
    for number in range(3):
        assert share(heat['left'][number], 8, 56) > 0.95
        assert share(heat['right'][number], 56, 8) > 0.95
        assert max(heat[camera][number].max() for camera in heat) == pytest.approx(1, abs=0.01)
    for values in heat.values():
        assert values.shape == (3, SIZE, SIZE)
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= 1


def test_pooled_gradients_lose_the_place_that_a_flattening_encoder_reads():
    torch.manual_seed(0)
    model = CornerModel({'left': (0, 3), 'right': (3, 0)})
    heat = gradcam(model, noise(3), None, NO_GOAL, pooled=True)
    assert share(heat['left'][0], 8, 56) < 0.5


def test_camera_that_says_nothing_is_cold():
    torch.manual_seed(0)
    model = CornerModel({'left': (0, 3), 'right': (3, 0)})
    model.weight[len(model.weight) // 2 :] = 0
    heat = gradcam(model, noise(2), None, NO_GOAL)
    assert heat['left'].max() > 0.9
    assert heat['right'].max() == 0


@pytest.mark.parametrize('pooled', [False, True])
def test_heat_follows_the_bright_spot_through_a_shared_frozen_encoder(pooled):
    places = [((10, 10), (50, 20)), ((50, 50), (12, 40))]
    heat = gradcam(freeze(BrightnessModel()), spots(places), None, NO_GOAL, pooled=pooled)
    for number, (left, right) in enumerate(places):
        assert share(heat['left'][number], *left, radius=10) > 0.95
        assert share(heat['right'][number], *right, radius=10) > 0.95


@pytest.mark.parametrize('kind', [FramesModel, PatchesModel])
def test_heat_finds_the_tokens_of_each_camera_in_a_transformer(kind):
    places = [((8, 8), (56, 24)), ((56, 56), (8, 40))]
    heat = gradcam(kind(), spots(places), None, NO_GOAL)
    for number, (left, right) in enumerate(places):
        assert share(heat['left'][number], *left) > 0.7
        assert share(heat['right'][number], *right) > 0.7


@pytest.mark.parametrize('encoder', ['small', 'resnetv2-26', 'resnet18', 'resnet34-ptr'])
def test_any_encoder_of_a_real_value_model(encoder):
    torch.manual_seed(0)
    config = small_icvf(cameras=('a', 'b'), image_size=48, encoder=encoder)
    model = freeze(Icvf(config))
    images, state = noise(2, size=48), torch.zeros(2, config.state_dim)
    with torch.inference_mode():
        goal = Goal(latents=model.encode(images, state)[:1])
        first = gradcam(model, images, state, goal)
        second = gradcam(model, images, state, goal)
    for camera in ('a', 'b'):
        assert first[camera].shape == (2, 48, 48)
        assert np.isfinite(first[camera]).all()
        assert np.array_equal(first[camera], second[camera])
    assert max(heat.max() for heat in first.values()) > 0.5


def test_viva_heat_is_that_of_the_tokens_of_each_camera():
    torch.manual_seed(0)
    config = VivaConfig(cameras=('a', 'b'), image_size=SIZE, state_dim=3, layers=2, token_patch=2)
    model = freeze(Viva(config))
    images, state = noise(2), torch.zeros(2, 3)
    heat = gradcam(model, images, state, NO_GOAL)
    seen = []
    handle = model.backbone.blocks[-1].norm1.register_forward_hook(lambda *call: seen.append(call))
    given = [image.clone().requires_grad_() for image in images]
    value = model.values(model.encode(given, state), NO_GOAL).sum()
    handle.remove()
    tokens = seen[0][2]
    (gradient,) = torch.autograd.grad(value, tokens)
    product = (tokens * gradient).sum(2).relu().detach()
    expected = [product[:, model.camera_tokens(i)].view(2, 1, *model.token_grid) for i in (0, 1)]
    most = torch.cat(expected, 1).amax((1, 2, 3)).view(2, 1, 1, 1)
    for camera, small in zip('ab', expected, strict=True):
        large = F.interpolate(small / most, (SIZE, SIZE), mode='bilinear')[:, 0]
        np.testing.assert_allclose(heat[camera], large, atol=1e-4)
        assert heat[camera].max() > 0.05


def test_many_observations_are_like_each_by_itself():
    torch.manual_seed(0)
    model = CornerModel({'left': (0, 3), 'right': (3, 0)})
    images = noise(19)
    together = gradcam(model, images, None, NO_GOAL)
    alone = gradcam(model, [image[18:] for image in images], None, NO_GOAL)
    for camera in together:
        assert together[camera].shape == (19, SIZE, SIZE)
        np.testing.assert_allclose(together[camera][18], alone[camera][0], atol=1e-4)


def test_model_is_left_as_it_was():
    model = Icvf(small_icvf()).train()
    model.encoder.state.eval()
    images, state = noise(2, cameras=1, size=16), torch.zeros(2, 3)
    before = torch.get_rng_state()
    gradcam(model, images, state, Goal(latents=model.encode(images, state)[:1].detach()))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert not model.encoder.state.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert not images[0].requires_grad


def test_goals_are_no_tokens_even_if_there_are_as_many_as_places():
    torch.manual_seed(0)
    # A last map of 4 x 4, and 16 goals, whose values pass through LayerNorms as (B, 16, 32).
    model = Icvf(small_icvf(image_size=SIZE))
    images, state = noise(3, cameras=1), torch.zeros(3, 3)
    goals = torch.randn(16, model.latent_size)
    heat = gradcam(model, images, state, Goal(latents=goals))['front']
    single = gradcam(model, images, state, Goal(latents=torch.cat([goals, goals])))['front']
    np.testing.assert_allclose(heat, single, atol=1e-4)


class MeanModel(BrightnessModel):
    def encode(self, images, state, hide_state=None):
        return torch.stack([image.mean((1, 2, 3)) for image in images], 1)


def test_model_without_a_feature_map_is_refused():
    with pytest.raises(ValueError, match='no feature map leads from camera "left"'):
        gradcam(MeanModel(), noise(2), None, NO_GOAL)


class FlatModel(BrightnessModel):
    def values(self, latents, goal):
        return F.relu(latents.sum(1) - 1000)[None]


def test_value_that_nothing_moves_has_no_heat():
    heat = gradcam(FlatModel(), noise(2), None, NO_GOAL)
    assert heat['left'].max() == 0


def test_overlay_colours_only_where_it_is_hot():
    image = np.full((40, 60, 3), 100, np.uint8)
    heat = np.zeros((4, 6), np.float32)
    assert np.array_equal(overlay(image, heat), image)
    heat[0, 5] = 1
    result = overlay(image, heat)
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    red, _, blue = result[2, 57].astype(int)
    assert red > blue + 30
    assert np.array_equal(result[20:], image[20:])
