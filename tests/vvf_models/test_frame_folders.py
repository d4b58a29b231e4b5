# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest

from tests.vvf_models.toy_videos import numbered, numbers
from vvf_models.data.episode import Event
from vvf_models.data.frame_folder import FrameFolderEpisodes
from vvf_models.data.options import ReadOptions
from vvf_models.errors import UserError


def write(folder, count=12, suffix='.png', offset=0, size=(48, 64)):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f'frame_{number}{suffix}'), numbered(number + offset, size))


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.JPEG'])
def test_frames_come_in_the_order_that_people_expect(tmp_path, suffix):
    write(tmp_path / 'clip_10', suffix=suffix)
    write(tmp_path / 'clip_2', suffix=suffix)
    (tmp_path / 'clip_2' / 'notes.txt').write_text('')
    (tmp_path / '.hidden').mkdir()
    episodes = FrameFolderEpisodes(tmp_path)
    assert [e.episode_id for e in episodes] == ['clip_2', 'clip_10']
    episode = episodes[0]
    episode.check()
    assert numbers(episode.images['video']) == list(range(12))  # frame_2 before frame_10
    assert episode.images['video'].shape == (12, 42, 42, 3)  # the middle of 48, not enlarged
    assert not len(episode.stamps)  # nobody knows the rate
    assert np.isnan(episode.rate_hz)


def test_colours_are_red_green_blue(tmp_path):
    (tmp_path / 'a').mkdir()
    for number in range(2):
        cv2.imwrite(
            str(tmp_path / 'a' / f'{number}.png'), np.full((8, 8, 3), (255, 0, 0), np.uint8)
        )
    frame = FrameFolderEpisodes(tmp_path)[0].images['video'][0]
    assert frame[0, 0].tolist() == [0, 0, 255]  # OpenCV writes blue first


def test_cameras_labels_and_a_known_rate(tmp_path):
    write(tmp_path / 'ep' / 'wrist', 60, offset=1)
    write(tmp_path / 'ep' / 'front', 60)
    labels = {'success': True, 'events': [{'name': 'grasped', 'frame': 7}], 'fps': 30}
    (tmp_path / 'ep.json').write_text(json.dumps(labels))
    (tmp_path / 'task_instruction.json').write_text('"fold"')
    (episode,) = FrameFolderEpisodes(tmp_path)
    episode.check()
    assert list(episode.images) == ['front', 'wrist']
    assert numbers(episode.images['front']) == list(range(0, 60, 6))
    assert numbers(episode.images['wrist']) == list(range(1, 61, 6))
    assert episode.images['wrist'].shape == (10, 48, 64, 3)
    np.testing.assert_allclose(episode.stamps, np.arange(10) / 5)
    assert episode.events == (Event('grasped', 2),)
    assert (episode.success, episode.success_index, episode.instruction) == (True, 9, 'fold')
    every = FrameFolderEpisodes(tmp_path, ReadOptions(fps=0, cameras=('wrist',), image_size=32))
    assert every[0].images['wrist'].shape == (60, 32, 32, 3)
    assert every[0].rate_hz == pytest.approx(30)


def test_the_rate_of_all_folders_may_be_given(tmp_path):
    write(tmp_path / 'a', 20)
    (episode,) = FrameFolderEpisodes(tmp_path, ReadOptions(folder_fps=10))
    assert numbers(episode.images['video']) == list(range(0, 20, 2))
    assert len(FrameFolderEpisodes(tmp_path / 'a')) == 1  # the folder itself


def test_fingerprint_follows_frames_and_labels(tmp_path):
    write(tmp_path / 'a')
    episodes = FrameFolderEpisodes(tmp_path)
    first = episodes.fingerprint()
    (tmp_path / 'a.json').write_text('{"success": true}')
    second = episodes.fingerprint()
    cv2.imwrite(str(tmp_path / 'a' / 'frame_12.png'), numbered(12))
    assert len({first, second, episodes.fingerprint()}) == 3


def test_bad_frames_are_named(tmp_path):
    write(tmp_path / 'good')
    write(tmp_path / 'torn')
    torn = tmp_path / 'torn' / 'frame_3.png'
    torn.write_bytes(torn.read_bytes()[:40])
    write(tmp_path / 'empty')
    (tmp_path / 'empty' / 'frame_5.png').write_bytes(b'')
    write(tmp_path / 'mixed')
    cv2.imwrite(str(tmp_path / 'mixed' / 'frame_4.png'), numbered(4, (24, 32)))
    write(tmp_path / 'single', 1)
    episodes = FrameFolderEpisodes(tmp_path)
    messages = {
        'torn': r'frame_3\.png is no image',
        'empty': r'frame_5\.png is no image',
        'mixed': r'mixed: the frames of "video" have different sizes',
        'single': r'single gives 1 frame, which is too few',
    }
    for number, folder in enumerate(episodes.folders):
        if folder.name == 'good':
            assert len(episodes[number]) == 12
            continue
        with pytest.raises(UserError, match=messages[folder.name]):
            episodes[number]


def test_cameras_that_do_not_fit_together_are_named(tmp_path):
    write(tmp_path / 'a' / 'front')
    write(tmp_path / 'a' / 'wrist')
    write(tmp_path / 'b' / 'front')
    write(tmp_path / 'c' / 'front')
    write(tmp_path / 'c' / 'wrist', 20)
    episodes = FrameFolderEpisodes(tmp_path)
    with pytest.raises(UserError, match=r'b has no frames of camera "wrist", only of front'):
        episodes[1]
    with pytest.raises(UserError, match=r'c: the cameras differ in length \(12 of front, 20 of'):
        episodes[2]
