# SPDX-License-Identifier: Apache-2.0
import pickle

import pytest
import torch
from torch import nn

from vvf_models.encoders.registry import build_encoder
from vvf_models.encoders.released import load_released
from vvf_models.encoders.resnet import resnet
from vvf_models.errors import UserError


class Convnet(nn.Module):
    """What both projects save: a ResNet as `convnet`, inside DataParallel."""

    def __init__(self, depth, output_dim):
        super().__init__()
        self.convnet = resnet(depth, output_dim)


def payload(key, depth, output_dim):
    torch.manual_seed(depth)
    state = nn.DataParallel(Convnet(depth, output_dim)).state_dict()
    if key == 'r3m':
        state['module.lang_enc.model.embeddings.word_embeddings.weight'] = torch.zeros(3, 2)
        state['module.lang_rew.pred.0.bias'] = torch.zeros(3)
    return {key: state, 'global_step': 7}


def saved(folder, content):
    torch.save(content, folder / 'model.pt')
    return folder / 'model.pt'


def assert_filled(encoder, content, key, *, without=()):
    for name, tensor in encoder.state_dict().items():
        if not name.startswith(without):
            assert torch.equal(tensor, content[key][f'module.convnet.{name}']), name


def test_vip_fills_an_encoder_of_its_own_shape(tmp_path):
    content = payload('vip', 50, 1024)
    encoder = build_encoder('resnet50', 224, 1024)
    assert load_released(encoder, saved(tmp_path, content)) == 'vip'
    assert_filled(encoder, content, 'vip')


@pytest.mark.parametrize('depth', [18, 34, 50])
def test_r3m_fills_its_features(tmp_path, depth):
    content = payload('r3m', depth, 0)
    encoder = build_encoder(f'resnet{depth}', 224, 0)
    assert load_released(encoder, saved(tmp_path, content)) == 'r3m'
    assert_filled(encoder, content, 'r3m')


def test_every_camera_of_a_model_is_filled_and_another_last_layer_kept(tmp_path):
    content = payload('vip', 18, 1024)
    model = nn.ModuleList([build_encoder('resnet18', 64, 32), build_encoder('resnet18', 64, 0)])
    last = model[0].fc.weight.clone()
    load_released(model, saved(tmp_path, content))
    for encoder in model:
        assert_filled(encoder, content, 'vip', without=('fc.',))
    assert torch.equal(model[0].fc.weight, last)


def test_other_depth_names_the_encoder_to_choose(tmp_path):
    path = saved(tmp_path, payload('r3m', 34, 0))
    with pytest.raises(UserError, match='holds a ResNet-34, but the encoder is resnet18'):
        load_released(resnet(18), path)


def test_model_without_a_plain_resnet_is_refused(tmp_path):
    path = saved(tmp_path, payload('r3m', 18, 0))
    with pytest.raises(UserError, match='fit the encoders resnet18'):
        load_released(build_encoder('small', 64, 16), path)


def incomplete():
    content = payload('vip', 18, 0)
    del content['vip']['module.convnet.layer3.1.bn2.running_var']
    return content


def not_finite():
    content = payload('vip', 18, 0)
    content['vip']['module.convnet.conv1.weight'][0] = torch.nan
    return content


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (resnet(18).state_dict(), 'not laid out'),
        ({'vip': {'module.other': torch.zeros(1)}}, 'not laid out'),
        ({'vip': 3}, 'not laid out'),
        ([torch.zeros(1)], 'not laid out'),
        (incomplete(), 'not hold a whole torchvision ResNet-18'),
        (not_finite(), 'NaN'),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    encoder = resnet(18)
    before = encoder.conv1.weight.clone()
    with pytest.raises(UserError, match=message):
        load_released(encoder, saved(tmp_path, content))
    assert torch.equal(encoder.conv1.weight, before)


class Trap:
    def __reduce__(self):
        return (open, ('trap', 'w'))


def test_pickle_that_runs_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'plain.pt').write_bytes(pickle.dumps({'vip': Trap()}, protocol=2))
    for path in (saved(tmp_path, {'vip': Trap()}), tmp_path / 'plain.pt'):
        with pytest.raises(UserError, match='not a PyTorch file of weights'):
            load_released(resnet(18), path)
    assert not (tmp_path / 'trap').exists()


@pytest.mark.parametrize('content', [b'', b'no weights', b'PK\x03\x04 broken'])
def test_broken_file_is_refused(tmp_path, content):
    (tmp_path / 'model.pt').write_bytes(content)
    with pytest.raises(UserError, match='not a PyTorch file of weights'):
        load_released(resnet(18), tmp_path / 'model.pt')


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        load_released(resnet(18), tmp_path / 'none.pt')
    with pytest.raises(UserError, match='not a PyTorch file'):
        load_released(resnet(18), tmp_path)
