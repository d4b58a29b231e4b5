# SPDX-License-Identifier: Apache-2.0
"""Where a camera's frames come from: a V4L2 device or a video file."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vvf.errors import UserError

Frame = NDArray[np.uint8]


class FrameSource(Protocol):
    """Gives RGB frames (height, width, 3), one after the other."""

    @property
    def rate_hz(self) -> float:
        """The rate that the source says it has; 0 where it does not say."""
        ...

    def read(self) -> Frame | None:
        """The next frame; `None` where there is none (yet): end of file, unplugged, timed out."""
        ...

    def close(self) -> None:
        """Release the device or file."""
        ...


class DeviceSource:
    """A V4L2 device through OpenCV, opened again after it was unplugged.

    Args:
        device: `/dev/video0`, or its number.
        width: wanted size in pixels; the driver may choose another.
        height: see `width`.
        rate_hz: wanted rate.
        retry_s: pause between two attempts to open it again.

    Raises:
        UserError: `device` is no video device's name.
    """

    def __init__(
        self, device: str, width: int, height: int, rate_hz: float, retry_s: float = 1.0
    ) -> None:
        match = re.fullmatch(r'(?:/dev/video)?(\d+)', device)
        if match is None and not device.startswith('/dev/'):
            raise UserError(f'camera device {device!r}: give /dev/videoN or its number N.')
        self._device: int | str = int(match.group(1)) if match else device
        self._wanted = (width, height, rate_hz)
        self._retry_s = retry_s
        self._next_try = 0.0
        self._capture: Any = None
        self._open()

    def _open(self) -> None:
        import cv2

        self._next_try = time.monotonic() + self._retry_s
        # It would complain at every attempt; whoever reads says it once.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            return
        width, height, rate = self._wanted
        # MJPEG: most USB cameras reach their rate at 640x480 only so.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*'MJPG'))
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
            (cv2.CAP_PROP_FPS, rate),
            (cv2.CAP_PROP_BUFFERSIZE, 1),
        ):
            if value:
                capture.set(key, value)
        self._capture = capture

    @property
    def rate_hz(self) -> float:
        """The rate that was asked for."""
        return float(self._wanted[2])

    def read(self) -> Frame | None:
        """The next frame; `None` while the device is away."""
        import cv2

        if self._capture is None:
            if time.monotonic() < self._next_try:
                time.sleep(0.05)
            else:
                self._open()
            return None
        good, frame = self._capture.read()
        if not good or frame is None:
            self._capture.release()
            self._capture = None
            return None
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()


class VideoSource:
    """A video file through PyAV (OpenCV's wheel gives no frames of AV1 and says nothing).

    Raises:
        UserError: there is no such file, or it holds no video.
    """

    def __init__(self, path: str | Path, *, loop: bool = False) -> None:
        import av

        self._path, self._loop = Path(path), loop
        if not self._path.is_file():
            raise UserError(f'video {path} does not exist; give the path of a video file.')
        try:
            self._container = av.open(str(self._path))
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            raise UserError(f'{path} holds no video that can be read.') from error
        self._frames: Iterator[Frame] = self._decode()

    def _decode(self) -> Iterator[Frame]:
        for frame in self._container.decode(self._stream):
            yield np.asarray(frame.to_ndarray(format='rgb24'), np.uint8)

    @property
    def rate_hz(self) -> float:
        """The file's frame rate."""
        return float(self._stream.average_rate or 0.0)

    def read(self) -> Frame | None:
        """The next frame; `None` at the end, unless the file is looped."""
        frame = next(self._frames, None)
        if frame is None and self._loop:
            self._container.seek(0)
            self._frames = self._decode()
            frame = next(self._frames, None)
        return frame

    def close(self) -> None:
        """Close the file."""
        self._container.close()
