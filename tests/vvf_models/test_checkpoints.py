# SPDX-License-Identifier: Apache-2.0
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.vvf_models.toy import SIZE, STATE_DIM, small_bc, small_icvf
from vvf_models.checkpoints import load_checkpoint, load_config, save_checkpoint
from vvf_models.config import from_mapping, to_mapping
from vvf_models.errors import UserError
from vvf_models.policies.bc import BcPolicy
from vvf_models.runtime import load_policy, load_value
from vvf_models.values.icvf import Icvf, IcvfConfig

OLDER_CONFIGS = sorted((Path(__file__).parent / 'older_configs').glob('*.yaml'))


def write(folder, kind='icvf'):
    torch.manual_seed(0)
    if kind == 'bc':
        save_checkpoint(folder, 'bc', small_bc(), BcPolicy(small_bc()).state_dict(), 'card')
        return
    config = small_icvf(d_max=12.5, state_mean=(0.1, 0.2, 0.3), state_std=(1.0, 2.0, 3.0))
    goals = {
        'front': torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8),
        'state': torch.randn(4, STATE_DIM),
    }
    save_checkpoint(folder, 'icvf', config, Icvf(config).state_dict(), 'card', goals)


@pytest.mark.parametrize('kind', ['icvf', 'bc'])
def test_round_trip(tmp_path, kind):
    write(tmp_path / 'a', kind)
    first = load_checkpoint(tmp_path / 'a', kind)
    save_checkpoint(
        tmp_path / 'b', kind, first.config, first.model.state_dict(), 'card', first.goals
    )
    second = load_checkpoint(tmp_path / 'b')
    assert (second.kind, second.name, second.config) == (kind, 'b', first.config)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])
    assert first.goals.keys() == second.goals.keys()
    assert not second.model.training


def test_a_checkpoint_from_before_crops_had_a_ratio_is_read(tmp_path):
    write(tmp_path)
    path = tmp_path / 'config.yaml'
    entries = yaml.safe_load(path.read_text())
    del entries['crop_ratio']
    path.write_text(yaml.safe_dump(entries))
    assert load_checkpoint(tmp_path).config.crop_ratio == (0.9, 1.1)


@pytest.mark.parametrize('path', OLDER_CONFIGS, ids=lambda path: path.stem)
def test_configurations_that_were_written_once_are_read_for_good(path, tmp_path):
    # They are as they were written and stay so: a new key needs a value for them in `_LATER`.
    (tmp_path / 'config.yaml').write_text(path.read_text())
    assert load_config(tmp_path)[0] == path.stem


def test_every_configuration_survives_yaml():
    for config in (small_icvf(d_max=3.5), small_bc(), IcvfConfig()):
        text = yaml.safe_dump(to_mapping(config))
        assert from_mapping(type(config), yaml.safe_load(text), 'x') == config


def test_wrong_kind_is_named(tmp_path):
    write(tmp_path / 'a', 'bc')
    with pytest.raises(UserError, match='of kind "bc", which is no value model'):
        load_value(tmp_path / 'a')
    write(tmp_path / 'b', 'icvf')
    with pytest.raises(UserError, match='of kind "icvf", which is no policy'):
        load_policy(tmp_path / 'b')


def test_no_checkpoint_there(tmp_path):
    with pytest.raises(UserError, match=r'has no config\.yaml'):
        load_value(tmp_path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'colour_of_the_sky': 1}, 'unknown key "colour_of_the_sky"'),
        ({'discount': None}, '"discount" must be float'),
        ({'ensemble': 'two'}, '"ensemble" must be int'),
        ({'batch_size': True}, '"batch_size" must be a number'),
        ({'cameras': 'front'}, '"cameras" must be a list'),
        ({'kind': 'magic'}, '"kind" must be one of'),
        ({'discount': 2.0}, '"discount" must lie between'),
    ],
)
def test_a_wrong_key_is_named(tmp_path, change, message):
    write(tmp_path)
    path = tmp_path / 'config.yaml'
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        load_value(tmp_path)


def test_a_missing_key_is_named(tmp_path):
    write(tmp_path)
    path = tmp_path / 'config.yaml'
    mapping = yaml.safe_load(path.read_text())
    del mapping['expectile']
    path.write_text(yaml.safe_dump(mapping))
    with pytest.raises(UserError, match='the key "expectile" is missing'):
        load_value(tmp_path)


def test_yaml_that_runs_code_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / 'config.yaml').write_text('!!python/object/apply:os.getcwd []')
    with pytest.raises(UserError, match='is damaged'):
        load_value(tmp_path)


def test_a_pickle_in_place_of_the_weights_is_refused_unread(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ('a pickle was loaded',))

    write(tmp_path)
    (tmp_path / 'model.safetensors').write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match='not a safetensors file'):
        load_value(tmp_path)


def test_damaged_weights_are_one_clear_sentence(tmp_path):
    write(tmp_path)
    path = tmp_path / 'model.safetensors'
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match='not a safetensors file'):
        load_value(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match='is missing'):
        load_value(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    write(tmp_path)
    other = Icvf(replace(small_icvf(), latent_dim=8))
    save_file(other.state_dict(), tmp_path / 'model.safetensors')
    with pytest.raises(UserError, match='does not fit'):
        load_value(tmp_path)


def test_weights_with_nan_are_refused(tmp_path):
    write(tmp_path)
    path = tmp_path / 'model.safetensors'
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] = float('nan')
    save_file(tensors, path)
    with pytest.raises(UserError, match='NaN'):
        load_value(tmp_path)


def test_goals_of_another_size_are_refused(tmp_path):
    write(tmp_path)
    save_file({'front': torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, tmp_path / 'goals.safetensors')
    with pytest.raises(UserError, match='does not fit'):
        load_value(tmp_path)
