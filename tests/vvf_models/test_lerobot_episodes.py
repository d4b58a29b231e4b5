# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.vvf_models.toy_lerobot import (
    CAMERAS,
    FPS,
    LENGTHS,
    frame_number,
    read_episodes,
    write_dataset,
    write_episodes,
)
from tests.vvf_models.toy_videos import numbers, write_video
from vvf_models.data.episode import Event
from vvf_models.data.lerobot import LerobotEpisodes
from vvf_models.data.options import ReadOptions
from vvf_models.errors import UserError

ALL = ReadOptions(fps=0)


@pytest.fixture(params=['video', 'image'])
def dataset(request, tmp_path):
    return write_dataset(tmp_path / 'toy', video=request.param == 'video')


@pytest.fixture
def videos(tmp_path):
    return write_dataset(tmp_path / 'toy')


def check(episodes):
    assert len(episodes) == 3
    for number in (2, 0, 1):  # in any order
        episode, count = episodes[number], LENGTHS[number]
        episode.check()
        for camera in CAMERAS:
            expected = [frame_number(number, frame, camera) for frame in range(count)]
            assert numbers(episode.images[camera]) == expected
            assert episode.images[camera].shape == (count, 48, 64, 3)
        frames = np.arange(count)
        np.testing.assert_array_equal(episode.state[:, 1], frames)
        np.testing.assert_array_equal(episode.actions, np.stack([frames, 0 * frames + number], 1))
        np.testing.assert_allclose(episode.stamps, frames / FPS, atol=1e-6)
        assert episode.rate_hz == pytest.approx(FPS)
        assert episode.rewards.tolist() == [0] * (count - 1) + [1]
        assert np.flatnonzero(episode.interventions).tolist() == [3, 4]
        assert episode.instruction == ('place it' if number == 1 else 'pick it')
        assert episode.success is (number != 1)
        assert episode.success_index == (-1 if number == 1 else count - 1)
        assert episode.episode_id == f'toy_{number:06d}'


def test_episodes_of_shared_files(dataset):
    check(LerobotEpisodes(dataset, ALL))


def test_av1_as_lerobot_writes_it(tmp_path):
    check(LerobotEpisodes(write_dataset(tmp_path / 'toy', codec='libsvtav1'), ALL))


def test_only_the_cameras_and_the_size_that_are_wanted(dataset):
    episode = LerobotEpisodes(dataset, ReadOptions(cameras=('wrist',), image_size=24, fps=0))[1]
    assert {camera: frames.shape for camera, frames in episode.images.items()} == {
        'wrist': (9, 24, 24, 3)
    }
    with pytest.raises(UserError, match='no camera "top"; its cameras are front, wrist'):
        LerobotEpisodes(dataset, ReadOptions(cameras=('top',)))


@pytest.mark.parametrize('fps', [5, 4])
def test_fewer_frames_a_second(dataset, fps):
    # The nearest row to each multiple, counted from each episode's own first one.
    taken = {5: [0, 2, 4, 6, 8], 4: [0, 2, 5, 7]}[fps]
    episode = LerobotEpisodes(dataset, ReadOptions(fps=fps))[1]
    episode.check()
    for camera in CAMERAS:
        expected = [frame_number(1, row, camera) for row in taken]
        assert numbers(episode.images[camera]) == expected
    assert episode.rate_hz == pytest.approx(fps, rel=0.3)
    assert episode.state[:, 1].tolist() == taken
    assert episode.actions[:, 0].tolist() == [row - 1 for row in [*taken[1:], 9]]
    assert episode.rewards.tolist() == [0] * (len(taken) - 1) + [1]
    humans = [
        row for row, after in zip(taken, [*taken[1:], 9], strict=True) if row <= 4 and after > 3
    ]
    assert [taken[frame] for frame in np.flatnonzero(episode.interventions)] == humans
    assert (episode.success, episode.success_index) == (False, -1)
    done = LerobotEpisodes(dataset, ReadOptions(fps=fps))[0]
    assert done.success_index == len(done) - 1


def test_too_few_frames_a_second_are_named(videos):
    with pytest.raises(UserError, match='episode 1 gives one frame at 1 a second'):
        LerobotEpisodes(videos, ReadOptions(fps=1))[1]


def rewrite(root, change):
    """Changes the table of rows."""
    file = root / 'data' / 'chunk-000' / 'file-000.parquet'
    pq.write_table(change(pq.read_table(file)), file)


def change_info(root, **changes):
    file = root / 'meta' / 'info.json'
    info = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in info.items() if v is not None}))


def test_rows_in_any_order_and_file_layout(videos):
    # Converted data sets have one row group for all episodes.
    rewrite(videos, lambda table: table.sort_by([('index', 'descending')]))
    check(LerobotEpisodes(videos, ALL))


def test_success_of_each_row(videos):
    rows = read_episodes(videos)
    for row in rows:
        del row['episode_success']
    write_episodes(videos, rows)
    assert [e.success for e in LerobotEpisodes(videos, ALL)] == [None] * 3
    table = pq.read_table(videos / 'data' / 'chunk-000' / 'file-000.parquet')
    index = table['frame_index'].to_numpy()
    success = (index >= 6) & (table['episode_index'].to_numpy() != 2)
    add_column(videos, 'next.success', 'bool', pa.array(success))
    found = [(e.success, e.success_index) for e in LerobotEpisodes(videos, ALL)]
    assert found == [(True, 7), (True, 7), (False, -1)]  # done after the action of frame 6


def add_column(root, name, dtype, values):
    """Adds a column of all rows."""
    info = json.loads((root / 'meta' / 'info.json').read_text())
    feature = {name: {'dtype': dtype, 'shape': [1], 'names': None}}
    change_info(root, features=info['features'] | feature)
    rewrite(root, lambda table: table.append_column(name, values))


def write_subtasks(root):
    names = pa.array(['reach', 'grasp', 'lift'])
    table = pa.table({'subtask_index': [0, 1, 2], 'subtask': names})
    pq.write_table(table, root / 'meta' / 'subtasks.parquet')


def milestones(*ends):
    return tuple(Event(name, frame, 'milestone') for name, frame in ends)


def test_sub_tasks_that_end_are_milestones(videos):
    write_subtasks(videos)
    unknown = [3] * 15
    unknown[:4] = [None, -1, 0, 0]
    index = [*[0] * 4, *[1] * 8, *[0] * 3, *[1] * 6, *unknown]
    add_column(videos, 'subtask_index', 'int64', pa.array(index))
    found = [episode.events for episode in LerobotEpisodes(videos, ALL)]
    assert found == [
        milestones(('reach', 4), ('grasp', 11)),
        milestones(('reach', 3)),  # it failed, so what it last tried was not done
        milestones(('reach', 4), ('subtask 3', 14)),
    ]
    found = [episode.events for episode in LerobotEpisodes(videos, ReadOptions(fps=5))]
    assert found[:2] == [milestones(('reach', 2), ('grasp', 5)), milestones(('reach', 2))]


def test_sub_tasks_of_language_columns(videos):
    entries = [
        {'style': 'plan', 'content': 'a plan', 'timestamp': 0.0},
        {'style': 'subtask', 'content': 'grasp', 'timestamp': 0.3},
        {'style': 'subtask', 'content': 'reach', 'timestamp': 0.0},
    ]
    row = pa.struct([('style', pa.string()), ('content', pa.string()), ('timestamp', pa.float32())])
    values = pa.array([entries] * sum(LENGTHS), pa.list_(row))
    add_column(videos, 'language_persistent', 'language', values)
    events = LerobotEpisodes(videos, ALL)[0].events
    assert events == milestones(('reach', 3), ('grasp', 11))


def test_sub_tasks_as_sarm_annotates_them(videos):
    rows = read_episodes(videos)
    for row, names in zip(rows, (['reach', 'grasp'], ['reach'], None), strict=True):
        row['sparse_subtask_names'] = names
        row['sparse_subtask_start_frames'] = names and [0, 5][: len(names)]
        row['sparse_subtask_end_frames'] = names and [5, 99][: len(names)]
    write_episodes(videos, rows)
    found = [episode.events for episode in LerobotEpisodes(videos, ALL)]
    assert found == [milestones(('reach', 5), ('grasp', 11)), milestones(('reach', 5)), ()]
    rows[0]['sparse_subtask_end_frames'] = [5]
    write_episodes(videos, rows)
    with pytest.raises(UserError, match=r'episode 0: sparse_subtask_names, .* differ in length'):
        LerobotEpisodes(videos, ALL)[0]


def test_depth_is_left_out(videos):
    info = json.loads((videos / 'meta' / 'info.json').read_text())
    info['features']['observation.images.wrist']['info'] = {'video.is_depth_map': True}
    change_info(videos, features=info['features'])
    assert list(LerobotEpisodes(videos, ALL)[0].images) == ['front']


def test_fingerprint_follows_the_files(videos):
    episodes = LerobotEpisodes(videos, ALL)
    first = episodes.fingerprint()
    for other in (ReadOptions(), ReadOptions(fps=0, image_size=32)):
        assert first != LerobotEpisodes(videos, other).fingerprint()
    fewer = ReadOptions(fps=0, cameras=('wrist',))
    assert first == LerobotEpisodes(videos, fewer).fingerprint()  # a cache with more serves it
    video = videos / 'videos' / 'observation.images.front' / 'chunk-000' / 'file-000.mp4'
    video.write_bytes(video.read_bytes() + b'\0')
    second = episodes.fingerprint()
    assert second != first
    write_episodes(videos, [row | {'episode_success': None} for row in read_episodes(videos)])
    assert episodes.fingerprint() != second  # new labels count


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'codebase_version': 'v2.1'}, r'is of LeRobot version v2\.1; convert it to v3\.0'),
        ({'fps': None}, r"info\.json describes no LeRobot data set .*'fps'"),
        ({'fps': 0}, r'info\.json: fps, data_path or features is wrong'),
        ({'features': []}, r'info\.json describes no LeRobot data set'),
        ({'features': {}}, r'has no camera'),
        ({'total_episodes': 4}, r'says total_episodes 4, meta/episodes has 3'),
        ({'total_frames': 99}, r'says total_frames 99, meta/episodes has 36'),
    ],
)
def test_wrong_metadata_is_named(videos, changes, message):
    change_info(videos, **changes)
    with pytest.raises(UserError, match=message):
        LerobotEpisodes(videos, ALL)


def test_unreadable_metadata_is_named(videos):
    (videos / 'meta' / 'info.json').write_text('{')
    with pytest.raises(UserError, match=r'info\.json describes no LeRobot data set'):
        LerobotEpisodes(videos, ALL)
    (videos / 'meta' / 'info.json').unlink()
    with pytest.raises(UserError, match=r'info\.json cannot be read'):
        LerobotEpisodes(videos, ALL)


def test_wrong_paths_are_named(videos):
    change_info(videos, video_path='videos/{camera}.mp4')
    with pytest.raises(UserError, match=r'info\.json: its video_path, or the place of episode 0'):
        LerobotEpisodes(videos, ALL)[0]


def test_missing_and_damaged_files_are_named(videos):
    episodes = LerobotEpisodes(videos, ALL)
    video = videos / 'videos' / 'observation.images.wrist' / 'chunk-000' / 'file-000.mp4'
    whole = video.read_bytes()
    video.write_bytes(whole[:-300])
    with pytest.raises(UserError, match=r'observation\.images\.wrist/chunk-000/file-000\.mp4'):
        episodes[0]
    video.unlink()
    with pytest.raises(UserError, match=r'file-000\.mp4 does not exist'):
        episodes[0]
    video.write_bytes(whole)
    table = videos / 'data' / 'chunk-000' / 'file-000.parquet'
    table.write_bytes(table.read_bytes()[:-40])
    with pytest.raises(UserError, match=r'data/chunk-000/file-000\.parquet'):
        episodes[0]
    table.unlink()
    with pytest.raises(UserError, match=r'data/chunk-000/file-000\.parquet is missing'):
        episodes[0]


def test_a_video_with_other_frames_than_rows_is_named(videos):
    video = videos / 'videos' / 'observation.images.front' / 'chunk-000' / 'file-000.mp4'
    write_video(video, sum(LENGTHS), FPS, times=[n + (n > 15) for n in range(sum(LENGTHS))])
    episodes = LerobotEpisodes(videos, ALL)
    assert len(episodes[0]) == 12
    with pytest.raises(UserError, match=r'holds 8 frames between 1\.200 and 2\.100 s, but episode'):
        episodes[1]


def test_rows_that_disagree_with_the_episodes_are_named(videos):
    rewrite(videos, lambda table: table.filter(pc.not_equal(table['index'], 3)))
    episodes = LerobotEpisodes(videos, ALL)
    assert len(episodes[1]) == 9
    with pytest.raises(UserError, match='holds 11 rows of episode 0, which has 12 frames'):
        episodes[0]
    rewrite(videos, lambda table: table.drop_columns('action'))
    with pytest.raises(UserError, match='lacks the column action'):
        episodes[1]


def test_an_unknown_outcome_is_named(videos):
    rows = read_episodes(videos)
    rows[1]['episode_success'] = 'nearly'
    rows[2]['episode_success'] = None
    write_episodes(videos, rows)
    episodes = LerobotEpisodes(videos, ALL)
    assert episodes[2].success is None
    with pytest.raises(UserError, match='episode 1 has the outcome "nearly"'):
        episodes[1]


def test_nan_in_the_state_is_found_by_the_check(videos):
    def spoil(table):
        state = table['observation.state'].to_pylist()
        state[14][0] = float('nan')
        column = pa.array(state, pa.list_(pa.float32(), 3))
        return table.set_column(
            table.column_names.index('observation.state'), 'observation.state', column
        )

    rewrite(videos, spoil)
    with pytest.raises(ValueError, match='episode toy_000001: state holds NaN'):
        LerobotEpisodes(videos, ALL)[1].check()
