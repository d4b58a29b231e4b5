# SPDX-License-Identifier: Apache-2.0
"""Frames from video files and devices."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from vvf.errors import UserError
from vvf.sources import DeviceSource, VideoSource

LEVELS = (20, 90, 160, 230)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / 'grey.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for level in LEVELS:
            image = np.full((48, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def test_a_video_gives_its_frames_in_order_and_ends(video: Path) -> None:
    source = VideoSource(video)
    assert source.rate_hz == pytest.approx(10.0)
    frames = [source.read() for _ in LEVELS]
    for frame, level in zip(frames, LEVELS, strict=True):
        assert frame.shape == (48, 64, 3)
        assert frame.dtype == np.uint8
        assert abs(frame.mean() - level) < 6
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


def test_an_absent_device_gives_no_frames_and_no_crash() -> None:
    source = DeviceSource('/dev/video93', 640, 480, 30.0, retry_s=0.01)
    assert [source.read() for _ in range(3)] == [None, None, None]
    source.close()


def test_a_device_has_a_device_s_name() -> None:
    with pytest.raises(UserError, match='/dev/videoN'):
        DeviceSource('front camera', 640, 480, 30.0)
