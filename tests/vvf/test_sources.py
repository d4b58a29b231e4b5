# SPDX-License-Identifier: Apache-2.0
"""Frames from video files and devices."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.vvf.scripted_camera import FOURCC, Camera, picture
from vvf.calibration.pictures import Video
from vvf.errors import UserError
from vvf.sources import DeviceSource, VideoSource
from vvf.sources.controls import parse_controls
from vvf.sources.names import list_devices, stable_path, why_absent
from vvf.sources.reader import WARN, CameraReader
from vvf.sources.stamps import Stamper

LEVELS = (20, 90, 160, 230)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / 'grey.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for level in LEVELS:
            image = np.full((48, 64, 3), level, np.uint8)
            image[..., 2] //= 4
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def device(camera: Camera, name: str = '/dev/video0', **options) -> DeviceSource:
    return DeviceSource(name, 640, 480, 30.0, retry_s=0.0, capture=camera.open, **options)


def test_a_video_gives_its_frames_in_order_and_ends(video: Path) -> None:
    source = VideoSource(video)
    assert source.rate_hz == pytest.approx(10.0)
    frames = [source.read() for _ in LEVELS]
    for frame, level in zip(frames, LEVELS, strict=True):
        assert frame.shape == (48, 64, 3)
        assert frame.dtype == np.uint8
        assert abs(frame[..., 0].mean() - level) < 8
    assert source.read() is None
    source.close()


def test_a_looped_video_begins_again(video: Path) -> None:
    source = VideoSource(video, loop=True)
    means = [source.read().mean() for _ in range(2 * len(LEVELS))]
    np.testing.assert_allclose(means[:4], means[4:], atol=6)
    source.close()


def test_what_is_no_video_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='does not exist'):
        VideoSource(tmp_path / 'absent.mp4')
    text = tmp_path / 'text.mp4'
    text.write_text('not a video')
    with pytest.raises(UserError, match='holds no video'):
        VideoSource(text)


def damage(video: Path, part: float) -> None:
    """Zeros instead of the pictures after this part of them."""
    raw = bytearray(video.read_bytes())
    first, last = raw.index(b'mdat') + 4, raw.index(b'moov')
    start = first + round(part * (last - first))
    raw[start:last] = bytes(last - start)
    video.write_bytes(raw)


@pytest.mark.parametrize(('part', 'least'), [(0.0, 0), (0.6, 1)])
def test_a_damaged_video_ends_where_it_is_damaged_and_says_so(
    video: Path, part: float, least: int
) -> None:
    damage(video, part)
    pictures = Video(video, 0)
    readable = len(list(pictures))
    assert least <= readable < len(LEVELS)
    sentence = f'grey.mp4 is damaged: it can be read for {readable} frames only'
    assert pictures.unreadable == [sentence]
    said: list[tuple[bool, str]] = []
    reader = CameraReader(
        VideoSource(video, loop=True),
        Stamper(lambda: 1),
        lambda frame, stamp: True,
        lambda warning, words: said.append((warning, words)),
        rate_hz=1e3,
    )
    for _ in range(3 * len(LEVELS)):
        reader.step()
    assert said[0] == (True, sentence)
    assert reader.report()[:2] == (WARN, sentence)
    assert reader.ended == (readable == 0), 'what is whole is looped'
    assert sum(warning for warning, _ in said) == 1


def test_an_absent_device_gives_no_frames_and_no_crash() -> None:
    source = DeviceSource('/dev/video93', 640, 480, 30.0, retry_s=0.01)
    assert [source.read() for _ in range(3)] == [None, None, None]
    source.close()


@pytest.mark.parametrize('name', ['front camera', '/etc/passwd', 'video0'])
def test_a_device_has_a_device_s_name(name: str) -> None:
    with pytest.raises(UserError, match='/dev/videoN'):
        DeviceSource(name, 640, 480, 30.0)


def test_a_pixel_format_is_one_whose_colours_come_out_right() -> None:
    with pytest.raises(UserError, match='MJPG'):
        device(Camera(), pixel_format='NV12')


def test_frames_are_rgb_and_the_format_is_asked_for_before_the_size() -> None:
    camera = Camera()
    source = device(camera)
    keys = [key for key, _ in camera.asked]
    assert keys[:2] == [FOURCC, cv2.CAP_PROP_FRAME_WIDTH]
    assert cv2.CAP_PROP_BUFFERSIZE not in keys, 'one buffer halves the rate'
    np.testing.assert_array_equal(source.read(), picture(1)[:, :, ::-1])
    assert source.taken_s == pytest.approx(camera.now)
    assert str(source.promised) == '64x48 30 Hz MJPG'


def test_what_the_driver_does_otherwise_is_said() -> None:
    source = device(Camera(size=(1280, 720), rate_hz=15.0, pixel_format='YUYV'))
    assert source.complaints == (
        'gives 1280x720 instead of 640x480',
        'gives YUYV instead of MJPG',
        'promises 15 instead of 30 Hz',
    )
    swapped = device(Camera(pixel_format='NV12'), pixel_format='')
    assert 'red for blue' in swapped.complaints[0]


def test_a_size_that_the_driver_does_not_admit_is_said_all_the_same() -> None:
    source = device(Camera())
    assert source.complaints == ()
    assert source.read() is not None  # of 64x48
    assert source.complaints == ('gives 64x48 instead of 640x480',)


def test_a_damaged_frame_is_left_out_and_no_reason_to_begin_anew() -> None:
    camera = Camera()
    source = device(camera)
    camera.damage = 2
    assert source.read() is not None
    assert (source.damaged, source.opened) == (2, 1)
    camera.damage = 100
    assert source.read() is None
    camera.damage = 0
    assert source.read() is None
    assert source.read() is not None
    assert source.opened == 2


def test_a_driver_without_stamps_has_none() -> None:
    camera = Camera()
    camera.stamped = False
    source = device(camera)
    assert source.read() is not None
    assert source.taken_s is None


def test_a_camera_comes_back_under_another_number(tmp_path: Path) -> None:
    link = tmp_path / 'by-id' / 'usb-Maker_Camera_0001-video-index0'
    link.parent.mkdir()
    link.symlink_to('/dev/video0')
    camera = Camera()
    source = device(camera, '0', links=tmp_path)
    assert source.read() is not None
    assert str(link) in source.advice
    camera.device = None
    assert source.read() is None
    assert source.read() is None
    link.unlink()
    link.symlink_to('/dev/video2')
    camera.device = '/dev/video2'
    assert source.read() is None, 'it is opened, and read the next time'
    assert source.read() is not None
    assert source.opened == 2
    assert camera.opened == ['/dev/video0', str(link), str(link)]


def test_a_device_without_a_link_keeps_its_number(tmp_path: Path) -> None:
    source = device(Camera(), links=tmp_path)
    assert source.device == '/dev/video0'
    assert 'may be another camera' in source.advice
    named = device(Camera('/dev/table_wrist'), '/dev/table_wrist', links=tmp_path)
    assert named.advice == ''


def test_automatics_are_set_before_what_they_choose() -> None:
    controls = parse_controls('exposure=157, auto_exposure=1  gain=10')
    assert list(controls) == ['auto_exposure', 'exposure', 'gain']
    camera = Camera(refused=(cv2.CAP_PROP_GAIN,))
    source = device(camera, controls=controls)
    assert camera.asked[-3:] == [
        (cv2.CAP_PROP_AUTO_EXPOSURE, 1.0),
        (cv2.CAP_PROP_EXPOSURE, 157.0),
        (cv2.CAP_PROP_GAIN, 10.0),
    ]
    assert source.complaints == ('the control gain=10 is refused',)


@pytest.mark.parametrize(
    ('text', 'said'), [('shutter=3', "'shutter' is not one of"), ('gain=high', 'gain=NUMBER')]
)
def test_wrong_controls_are_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_controls(text)


def test_opencv_itself_through_the_same_class(video: Path) -> None:
    source = DeviceSource(
        '/dev/video0',
        0,
        0,
        0.0,
        pixel_format='',
        retry_s=0.0,
        capture=lambda _: cv2.VideoCapture(str(video), cv2.CAP_FFMPEG),
    )
    assert source.promised is not None
    assert (source.promised.width, source.promised.height) == (64, 48)
    assert source.rate_hz == pytest.approx(10.0)
    taken = []
    for level in LEVELS:
        frame = source.read()
        assert frame is not None
        assert abs(frame[..., 0].mean() - level) < 8, 'red comes first'
        assert frame[..., 2].mean() < frame[..., 0].mean()
        taken.append(source.taken_s or 0.0)
    np.testing.assert_allclose(np.diff(taken), 0.1, atol=1e-3)
    assert source.read() is None, 'the file ends as a camera that is unplugged'
    assert source.read() is None
    assert source.read() is not None
    assert source.opened == 2
    source.close()


def test_devices_are_listed_with_the_names_that_stay(tmp_path: Path) -> None:
    for number, index in ((10, 0), (2, 1)):
        entry = tmp_path / 'class' / f'video{number}'
        entry.mkdir(parents=True)
        (entry / 'name').write_text(f'Camera {number}\n')
        (entry / 'index').write_text(f'{index}\n')
    by_path = tmp_path / 'by-path' / 'pci-0000:00:14.0-usb-0:3:1.0-video-index0'
    by_path.parent.mkdir()
    by_path.symlink_to('/dev/video10')
    found = list_devices(tmp_path / 'class', tmp_path)
    assert [(d.path, d.name, d.index) for d in found] == [
        ('/dev/video2', 'Camera 2', 1),
        ('/dev/video10', 'Camera 10', 0),
    ]
    assert found[1].stable == str(by_path)
    assert stable_path('/dev/video2', tmp_path) == ''
    assert list_devices(tmp_path / 'absent') == []


def test_why_a_device_is_away(tmp_path: Path) -> None:
    assert 'plugged in' in why_absent(str(tmp_path / 'video0'))
    there = tmp_path / 'video1'
    there.touch()
    assert 'fuser' in why_absent(str(there))
