# SPDX-License-Identifier: Apache-2.0
"""How far each engine may be from eager torch, and what it says of itself."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tests.vvf_models.toy import small_distributional, small_icvf, small_viva
from vvf_models.checkpoints import save_checkpoint
from vvf_models.errors import UserError
from vvf_models.runtime import ENGINES, gpu, int8, load_value, openvino_parts
from vvf_models.runtime.engine import Engine
from vvf_models.values.base import Goal
from vvf_models.values.distributional import DistributionalValue
from vvf_models.values.icvf import Icvf
from vvf_models.values.vip import Vip, VipConfig
from vvf_models.values.viva import Viva
from vvf_sim.collect import collect_episode
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.worlds.layout import PickPlaceConfig

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / 'checkpoints' / 'icvf_pick_place'
SIZE = 64
STATE_DIM = 16
SEEN = {'cameras': ('wrist',), 'image_size': SIZE, 'state_dim': STATE_DIM}


@pytest.fixture(scope='module')
def frames():
    """Images per camera and states of two simulated episodes."""
    expert = ExpertConfig.demonstrator()
    episodes = [
        collect_episode('pick_place', seed, PickPlaceConfig(image_size=SIZE), expert)
        for seed in (3, 4)
    ]
    images = {
        camera: np.concatenate([each.images[camera] for each in episodes])
        for camera in ('shoulder', 'wrist')
    }
    return images, np.concatenate([each.state for each in episodes])


@pytest.fixture(scope='module', autouse=True)
def cache(tmp_path_factory):
    """What is converted here stays here."""
    folder = tmp_path_factory.mktemp('cache')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(folder))
        yield folder / 'vvf' / 'openvino'


def icvf(folder, frames, **changes):
    torch.manual_seed(0)
    config = small_icvf(**SEEN, d_max=12.5, **changes)
    images, state = frames
    goals = {
        'wrist': torch.from_numpy(images['wrist'][-2:]).permute(0, 3, 1, 2),
        'state': torch.from_numpy(state[-2:]),
    }
    save_checkpoint(folder, 'icvf', config, Icvf(config).state_dict(), 'card', goals)
    return folder


@pytest.fixture(scope='module')
def small(tmp_path_factory, frames):
    return icvf(tmp_path_factory.mktemp('small'), frames)


@pytest.fixture(scope='module')
def resnet(tmp_path_factory, frames):
    return icvf(tmp_path_factory.mktemp('resnet'), frames, encoder='resnetv2-26')


def values(path, frames, name='torch'):
    """What an engine, calibrated on some of the frames if it has to be, says about them."""
    images, state = frames
    some = {camera: each[::3] for camera, each in images.items()}
    runtime = load_value(path, engine=name, calibration=some)
    assert runtime.engine == name
    if runtime.takes_goal and not runtime.n_goals:
        runtime.set_goal({camera: each[-1:] for camera, each in images.items()})
    if runtime.reads_text:
        runtime.set_instruction('pick up the cube')
    latents = runtime.encode(images, state if runtime.state_dim else None)
    assert latents.dtype == torch.float32
    return runtime.value(latents).value


def compare(path, frames, name):
    """The greatest difference from eager torch, as a share of the range, and rank correlation."""
    reference, found = values(path, frames), values(path, frames, name)
    return np.abs(found - reference).max() / np.ptp(reference), spearmanr(found, reference)[0]


@pytest.mark.parametrize(
    ('name', 'difference', 'agreement'),
    [('openvino', 0.01, 0.999), ('openvino-int8', 0.05, 0.99)],
)
def test_values_of_the_shipped_checkpoint_are_those_of_eager_torch(
    frames, name, difference, agreement
):
    off, rank = compare(SHIPPED, frames, name)
    assert off < difference
    assert rank > agreement


@pytest.mark.parametrize(
    ('name', 'difference', 'agreement'),
    # Random weights tell the frames of a scene hardly apart, so that every rounding shows.
    [('openvino', 0.1, 0.98), ('openvino-int8', 0.5, 0.8)],
)
def test_values_of_a_resnet_are_those_of_eager_torch(resnet, frames, name, difference, agreement):
    off, rank = compare(resnet, frames, name)
    assert off < difference
    assert rank > agreement


def vip(folder):
    config = VipConfig(**SEEN | {'state_dim': 0}, width=8, latent_dim=32, embedding_dim=0)
    save_checkpoint(folder, 'vip', config, Vip(config).state_dict(), 'card')


def distributional(folder):
    config = small_distributional(**SEEN)
    save_checkpoint(
        folder, 'distributional', config, DistributionalValue(config).state_dict(), 'card'
    )


def viva(folder):
    config = small_viva(**SEEN)
    save_checkpoint(folder, 'viva', config, Viva(config).state_dict(), 'card')


@pytest.mark.parametrize('make', [vip, distributional, viva])
def test_every_kind_runs_on_openvino(tmp_path, frames, make):
    torch.manual_seed(0)
    make(tmp_path)
    off, rank = compare(tmp_path, frames, 'openvino')
    assert off < 0.05
    assert rank > 0.99


def test_batches_of_any_size_give_what_single_frames_give(small, frames):
    images, state = frames
    runtime = load_value(small, engine='openvino')
    together = runtime.encode(images, state)
    assert len(together) == len(state) > 32
    for index in (0, 20, 40):
        one = {camera: each[index : index + 1] for camera, each in images.items()}
        alone = runtime.encode(one, state[index : index + 1])
        np.testing.assert_allclose(alone[0], together[index], atol=0.02)
    none = {camera: each[:0] for camera, each in images.items()}
    assert runtime.encode(none, state[:0]).shape == (0, together.shape[1])


def test_what_is_chosen_for_a_cpu(small, resnet, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    viva(tmp_path)
    chosen = [load_value(path) for path in (SHIPPED, small, tmp_path, resnet)]
    assert [each.engine for each in chosen] == ['torch', 'torch', 'torch', 'openvino']
    assert [each.precision for each in chosen[:3]] == ['float32'] * 3
    assert {each.engine_note for each in chosen} == {''}


def test_cuda_without_a_gpu_is_said(small, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    runtime = load_value(small, engine='cuda')
    assert runtime.engine == 'torch'
    assert runtime.engine_note == 'There is no CUDA device here, so the engine is torch on the CPU.'


def test_what_cannot_be_had_is_a_sentence(small, frames, tmp_path):
    images, _ = frames
    with pytest.raises(UserError, match=f'no engine "tpu"; choose one of {", ".join(ENGINES)}'):
        load_value(small, engine='tpu')
    for few in (None, {}, {'wrist': images['wrist'][:3]}):
        with pytest.raises(UserError, match='give it at least 8 of camera "wrist"'):
            load_value(small, engine='openvino-int8', calibration=few)
    viva(tmp_path)
    with pytest.raises(UserError, match='no int8 for viva; use the engine "openvino"'):
        load_value(tmp_path, engine='openvino-int8', calibration=images)


def test_what_openvino_does_not_know_runs_on_torch(resnet, monkeypatch):
    openvino = openvino_parts._import('openvino')

    def fail(*args, **options):
        raise RuntimeError('Check failed:\nno conversion rule for aten::magic')

    monkeypatch.setattr(openvino, 'convert_model', fail)
    monkeypatch.setattr(openvino_parts, 'cache_folder', lambda: Path('/nowhere'))
    with pytest.raises(UserError, match=r'cannot run the encoder\.cameras\.0 .*aten::magic'):
        load_value(resnet, engine='openvino')
    runtime = load_value(resnet)
    assert runtime.engine == 'torch'
    assert 'aten::magic' in runtime.engine_note


def test_an_int8_that_mixes_up_the_frames_says_so(small, frames, monkeypatch):
    monkeypatch.setattr(int8, 'rank_agreement', lambda *_: 0.5)
    runtime = load_value(small, engine='openvino-int8', calibration=frames[0])
    assert 'rank correlation of 0.50' in runtime.engine_note


def test_what_was_converted_is_kept_until_it_is_damaged(small, frames, cache, monkeypatch):
    openvino = openvino_parts._import('openvino')

    before = values(small, frames, 'openvino')
    convert = openvino.convert_model
    calls = []

    def counted(*args, **options):
        calls.append(args)
        return convert(*args, **options)

    monkeypatch.setattr(openvino, 'convert_model', counted)
    np.testing.assert_array_equal(values(small, frames, 'openvino'), before)
    assert not calls
    for model in cache.glob('*/model.xml'):
        model.write_text('<net')
    np.testing.assert_array_equal(values(small, frames, 'openvino'), before)
    assert calls


def test_the_cache_does_not_grow_without_end(small, frames, tmp_path, monkeypatch):
    monkeypatch.setattr(openvino_parts, 'cache_folder', lambda: tmp_path)
    monkeypatch.setattr(openvino_parts, '_KEPT', 1)
    for name in ('openvino', 'openvino-int8'):
        values(small, frames, name)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_costs_the_cache_only(small, frames, monkeypatch):
    monkeypatch.setattr(openvino_parts, 'cache_folder', lambda: Path('/proc/none'))
    assert np.isfinite(values(small, frames, 'openvino')).all()


def test_compiled_parts_give_the_values_of_eager_torch(small, frames, monkeypatch):
    # What runs on a GPU, with the CPU in its place, and without generating code.
    monkeypatch.setattr(gpu, 'WORTH_COMPILING', 0)
    images, state = frames
    model = load_value(small, engine='torch').model
    reference = Engine('torch', model)
    compiled = gpu.gpu_engine(model, device='cpu', backend='eager')
    assert compiled.note == ''
    pixels = torch.from_numpy(images['wrist']).permute(0, 3, 1, 2)
    numbers = torch.from_numpy(state)
    goal = Goal(latents=reference.encode([pixels[-1:]], numbers[-1:]))
    for cut in (slice(0, 1), slice(0, 7), slice(0, None)):
        found, exact = (
            each.estimate(each.encode([pixels[cut]], numbers[cut]), goal)[0]
            for each in (compiled, reference)
        )
        np.testing.assert_allclose(found, exact, atol=0.02)


def test_where_nothing_can_be_compiled_it_runs_all_the_same(small, monkeypatch):
    monkeypatch.setattr(gpu, 'WORTH_COMPILING', 0)
    model = load_value(small, engine='torch').model

    def broken(*_):
        raise RuntimeError('no C compiler')

    found = gpu.gpu_engine(model, device='cpu', backend=broken)
    assert found.name == 'cuda'
    assert 'torch.compile failed' in found.note
    black = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    assert found.encode([black], torch.zeros(2, STATE_DIM)).shape[0] == 2


_REPORTS_NOTHING = """
import socket, sys
import numpy as np

def refuse(*args):
    raise SystemExit('something was to be sent')

socket.socket.connect = socket.getaddrinfo = refuse
from vvf_models.runtime import load_value

frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
load_value(sys.argv[1], engine='openvino-int8', calibration={'wrist': frames})
assert 'nncf' in sys.modules and 'openvino' in sys.modules
assert sys.modules['openvino_telemetry'] is None
"""


def test_nothing_is_sent_and_nothing_is_left_at_home(small, tmp_path):
    # In a process of its own: in pytest, NNCF never reports anything.
    home = tmp_path / 'home'
    home.mkdir()
    environment = os.environ | {'HOME': str(home), 'XDG_CACHE_HOME': str(tmp_path / 'cache')}
    command = [sys.executable, '-c', _REPORTS_NOTHING, str(small)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
