# SPDX-License-Identifier: Apache-2.0
"""Export to LeRobot v3: what was recorded comes back, whatever it was stored in."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.shared_data import shared_data
from tests.vvf.acted_bags import acted
from tests.vvf.bag_factory import FRAME_NS, START_NS, write_episode
from tests.vvf_models.toy_lerobot import write_dataset
from vvf.cli.main import main
from vvf.data import open_data
from vvf.export.recordings import names_of
from vvf.export.stats import ImageStats, combined, vector_stats
from vvf.task import TaskSpec, load_task
from vvf_models.data.episode import Episode
from vvf_models.data.options import ReadOptions

WHOLE = ReadOptions(fps=0.0)


def export(*words: object) -> int:
    return main(['export', 'lerobot', *map(str, words)])


def assert_equal(expected: Episode, found: Episode, worst: float = 4.0) -> None:
    """All but the images to the last bit; those within the loss of the codec."""
    found.check()
    for name in ('state', 'actions', 'rewards'):
        before, after = getattr(expected, name), getattr(found, name)
        assert (before is None) == (after is None), name
        if before is not None:
            np.testing.assert_array_equal(before, after, name)
    human = expected.interventions
    none = np.zeros(len(expected), bool)
    np.testing.assert_array_equal(none if human is None else human, found.interventions)
    for name in ('success', 'success_index', 'instruction', 'failure_kind', 'events'):
        assert getattr(expected, name) == getattr(found, name), name
    assert expected.images.keys() == found.images.keys()
    for camera, frames in expected.images.items():
        assert frames.shape == found.images[camera].shape
        error = np.abs(frames.astype(int) - found.images[camera])
        assert error.mean(axis=(1, 2, 3)).max() < worst


def table(folder: Path) -> dict[str, list[Any]]:
    found = pq.read_table(folder / 'data' / 'chunk-000' / 'file-000.parquet')
    return dict(found.to_pydict())


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('recorded') / 'bags'
    acted(folder / 'a')
    acted(folder / 'b', 16, 'failure')
    acted(folder / 'c', 20, 'unlabelled')
    return folder


@pytest.fixture(scope='module')
def exported(bags: Path) -> Path:
    out = bags.parent / 'exported'
    assert export(bags, '--out', out) == 0
    return out


def test_bags_come_back_as_they_are_trained_on(bags: Path, exported: Path) -> None:
    expected, found = open_data(bags), open_data(exported, options=WHOLE)
    assert len(expected) == len(found) == 3
    for before, after in zip(expected, found, strict=True):
        assert_equal(before, after)
    assert [e.success for e in found] == [True, False, None]
    assert found[0].events[0].name == 'grasped'
    assert found[0].interventions is not None
    assert found[0].interventions.tolist() == [False] * 8 + [True] * 4


def test_the_files_are_those_of_lerobot(bags: Path, exported: Path) -> None:
    info = json.loads((exported / 'meta' / 'info.json').read_text())
    assert (info['codebase_version'], info['fps'], info['robot_type']) == ('v3.0', 5, 'wx250s')
    assert (info['total_episodes'], info['total_frames'], info['total_tasks']) == (3, 30, 3)
    features = info['features']
    assert features['observation.images.wrist']['shape'] == [48, 64, 3]
    assert features['observation.state']['names'][:2] == ['waist', 'shoulder']
    assert features['observation.state']['names'][7:10] == ['ee_pose.x', 'ee_pose.y', 'ee_pose.z']
    assert features['action']['names'] == ['dx', 'dy', 'dz', 'rx', 'ry', 'rz', 'gripper']
    rows = table(exported)
    assert set(rows) == {name for name in features if not name.startswith('observation.images')}
    assert rows['episode_index'] == [0] * 12 + [1] * 8 + [2] * 10
    assert rows['frame_index'] == [*range(12), *range(8), *range(10)]
    assert rows['index'] == list(range(30))
    assert rows['task_index'] == rows['episode_index']
    np.testing.assert_allclose(rows['timestamp'][:12], np.arange(12) / 5, atol=1e-6)
    assert rows['complementary_info.stamp_ns'][:3] == [
        START_NS + 2 * i * FRAME_NS for i in range(3)
    ]
    schema = pq.read_schema(exported / 'data' / 'chunk-000' / 'file-000.parquet')
    assert schema.field('observation.state').type == pa.list_(pa.float32(), 16)
    tasks = pq.read_table(exported / 'meta' / 'tasks.parquet')
    assert tasks['task'].to_pylist() == ['do a', 'do b', 'do c']
    notes = json.loads(tasks.schema.metadata[b'pandas'])
    assert notes['index_columns'] == ['task']
    episodes = pq.read_table(
        exported / 'meta' / 'episodes' / 'chunk-000' / 'file-000.parquet'
    ).to_pylist()
    assert [row['episode_index'] for row in episodes] == [0, 1, 2]
    assert [row['dataset_to_index'] for row in episodes] == [12, 20, 30]
    assert [row['episode_success'] for row in episodes] == ['success', 'failure', None]
    assert episodes[1]['videos/observation.images.wrist/file_index'] == 1
    assert episodes[1]['videos/observation.images.wrist/to_timestamp'] == pytest.approx(8 / 5)
    video = exported / 'videos' / 'observation.images.wrist' / 'chunk-000' / 'file-001.mp4'
    with av.open(str(video)) as container:
        stamps = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    np.testing.assert_allclose(stamps, np.arange(8) / 5, atol=1e-4)
    stats = json.loads((exported / 'meta' / 'stats.json').read_text())
    assert set(stats) == set(features)
    np.testing.assert_allclose(stats['action']['mean'][0], np.mean([a[0] for a in rows['action']]))
    assert np.shape(stats['observation.images.wrist']['mean']) == (3, 1, 1)
    assert stats['index']['count'] == [30]
    assert [
        e['id'] for e in json.loads((exported / 'meta' / 'export.json').read_text())['episodes']
    ]
    assert not (exported / '.export').exists()


def test_values_of_the_relabeller_are_joined(bags: Path, tmp_path: Path) -> None:
    stamps = [START_NS + i * FRAME_NS for i in range(24)]
    rows = [(name, stamp) for name, count in zip('cab', (20, 24, 16), strict=True)
            for stamp in stamps[:count]]  # fmt: skip
    values = np.arange(len(rows), dtype=np.float32)
    file = tmp_path / 'values.parquet'
    columns = {
        'episode_id': [name for name, _ in rows],
        'stamp_ns': [stamp for _, stamp in rows],
        'complementary_info.is_intervention': [False] * len(rows),
        'complementary_info.value_m': values,
        'complementary_info.acp_indicator_m': (values.astype(np.int64) % 3 == 0).astype(np.int64),
    }
    pq.write_table(pa.table(columns), file)
    out = tmp_path / 'out'
    assert export(bags, '--out', out, '--values', file) == 0
    found = table(out)
    # The bags come as a, b, c; each second of their frames is a row.
    expected = [*range(20, 44, 2), *range(44, 60, 2), *range(0, 20, 2)]
    assert found['complementary_info.value_m'] == expected
    assert found['complementary_info.acp_indicator_m'] == [int(v % 3 == 0) for v in expected]
    info = json.loads((out / 'meta' / 'info.json').read_text())
    assert info['features']['complementary_info.value_m']['dtype'] == 'float32'
    assert info['features']['complementary_info.acp_indicator_m']['dtype'] == 'int64'


def test_an_export_that_was_stopped_goes_on(
    bags: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, numbers = tmp_path / 'out', tmp_path / 'n.json'
    finish = 'vvf.export.lerobot._Run.finish'
    with monkeypatch.context() as patch:
        patch.setattr('vvf.export.video.VideoWriter.write', _interrupt_at(40))
        assert export(bags, '--out', out) == 130
    assert not (out / 'meta').exists()
    assert not list(out.rglob('*.partial'))
    with monkeypatch.context() as patch:
        patch.setattr(finish, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert export(bags, '--out', out, '--json', numbers) == 130
    assert export(bags, '--out', out, '--crf', 30) == 2
    assert export(bags, '--out', out, '--json', numbers) == 0
    found = json.loads(numbers.read_text())
    assert (found['episodes'], found['episodes_skipped'], found['frames']) == (3, 3, 30)
    assert digests(out) == digests(exported)
    assert export(bags, '--out', out, '--json', numbers) == 0
    assert json.loads(numbers.read_text())['episodes_skipped'] == 3


def digests(folder: Path) -> dict[str, str]:
    """What is in every file; of a video how many frames, as x264 does not repeat itself exactly."""
    found = {}
    for path in (p for p in sorted(folder.rglob('*')) if p.is_file()):
        if path.suffix == '.mp4':
            with av.open(str(path)) as video:
                what = str(video.streams.video[0].frames)
        else:
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = what
    return found


def _interrupt_at(count: int) -> Any:
    from vvf.export.video import VideoWriter

    write, calls = VideoWriter.write, iter(range(1, 1000))

    def stopping(self: VideoWriter, frame: np.ndarray) -> None:
        if next(calls) == count:
            raise KeyboardInterrupt
        write(self, frame)

    return stopping


def test_gaps_are_counted_and_bad_episodes_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags = tmp_path / 'bags'
    acted(bags / 'a', skip=frozenset({10, 11, 12, 13, 14, 15}))
    broken = acted(bags / 'b', 60)
    file = broken / 'b.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    out, numbers = tmp_path / 'out', tmp_path / 'n.json'
    assert export(bags, '--out', out) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert 'is damaged' in error
    assert '--skip-bad goes on without it' in error
    assert export(bags, '--out', out, '--skip-bad', '--json', numbers) == 0
    found = json.loads(numbers.read_text())
    assert (found['episodes'], found['episodes_left_out'], found['gaps']) == (1, 1, 1)
    assert found['gap_seconds'] == pytest.approx(0.6)
    assert 'b is damaged' in capsys.readouterr().err
    assert len(open_data(out, options=WHOLE)) == 1


def test_other_data(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / 'toy')
    assert export(dataset, '--out', tmp_path / 'again') == 0
    pairs = zip(
        open_data(dataset, options=WHOLE), open_data(tmp_path / 'again', options=WHOLE), strict=True
    )
    for before, after in pairs:
        assert_equal(before, after)
        np.testing.assert_allclose(before.stamps, after.stamps, atol=1e-6)


def test_the_real_recording(tmp_path: Path) -> None:
    bag = shared_data('wx200_bag')
    out = tmp_path / 'out'
    assert export(bag, '--task', 'wx200_replay', '--out', out) == 0
    (before,), (after,) = open_data(bag, 'wx200_replay'), open_data(out, options=WHOLE)
    assert_equal(before, after)
    # The task is at 5 Hz; its camera at 30 can give any rate up to that.
    assert export(bag, '--task', 'wx200_replay', '--fps', 15, '--image-size', 32, '--out',
                  tmp_path / 'fast') == 0  # fmt: skip
    (fast,) = open_data(tmp_path / 'fast', options=WHOLE)
    assert fast.images['image_0'].shape == (301, 32, 32, 3)
    assert fast.rate_hz == pytest.approx(15)


def test_mistakes_are_one_sentence(
    bags: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / 'other'
    write_episode(other / 'd')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'notes.txt').write_text('mine')
    stray = tmp_path / 'stray.parquet'
    table = {'episode_id': ['z'], 'stamp_ns': [1], 'complementary_info.value_m': [0.5]}
    pq.write_table(pa.table(table), stray)
    few = tmp_path / 'few.parquet'
    pq.write_table(pa.table({**table, 'episode_id': ['a']}), few)
    out = tmp_path / 'out'
    for words, said in [
        ((bags, '--out', tmp_path / 'full'), 'is not empty'),
        ((other, '--out', exported), 'holds a data set already'),
        ((bags, '--out', bags / 'in'), 'would write into'),
        ((bags, '--out', out, '--fps', 10), 'displacements of 0.2 s'),
        ((other, '--out', out, '--fps', 2.5), 'a whole rate, not 2.5 Hz'),
        ((other, '--out', out, '--fps', 30), 'runs at 10 Hz and not at 30: give --fps 10'),
        ((bags, '--out', out, '--values', tmp_path / 'none'), 'does not exist'),
        ((bags, '--out', out, '--values', stray), "has no episode 'a': relabel it"),
        ((bags, '--out', out, '--values', few), "no values for 12 of 12 frames of 'a'"),
        ((bags, other, '--out', out), 'one data set needs one kind of data'),
        ((bags, '--out', out, '--cameras', 'top'), "no camera 'top'"),
        ((shared_data('wx200_bag'), '--out', out), 'holds no task file'),
        ((tmp_path / 'none', '--out', out), 'does not exist'),
    ]:
        shutil.rmtree(out, ignore_errors=True)
        assert export(*words) == 2, words
        error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('vvf: ')]
        assert len(error) == 1, words
        assert said in error[0]
        assert not (out / 'meta').exists()


def test_names_of_joint_positions() -> None:
    task = load_task('pick_place')
    assert task.action is not None
    joint = replace(task, action=replace(task.action, kind='joint_position', low=(), high=()))
    assert names_of(joint).action == (*task.state[0].names[:6], 'gripper')
    assert names_of(TaskSpec('t', '', '', 5.0, task.cameras)).state == ()


def test_statistics_are_those_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    rows, frames = rng.normal(size=(50, 3)), rng.integers(0, 256, (10, 8, 6, 3), np.uint8)
    whole = combined([{'x': vector_stats(rows[:20])}, {'x': vector_stats(rows[20:])}])['x']
    np.testing.assert_allclose(whole['mean'], rows.mean(axis=0))
    np.testing.assert_allclose(whole['std'], rows.std(axis=0))
    assert whole['min'] == rows.min(axis=0).tolist()
    pictures = ImageStats()
    for frame in frames:
        pictures.add(frame)
    found, pixels = pictures.result(), frames.reshape(-1, 3) / 255.0
    for name, expected in (
        ('mean', pixels.mean(0)),
        ('std', pixels.std(0)),
        ('max', pixels.max(0)),
    ):
        np.testing.assert_allclose(np.ravel(found[name]), expected, atol=1e-9)
    expected = np.quantile(pixels, 0.9, axis=0, method='inverted_cdf')
    np.testing.assert_allclose(np.ravel(found['q90']), expected)
    assert found['count'] == [10]
    silent = vector_stats(np.array([[np.nan, 1.0], [np.nan, 3.0]]))
    assert silent['mean'] == [0.0, 2.0]
