# SPDX-License-Identifier: Apache-2.0
import copy
import json

import pytest
import torch
from torch import nn

from tests.vvf_models import encoder_references as references
from vvf_models.encoders.freezing import freeze, freeze_batch_norm, freeze_features
from vvf_models.encoders.observation import ObservationEncoder
from vvf_models.encoders.registry import ENCODERS, build_encoder
from vvf_models.encoders.resnet import resnet
from vvf_models.encoders.resnet_v2 import StandardisedConv2d, fold, resnet_v2
from vvf_models.errors import UserError
from vvf_models.model_config import EncodedObservationConfig

OWN_FEATURES = {
    'small': 1024,
    'spatial': 96,
    'resnetv2-26': 2048,
    'resnetv2-50': 2048,
    'resnet34-ptr': 4096,
    'resnet50': 2048,
    'resnet34': 512,
    'resnet18': 512,
}


def test_every_name_is_tested():
    assert set(OWN_FEATURES) == set(ENCODERS)


@pytest.mark.parametrize('name', OWN_FEATURES)
@torch.no_grad()
def test_output_has_the_size_that_was_asked_for(name):
    torch.manual_seed(0)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    for asked, size in ((0, OWN_FEATURES[name]), (24, 24)):
        encoder = build_encoder(name, 64, asked).eval()
        output = encoder(images)
        assert encoder.output_dim == size
        assert output.shape == (2, size)
        assert output.isfinite().all()
        assert not torch.allclose(output[0], output[1])


@pytest.mark.parametrize('name', ['small', 'resnet34-ptr'])
def test_encoders_that_hold_on_to_a_size_take_odd_ones(name):
    assert build_encoder(name, 50, 16)(torch.zeros(1, 3, 50, 50)).shape == (1, 16)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r'no encoder "vgg"; choose one of small, spatial,'):
        build_encoder('vgg', 64, 16)


@pytest.mark.parametrize('name', json.loads(references.FILE.read_text()))
@torch.no_grad()
def test_features_equal_those_of_the_reference_implementation(name):
    expected = torch.tensor(json.loads(references.FILE.read_text())[name])
    features = references.filled_encoder(name)(references.images())
    assert expected.shape == (2, references.KEPT)
    assert expected.std() > 0.1
    torch.testing.assert_close(references.thin(features), expected, rtol=1e-3, atol=2e-4)


def test_standardised_weights_have_mean_0_and_variance_1_per_output():
    convolution = StandardisedConv2d(8, 4, 3)
    with torch.no_grad():
        convolution.weight.mul_(5).add_(3)
    weights = convolution.standardised()
    torch.testing.assert_close(weights.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(weights.var((1, 2, 3), correction=0), torch.ones(4))


def test_folding_keeps_the_features_and_the_names():
    torch.manual_seed(0)
    encoder = build_encoder('resnetv2-26', 64, 16).eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before, names = encoder(images), set(encoder.state_dict())
        fold(encoder)
        torch.testing.assert_close(encoder(images), before, atol=1e-4, rtol=1e-4)
        assert not any(isinstance(part, StandardisedConv2d) for part in encoder.modules())
        # What was folded can be kept and loaded like any other weights.
        assert set(encoder.state_dict()) == names
        again = build_encoder('resnetv2-26', 64, 16).eval()
        again.load_state_dict(encoder.state_dict())
        torch.testing.assert_close(again(images), before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('build', [lambda: resnet_v2(26), lambda: resnet(18, 8)])
def test_gradients_reach_the_first_layer(build):
    torch.manual_seed(0)
    encoder = build()
    encoder(torch.rand(2, 3, 64, 64) * 2 - 1).square().mean().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in encoder.parameters())


def one_step(model, encoder):
    """Trains whatever still learns on one batch; gives the encoder's state before and after."""
    before = copy.deepcopy(encoder.state_dict())
    model.train()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=1.0)
    model(torch.rand(4, 3, 32, 32) * 2 - 1).square().mean().backward()
    optimizer.step()
    return before, encoder.state_dict()


def changed(before, after, *, buffers):
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    names = [name for name in before if name.endswith(statistics) == buffers]
    return any(not torch.equal(before[name], after[name]) for name in names)


def test_training_moves_weights_and_statistics_of_an_encoder_that_is_not_frozen():
    encoder = resnet(18)
    before, after = one_step(nn.Sequential(encoder, nn.Linear(512, 1)), encoder)
    assert changed(before, after, buffers=True)
    assert changed(before, after, buffers=False)


def test_frozen_encoder_stays_when_what_contains_it_trains():
    encoder = freeze(resnet(18))
    model = nn.Sequential(encoder, nn.Linear(512, 1))
    before, after = one_step(model, encoder)
    assert not changed(before, after, buffers=True)
    assert not changed(before, after, buffers=False)
    assert model.training
    assert model[1].weight.grad is not None


def test_frozen_encoder_lets_gradients_through():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    freeze(resnet(18))(images).sum().backward()
    assert images.grad.abs().max() > 0


@pytest.mark.parametrize(
    ('name', 'learning'),
    [
        ('small', {'project'}),
        ('resnetv2-26', {'project'}),
        ('resnet34-ptr', {'project'}),
        ('resnet18', {'fc'}),
    ],
)
def test_frozen_features_leave_the_layers_on_top_free(name, learning):
    config = EncodedObservationConfig(
        cameras=('front',), image_size=32, state_dim=3, encoder=name, latent_dim=8
    )
    encoder = ObservationEncoder(config)
    freeze_features(encoder)
    encoder.train()
    (network,) = encoder.cameras
    free = {n.split('.')[0] for n, p in network.named_parameters() if p.requires_grad}
    assert free == learning
    assert not network.training
    assert all(p.requires_grad for p in encoder.state.parameters())
    plain = build_encoder(name, 32, 0)
    freeze_features(plain)
    assert not any(p.requires_grad for p in plain.parameters())


def test_the_linear_layer_of_released_features_stays_with_them():
    network = resnet(18, 8)
    freeze_features(network, with_fc=True)
    assert not any(p.requires_grad for p in network.parameters())


def test_frozen_statistics_leave_the_weights_free():
    encoder = freeze_batch_norm(resnet(18))
    before, after = one_step(nn.Sequential(encoder, nn.Linear(512, 1)), encoder)
    assert not changed(before, after, buffers=True)
    assert changed(before, after, buffers=False)


def test_copy_of_a_frozen_encoder_is_frozen_by_itself():
    original = freeze(resnet(18))
    copied = copy.deepcopy(original)
    assert copied.train() is copied
    assert not copied.bn1.training
    before, after = one_step(nn.Sequential(copied, nn.Linear(512, 1)), copied)
    assert not changed(before, after, buffers=True)
