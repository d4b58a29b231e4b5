# SPDX-License-Identifier: Apache-2.0
"""Export to HDF5: what was recorded comes back to the last bit, as steps of RLDS."""

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.vvf.acted_bags import acted
from tests.vvf.bag_factory import FRAME_NS, START_NS, write_episode
from tests.vvf_models.toy_lerobot import write_dataset
from vvf.cli.main import main
from vvf.data import open_data
from vvf_models.data.options import AS_IT_IS, ReadOptions

WHOLE = ReadOptions(fps=0.0, image_size=AS_IT_IS)


def export(*words: object) -> int:
    return main(['export', 'hdf5', *map(str, words)])


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('recorded') / 'bags'
    acted(folder / 'a')
    acted(folder / 'b', 16, 'failure')
    acted(folder / 'c', 20, 'unlabelled')
    return folder


def values(path: Path, first: int = START_NS) -> Path:
    """Labels of the three bags, numbered through."""
    rows = [(name, first + i * FRAME_NS) for name, count in zip('abc', (24, 16, 20), strict=True)
            for i in range(count)]  # fmt: skip
    numbers = np.arange(len(rows), dtype=np.float32)
    columns = {
        'episode_id': [name for name, _ in rows],
        'stamp_ns': [stamp for _, stamp in rows],
        'complementary_info.is_intervention': [False] * len(rows),
        'complementary_info.value_m': numbers,
        'complementary_info.advantage_m': -numbers,
        'complementary_info.acp_indicator_m': (numbers % 2).astype(np.int64),
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize('compression', ['gzip', 'lzf', 'none'])
def test_bags_come_back_as_steps(bags: Path, tmp_path: Path, compression: str) -> None:
    out = tmp_path / 'new' / 'out.h5'
    table = values(tmp_path / 'values.parquet')
    words = (bags, '--values', table, '--out', out, '--compression', compression)
    assert export(*words) == 0
    assert [p.name for p in out.parent.iterdir()] == ['out.h5']
    expected = open_data(bags, options=WHOLE)
    with h5py.File(out) as file:
        assert list(file) == ['episode_000000', 'episode_000001', 'episode_000002']
        assert (file.attrs['rate_hz'], file.attrs['frames']) == (5.0, 30)
        assert list(file.attrs['action_names'])[-1] == 'gripper'
        begin = 0
        for group, episode in zip(file.values(), expected, strict=True):
            steps, count = group['steps'], len(episode)
            for camera, frames in episode.images.items():
                found = steps['observation/images'][camera]
                assert found.chunks == (1, *frames.shape[1:])
                assert found.compression == (None if compression == 'none' else compression)
                np.testing.assert_array_equal(found[:], frames)
            np.testing.assert_array_equal(steps['observation/state'][:], episode.state)
            np.testing.assert_array_equal(steps['action'][:], episode.actions)
            np.testing.assert_allclose(steps['timestamp'][:], episode.stamps)
            labels = steps['complementary_info']
            np.testing.assert_array_equal(labels['is_intervention'][:], episode.interventions)
            # Of the frames at 10 Hz each second one is taken.
            np.testing.assert_array_equal(labels['value_m'][:], begin + 2 * np.arange(count))
            np.testing.assert_array_equal(labels['advantage_m'][:], -labels['value_m'][:])
            assert not labels['acp_indicator_m'][:].any()
            begin += 2 * count
            assert steps['is_first'][:].tolist() == [True] + [False] * (count - 1)
            assert steps['is_last'][:].tolist() == [False] * (count - 1) + [True]
            said = steps['language_instruction'].asstr()[:].tolist()
            assert said == [episode.instruction] * count
            assert group.attrs['episode_id'] == episode.episode_id
            assert len(json.loads(group.attrs['events'])) == len(episode.events)
        a, b, c = (group['steps'] for group in file.values())
        done = expected[0].success_index
        assert a['reward'][:].tolist() == [float(i == done) for i in range(12)]
        assert not b['reward'][:].any()
        assert np.isnan(c['reward'][:]).all()
        ended = [bool(steps['is_terminal'][-1]) for steps in (a, b, c)]
        assert ended == [True, True, False]
        assert [g.attrs['outcome'] for g in file.values()] == ['success', 'failure', 'unlabelled']


def test_recorded_rewards_of_other_data(tmp_path: Path) -> None:
    dataset, out = write_dataset(tmp_path / 'toy'), tmp_path / 'toy.hdf5'
    assert export(dataset, '--out', out, '--cameras', 'wrist', '--image-size', 16) == 0
    with h5py.File(out) as file:
        for group, episode in zip(file.values(), open_data(dataset, options=WHOLE), strict=True):
            np.testing.assert_array_equal(group['steps/reward'][:], episode.rewards)
            images = group['steps/observation/images']
            assert list(images) == ['wrist']
            assert images['wrist'].shape == (len(episode), 16, 16, 3)


def test_the_file_is_complete_or_not_there(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vvf.export.hdf5 import _Images

    out, numbers, add, calls = (
        tmp_path / 'out.h5',
        tmp_path / 'n.json',
        _Images.add,
        iter(range(99)),
    )

    def stopping(self: _Images, image: np.ndarray) -> None:
        if next(calls) == 40:
            raise KeyboardInterrupt
        add(self, image)

    with monkeypatch.context() as patch:
        patch.setattr(_Images, 'add', stopping)
        assert export(bags, '--out', out) == 130
    assert not list(tmp_path.iterdir())
    assert export(bags, '--out', out, '--json', numbers) == 0
    assert json.loads(numbers.read_text())['episodes_skipped'] == 0
    before = out.read_bytes()
    assert export(bags, '--out', out, '--json', numbers) == 0
    assert json.loads(numbers.read_text())['episodes_skipped'] == 3
    assert out.read_bytes() == before


def test_a_bad_episode_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bags, out = tmp_path / 'bags', tmp_path / 'out.h5'
    broken = acted(bags / 'a', 60) / 'a.mcap'
    acted(bags / 'b')
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    assert export(bags, '--out', out) == 2
    assert '--skip-bad goes on without it' in capsys.readouterr().err
    assert not out.exists()
    assert export(bags, '--out', out, '--skip-bad') == 0
    assert 'a is damaged' in capsys.readouterr().err
    with h5py.File(out) as file:
        assert [group.attrs['episode_id'] for group in file.values()] == ['b']
        assert list(file) == ['episode_000000']


def test_mistakes_are_one_sentence(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, mine, folder = tmp_path / 'other', tmp_path / 'mine.h5', tmp_path / 'folder.h5'
    write_episode(other / 'd')
    mine.write_text('mine')
    folder.mkdir()
    out = tmp_path / 'out.h5'
    for words, said in [
        ((bags, '--out', mine), 'exists already'),
        ((bags, '--out', folder), 'give a file'),
        ((bags, '--out', tmp_path / 'out'), 'ends in .h5 or .hdf5'),
        ((bags, '--out', bags / 'in.h5'), 'would write into'),
        ((bags, '--out', mine / 'in.h5'), 'cannot be written'),
        ((bags, '--out', out, '--fps', 10), 'displacements of 0.2 s'),
        ((other, '--out', out, '--fps', 2.5), 'a whole rate, not 2.5 Hz'),
        ((bags, '--out', out, '--values', tmp_path / 'none'), 'does not exist'),
        ((bags, '--out', out, '--values', values(tmp_path / 'v.parquet', 7)), 'no values for 12'),
        ((bags, '--out', out, '--cameras', 'top'), "no camera 'top'"),
        ((tmp_path / 'none', '--out', out), 'does not exist'),
    ]:
        assert export(*words) == 2, words
        error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('vvf: ')]
        assert len(error) == 1, words
        assert said in error[0]
        assert not out.exists()
    assert mine.read_text() == 'mine'
