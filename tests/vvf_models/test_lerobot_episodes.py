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
from vvf_models.data.lerobot import LerobotEpisodes
from vvf_models.data.options import ReadOptions
from vvf_models.errors import UserError


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
    check(LerobotEpisodes(dataset))


def test_av1_as_lerobot_writes_it(tmp_path):
    check(LerobotEpisodes(write_dataset(tmp_path / 'toy', codec='libsvtav1')))


def test_only_the_cameras_and_the_size_that_are_wanted(dataset):
    episode = LerobotEpisodes(dataset, ReadOptions(cameras=('wrist',), image_size=24))[1]
    assert {camera: frames.shape for camera, frames in episode.images.items()} == {
        'wrist': (9, 24, 24, 3)
    }
    with pytest.raises(UserError, match='no camera "top"; its cameras are front, wrist'):
        LerobotEpisodes(dataset, ReadOptions(cameras=('top',)))


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
    check(LerobotEpisodes(videos))


def test_success_of_each_row(videos):
    rows = read_episodes(videos)
    for row in rows:
        del row['episode_success']
    write_episodes(videos, rows)
    assert [e.success for e in LerobotEpisodes(videos)] == [None] * 3
    info = json.loads((videos / 'meta' / 'info.json').read_text())
    done = {'next.success': {'dtype': 'bool', 'shape': [1], 'names': None}}
    change_info(videos, features=info['features'] | done)

    def add(table):
        index = table['frame_index'].to_numpy()
        success = (index >= 6) & (table['episode_index'].to_numpy() != 2)
        return table.append_column('next.success', pa.array(success))

    rewrite(videos, add)
    found = [(e.success, e.success_index) for e in LerobotEpisodes(videos)]
    assert found == [(True, 7), (True, 7), (False, -1)]  # done after the action of frame 6


def test_depth_is_left_out(videos):
    info = json.loads((videos / 'meta' / 'info.json').read_text())
    info['features']['observation.images.wrist']['info'] = {'video.is_depth_map': True}
    change_info(videos, features=info['features'])
    assert list(LerobotEpisodes(videos)[0].images) == ['front']


def test_fingerprint_follows_the_files(videos):
    episodes = LerobotEpisodes(videos)
    first = episodes.fingerprint()
    assert first != LerobotEpisodes(videos, ReadOptions(image_size=32)).fingerprint()
    video = videos / 'videos' / 'observation.images.front' / 'chunk-000' / 'file-000.mp4'
    video.write_bytes(video.read_bytes() + b'\0')
    assert episodes.fingerprint() != first


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
        LerobotEpisodes(videos)


def test_unreadable_metadata_is_named(videos):
    (videos / 'meta' / 'info.json').write_text('{')
    with pytest.raises(UserError, match=r'info\.json describes no LeRobot data set'):
        LerobotEpisodes(videos)
    (videos / 'meta' / 'info.json').unlink()
    with pytest.raises(UserError, match=r'info\.json cannot be read'):
        LerobotEpisodes(videos)


def test_wrong_paths_are_named(videos):
    change_info(videos, video_path='videos/{camera}.mp4')
    with pytest.raises(UserError, match=r'info\.json: its video_path, or the place of episode 0'):
        LerobotEpisodes(videos)[0]


def test_missing_and_damaged_files_are_named(videos):
    episodes = LerobotEpisodes(videos)
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
    episodes = LerobotEpisodes(videos)
    assert len(episodes[0]) == 12
    with pytest.raises(UserError, match=r'holds 8 frames between 1\.200 and 2\.100 s, but episode'):
        episodes[1]


def test_rows_that_disagree_with_the_episodes_are_named(videos):
    rewrite(videos, lambda table: table.filter(pc.not_equal(table['index'], 3)))
    episodes = LerobotEpisodes(videos)
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
    episodes = LerobotEpisodes(videos)
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
        LerobotEpisodes(videos)[1].check()
