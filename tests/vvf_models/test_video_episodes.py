# SPDX-License-Identifier: Apache-2.0
import json
import shutil

import numpy as np
import pytest

from tests.shared_data import shared_data
from tests.vvf_models.toy_videos import numbered, numbers, write_video
from vvf_models.data.episode import Event
from vvf_models.data.images import crop_clip_images, resize_images
from vvf_models.data.options import ReadOptions
from vvf_models.data.video import VideoEpisodes, ViewEpisodes
from vvf_models.errors import UserError

ALL = ReadOptions(fps=0)


@pytest.mark.parametrize(
    ('name', 'codec'),
    [('a.mp4', ''), ('a.mp4', 'libsvtav1'), ('a.webm', ''), ('a.mkv', ''), ('a.mov', '')],
)
def test_every_container_gives_all_frames_and_their_stamps(tmp_path, name, codec):
    write_video(tmp_path / name, 40, fps=20, codec=codec)
    (episode,) = VideoEpisodes(tmp_path, ALL)
    episode.check()
    assert numbers(episode.images['video']) == list(range(40))
    # Matroska and webm count in milliseconds.
    np.testing.assert_allclose(episode.stamps, np.arange(40) / 20, atol=6e-4)
    assert (episode.episode_id, episode.success, episode.success_index) == ('a', None, -1)


def test_irregular_stamps_are_those_of_the_container(tmp_path):
    times = np.cumsum([0, 1, 2, 1, 3, 1, 1, 2, 1, 1, 2, 1])
    write_video(tmp_path / 'a.mp4', 12, fps=30, times=times.tolist())
    (episode,) = VideoEpisodes(tmp_path, ALL)
    np.testing.assert_allclose(episode.stamps, times / 30, atol=1e-6)


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv', 'a.webm'])
def test_a_file_that_begins_late_counts_from_its_first_frame(tmp_path, name):
    write_video(tmp_path / name, 60, times=range(90, 150))
    clips = VideoEpisodes(tmp_path, ReadOptions(fps=0, clip_frames=(10, 30)))
    assert [numbers(c.images['video']) for c in clips] == [[*range(30)], [*range(30, 60)]]
    assert clips[0].stamps[0] == 0
    assert clips[1].stamps[0] == pytest.approx(1)


def test_a_faster_video_is_sampled(tmp_path):
    write_video(tmp_path / 'a.mp4', 90)
    (episode,) = VideoEpisodes(tmp_path)
    assert numbers(episode.images['video']) == list(range(0, 90, 6))
    np.testing.assert_allclose(episode.stamps, np.arange(15) / 5, atol=1e-6)
    assert episode.rate_hz == pytest.approx(5)


def test_a_slower_video_keeps_its_frames(tmp_path):
    write_video(tmp_path / 'a.mp4', 12, fps=3)
    assert len(VideoEpisodes(tmp_path)[0]) == 12


@pytest.mark.parametrize('fps', [0, 15])
def test_a_long_video_is_cut_without_losing_a_frame(tmp_path, fps):
    write_video(tmp_path / 'a.mp4', 200)
    clips = VideoEpisodes(tmp_path, ReadOptions(fps=fps, clip_frames=(10, 60)))
    step = 2 if fps else 1
    assert len(clips) == 4 // step
    assert [clip.episode_id for clip in clips[:2]] == ['a_0000', 'a_0001']
    found = [number for clip in clips for number in numbers(clip.images['video'])]
    assert found == list(range(0, 200, step))
    assert all(10 <= len(clip) <= 60 for clip in clips)
    np.testing.assert_allclose(np.concatenate([c.stamps for c in clips]), np.array(found) / 30)


def test_frames_are_cropped_as_r3m_and_vip_do(tmp_path):
    rng = np.random.default_rng(0)
    frame = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((80, 80, 1))).astype(np.uint8)
    write_video(tmp_path / 'a.mp4', [frame] * 10)
    exact = VideoEpisodes(tmp_path, ReadOptions(fps=0, crop=False))[0].images['video']
    assert exact.shape == (10, 256, 341, 3)
    cropped = VideoEpisodes(tmp_path, ALL)[0].images['video']
    assert cropped.shape == (10, 224, 224, 3)
    for crop, prepare in ((True, crop_clip_images), (False, resize_images)):
        options = ReadOptions(fps=0, image_size=32, crop=crop)
        small = VideoEpisodes(tmp_path, options)[0].images['video']
        expected = prepare(frame[None], 32)[0].transpose(1, 2, 0)
        assert np.abs(small[0].astype(int) - expected).mean() < 3


def test_a_video_that_lies_on_its_side_is_turned_upright(tmp_path):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, 56:] = 255  # turned counter-clockwise, the right edge comes to the top
    write_video(tmp_path / 'a.mp4', [frame] * 12, rotation=90)
    image = VideoEpisodes(tmp_path, ReadOptions(fps=0, crop=False))[0].images['video'][0]
    assert image.shape == (64, 48, 3)
    assert image[:8].min() > 200
    assert image[8:].max() < 60


def test_labels_lie_beside_the_video_and_keep_it_whole(tmp_path):
    write_video(tmp_path / 'pour.mp4', 100)
    labels = {
        'instruction': 'pour the water',
        'success': True,
        'success_frame': 80,
        'events': [
            {'name': 'spilled', 'frame': 62, 'kind': 'error'},
            {'name': 'grasped', 'frame': 30, 'kind': 'milestone'},
        ],
    }
    (tmp_path / 'pour.json').write_text(json.dumps(labels))
    clips = VideoEpisodes(tmp_path, ReadOptions(clip_frames=(2, 10)))
    (episode,) = clips
    assert len(episode) == 17  # frames 0, 6, ..., 96
    assert (episode.success, episode.success_index) == (True, 14)  # frame 84
    assert episode.instruction == 'pour the water'
    assert episode.events == (Event('grasped', 5, 'milestone'), Event('spilled', 11, 'error'))
    before = clips.fingerprint()
    (tmp_path / 'pour.json').write_text('{"success": false, "failure_kind": "spilled"}')
    assert clips.fingerprint() != before
    episode = VideoEpisodes(tmp_path)[0]
    assert (episode.success, episode.success_index) == (False, -1)
    assert episode.failure_kind == 'spilled'


def test_the_last_frame_may_carry_a_label(tmp_path):
    write_video(tmp_path / 'a.mp4', 100)
    (tmp_path / 'a.json').write_text('{"success": true, "success_frame": 99}')
    assert VideoEpisodes(tmp_path)[0].success_index == 16
    (tmp_path / 'a.json').write_text('{"success": true, "success_frame": 100}')
    with pytest.raises(UserError, match=r'a\.json labels frame 100, but there are only 100'):
        VideoEpisodes(tmp_path)[0]


def test_an_instruction_for_all(tmp_path):
    write_video(tmp_path / 'a.mp4', 60)
    write_video(tmp_path / 'b.mp4', 60)
    (tmp_path / 'task_instruction.json').write_text('["clean up", "tidy"]')
    (tmp_path / 'b.json').write_text('{"instruction": "wipe"}')
    assert [e.instruction for e in VideoEpisodes(tmp_path)] == ['clean up', 'wipe']


def test_labels_of_nothing_are_named(tmp_path, caplog):
    write_video(tmp_path / 'pour_07.mp4', 12)
    (tmp_path / 'pour_7.json').write_text('{"success": true}')
    VideoEpisodes(tmp_path)
    assert 'pour_7.json labels nothing' in caplog.text


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'not readable JSON'),
        ('[]', 'must be a mapping'),
        ('{"sucess": true}', 'no entry "sucess"'),
        ('{"success": "yes"}', '"success" is "yes"'),
        ('{"success": false, "success_frame": 3}', 'success is not true'),
        ('{"events": [{"name": "a"}]}', 'no event with name, frame and kind'),
        ('{"events": [{"name": "a", "frame": 1, "kind": "x"}]}', 'no event'),
    ],
)
def test_wrong_labels_are_named(tmp_path, text, message):
    write_video(tmp_path / 'a.mp4', 12)
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(UserError, match=rf'a\.json.*{message}'):
        VideoEpisodes(tmp_path)


def damaged(path, how):
    if how == 'not a video':
        path.write_bytes(b'hello' * 99)
    elif how == 'empty':
        path.write_bytes(b'')
    elif how == 'index lost':
        write_video(path, 60)
        path.write_bytes(path.read_bytes()[:-400])
    elif how == 'cut off behind the index':
        write_video(path, 60, container={'movflags': 'faststart'})
        path.write_bytes(path.read_bytes()[:-3000])
    elif how == 'bytes overwritten':
        write_video(path, 60, container={'movflags': 'faststart'})
        data = bytearray(path.read_bytes())
        middle = len(data) * 2 // 3
        data[middle : middle + 400] = bytes(b ^ 0x5A for b in data[middle : middle + 400])
        path.write_bytes(data)
    elif how == 'webm cut off':
        write_video(path, 60)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    'how',
    ['not a video', 'empty', 'index lost', 'cut off behind the index', 'bytes overwritten'],
)
def test_a_bad_video_is_named_and_the_others_are_read(tmp_path, how):
    write_video(tmp_path / 'a.mp4', 60)
    damaged(tmp_path / 'b.mp4', how)
    write_video(tmp_path / 'c.mp4', 60)
    clips = VideoEpisodes(tmp_path, ALL)
    assert len(clips) == 3
    assert [len(clips[0]), len(clips[2])] == [60, 60]
    with pytest.raises(UserError, match=r'b\.mp4 .*(replace or )?remove it'):
        clips[1]
    assert clips.source(1).endswith('b.mp4')


def test_a_webm_that_was_cut_off_is_named(tmp_path):
    damaged(tmp_path / 'a.webm', 'webm cut off')
    with pytest.raises(UserError, match=r'a\.webm stops after .* of 2\.0 s: it was cut off'):
        VideoEpisodes(tmp_path, ALL)[0]


def test_without_a_duration_in_the_header_packets_tell(tmp_path):
    write_video(tmp_path / 'a.mkv', 60, container={'live': '1'})
    clips = VideoEpisodes(tmp_path, ReadOptions(fps=0, clip_frames=(10, 30)))
    assert [numbers(c.images['video']) for c in clips] == [[*range(30)], [*range(30, 60)]]


@pytest.mark.parametrize(('frames', 'fps'), [(1, 0), (9, 0), (54, 5)])
def test_too_short_clips_are_named(tmp_path, frames, fps):
    write_video(tmp_path / 'short.mp4', frames)
    count = 9 if fps else frames
    with pytest.raises(UserError, match=rf'short\.mp4 gives {count} frames.* fewer than 10'):
        VideoEpisodes(tmp_path, ReadOptions(fps=fps))[0]


def views(folder, frames=60, cameras=('high', 'left')):
    for offset, camera in enumerate(cameras):
        count = frames if isinstance(frames, int) else frames[offset]
        write_video(folder / f'{camera}.mp4', [numbered(n + offset) for n in range(count)])


def test_views_of_one_episode(tmp_path):
    views(tmp_path / 'episode_2')
    views(tmp_path / 'episode_10')
    (tmp_path / 'task_instruction.json').write_text('["clean the table", "tidy up"]')
    keyframes = [{'anotation': 'reach', 'start_frame_id': 3, 'end_frame_id': 20}]
    (tmp_path / 'episode_2' / 'annotated_keyframes.json').write_text(json.dumps(keyframes))
    (tmp_path / 'episode_10.json').write_text('{"success": false}')
    episodes = ViewEpisodes(tmp_path)
    assert [e.episode_id for e in episodes] == ['episode_2', 'episode_10']
    first, second = episodes
    assert list(first.images) == ['high', 'left']
    assert numbers(first.images['high']) == list(range(0, 60, 6))
    assert numbers(first.images['left']) == list(range(1, 61, 6))
    assert first.images['high'].shape == (10, 48, 64, 3)  # robots' views are not cropped
    assert first.events == (Event('reach', 4, 'milestone'),)  # frame 24 is the first at or after 20
    assert first.instruction == 'clean the table'
    assert [first.success, second.success] == [None, False]
    assert list(ViewEpisodes(tmp_path, ReadOptions(cameras=('left',)))[0].images) == ['left']
    assert len(ViewEpisodes(tmp_path / 'episode_2')) == 1


def test_views_of_slightly_different_length_are_cut_with_a_word(tmp_path, caplog):
    views(tmp_path / 'e', frames=(60, 58))
    episode = ViewEpisodes(tmp_path, ALL)[0]
    assert {len(frames) for frames in episode.images.values()} == {58}
    assert len(episode.stamps) == 58
    assert 'cut to 58 frames, as there are 60 of high, 58 of left' in caplog.text
    with pytest.raises(UserError, match=r'differ in length \(60 of high, 58 of left frames\)'):
        ViewEpisodes(tmp_path, ReadOptions(fps=0, tolerance=1))[0]


def test_a_missing_view_is_named(tmp_path):
    views(tmp_path / 'a')
    views(tmp_path / 'b', cameras=('high',))
    episodes = ViewEpisodes(tmp_path)
    assert len(episodes[0]) == 10
    with pytest.raises(UserError, match=r'b has no video of camera "left", only of high'):
        episodes[1]
    assert len(ViewEpisodes(tmp_path, ReadOptions(cameras=('high',)))[1]) == 10


def test_the_real_two_armed_episode():
    (episode,) = ViewEpisodes(shared_data('bimanual_table_cleanup'), ReadOptions(image_size=32))
    assert list(episode.images) == ['cam_high', 'cam_left_wrist', 'cam_right_wrist']
    assert len(episode) == 213  # 1277 frames at 30 a second
    assert episode.rate_hz == pytest.approx(5)
    assert episode.instruction == 'clean the table'
    assert len(episode.events) == 16
    assert episode.events[0] == Event('subtask1', 25, 'milestone')  # ends in frame 147
    assert episode.events[-1].frame == 211  # in frame 1263
    assert episode.success is None


def test_the_real_franka_video():
    folder = shared_data('franka_pick_place')
    (clip,) = VideoEpisodes(folder, ReadOptions(image_size=32))
    assert len(clip) == 65
    clips = VideoEpisodes(folder, ReadOptions(fps=0, image_size=32))
    assert [len(clip) for clip in clips] == [129, 129, 129]  # 387 frames
    stamps = np.concatenate([clip.stamps for clip in clips])
    assert stamps[1] == pytest.approx(13 / 600)  # its gaps are uneven: 13, 20, 20 of 600
    assert (np.diff(stamps) > 0).all()


def test_a_cut_off_real_video_is_named(tmp_path):
    source = shared_data('franka_pick_place') / 'pap_demo.mp4'
    shutil.copyfile(source, tmp_path / 'cut.mp4')
    (tmp_path / 'cut.mp4').write_bytes(source.read_bytes()[:1_500_000])
    with pytest.raises(UserError, match=r'cut\.mp4'):
        VideoEpisodes(tmp_path)[0]
