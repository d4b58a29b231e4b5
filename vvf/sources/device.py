# SPDX-License-Identifier: Apache-2.0
"""Frames of a V4L2 device through OpenCV, opened again after it was unplugged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vvf.errors import UserError
from vvf.sources.base import Frame
from vvf.sources.controls import apply_controls
from vvf.sources.names import LINKS, device_path, is_numbered, stable_path

#: What OpenCV turns into the right colours: of NV12 and NV21 it takes red for blue
#: (opencv/opencv, modules/videoio/src/cap_v4l.cpp, convertToRgb).
PIXEL_FORMATS = ('', 'MJPG', 'YUYV', 'UYVY', 'GREY', 'BGR3', 'RGB3')
_POLL_S = 0.05
_ATTEMPTS = 3  # a frame may be damaged on the bus: the next one decides
_STALLED_S = 1.0  # OpenCV waits 10 s for a frame that does not come


@dataclass(frozen=True)
class CameraMode:
    """Size, rate and pixel format of a camera; 0 and '' where they are not said or do not matter.

    Attributes:
        width: pixels.
        height: pixels.
        rate_hz: frames per second.
        pixel_format: V4L2's four letters, such as MJPG.
    """

    width: int = 0
    height: int = 0
    rate_hz: float = 0.0
    pixel_format: str = ''

    def __str__(self) -> str:
        return f'{self.width}x{self.height} {self.rate_hz:g} Hz {self.pixel_format}'.strip()

    def differences(self, promised: CameraMode) -> list[str]:
        """What a driver promises other than was asked for here, in words."""
        said = []
        size, other = (self.width, self.height), (promised.width, promised.height)
        if all(size) and all(other) and size != other:
            said.append(f'gives {other[0]}x{other[1]} instead of {size[0]}x{size[1]}')
        if self.pixel_format and promised.pixel_format not in ('', self.pixel_format):
            said.append(f'gives {promised.pixel_format} instead of {self.pixel_format}')
        if promised.pixel_format in ('NV12', 'NV21'):
            said.append(
                f'gives {promised.pixel_format}, of which OpenCV takes red for blue: choose '
                'another pixel_format'
            )
        if self.rate_hz and 0.0 < promised.rate_hz < 0.99 * self.rate_hz:
            said.append(f'promises {promised.rate_hz:g} instead of {self.rate_hz:g} Hz')
        return said


def open_v4l2(device: str) -> Any:
    """A `cv2.VideoCapture` of a V4L2 device, open or not."""
    # It would complain at every attempt; whoever reads says it once.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    return cv2.VideoCapture(device, cv2.CAP_V4L2)


class DeviceSource:
    """A V4L2 device; away while it is unplugged, and found again under whichever number it has.

    Args:
        device: `/dev/v4l/by-id/NAME`, `/dev/video0`, or its number.
        width: wanted size in pixels; the driver may choose another; 0: the driver's own.
        height: see `width`.
        rate_hz: wanted rate; 0: the driver's own.
        pixel_format: one of `PIXEL_FORMATS`; '' is the driver's own. Most USB cameras reach
            their rate at 640x480 with MJPG only.
        controls: exposure and the like, see `vvf.sources.controls`.
        retry_s: pause between two attempts to open it again.
        capture: opens a device; its answer has the interface of `cv2.VideoCapture`.
        links: where udev keeps the names that stay.

    Attributes:
        device: path that is opened; once known, the one that stays when it is plugged again.
        asked: what was asked for.
        promised: what the driver said to that; `None` until it was open.
        opened: how often it could be opened.
        damaged: frames that could not be read.
        complaints: what the driver did otherwise than asked, in words; of the last opening.

    Raises:
        UserError: `device` is no video device's name, or `pixel_format` is not known.
    """

    def __init__(
        self,
        device: str,
        width: int,
        height: int,
        rate_hz: float,
        *,
        pixel_format: str = 'MJPG',
        controls: Mapping[str, float] | None = None,
        retry_s: float = 1.0,
        capture: Callable[[str], Any] = open_v4l2,
        links: Path = LINKS,
    ) -> None:
        if pixel_format not in PIXEL_FORMATS:
            known = ', '.join(filter(None, PIXEL_FORMATS))
            raise UserError(f'camera pixel_format {pixel_format!r}: choose one of {known}.')
        self.device = device_path(device)
        self.asked = CameraMode(width, height, rate_hz, pixel_format)
        self.promised: CameraMode | None = None
        self.opened = self.damaged = 0
        self.complaints: tuple[str, ...] = ()
        self.taken_s: float | None = None
        self._refused: tuple[str, ...] = ()
        self._numbered = is_numbered(device)
        self._controls = dict(controls or {})
        self._retry_s = retry_s
        self._make, self._links = capture, links
        self._next_try = 0.0
        self._capture: Any = None
        self._open()

    @property
    def rate_hz(self) -> float:
        """The rate that was asked for, or else that the driver promises."""
        return self.asked.rate_hz or (self.promised.rate_hz if self.promised else 0.0)

    @property
    def advice(self) -> str:
        """What is wrong with a name that is a number, and a better one if there is; else ''."""
        if not self._numbered:
            return ''
        if is_numbered(self.device):
            return f'{self.device} may be another camera when it is plugged again'
        return f'{self.device} stays the same when the camera is plugged again: use that'

    def _open(self) -> None:
        self._next_try = time.monotonic() + self._retry_s
        capture = self._make(self.device)
        if not capture.isOpened():
            capture.release()
            return
        asked = self.asked
        if asked.pixel_format:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.pixel_format))
        # CAP_PROP_BUFFERSIZE stays: with a single buffer the driver has none while a frame is
        # looked at, and loses the next one: 15 instead of 30 Hz (LibreScanner/horus#60). Whoever
        # reads at once never finds an old frame.
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, asked.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, asked.height),
            (cv2.CAP_PROP_FPS, asked.rate_hz),
        ):
            if value:
                capture.set(key, value)
        self.promised = _promised(capture)
        self._refused = tuple(apply_controls(capture, self._controls))
        self.complaints = (*asked.differences(self.promised), *self._refused)
        self.opened += 1
        self._capture = capture
        if is_numbered(self.device):
            # When it comes back it may have another number, and its number another camera.
            self.device = stable_path(self.device, self._links) or self.device

    def read(self) -> Frame | None:
        """The next frame; `None` while the device is away."""
        if self._capture is None:
            if time.monotonic() < self._next_try:
                time.sleep(min(_POLL_S, self._retry_s))
            else:
                self._open()
            return None
        frame = self._grab()
        if frame is None:
            self.restart()
            return None
        self._check_size(frame.shape[1], frame.shape[0])
        # Milliseconds of the kernel's clock; 0 where the driver stamps nothing.
        taken = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) * 1e-3
        self.taken_s = taken if taken > 0.0 else None
        if frame.ndim == 2:
            return np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB), np.uint8)
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)

    def _check_size(self, width: int, height: int) -> None:
        """Believe the frames more than the driver."""
        promised = self.promised
        if promised is not None and (promised.width, promised.height) != (width, height):
            self.promised = replace(promised, width=width, height=height)
            self.complaints = (*self.asked.differences(self.promised), *self._refused)

    def _grab(self) -> Frame | None:
        """The next frame as OpenCV gives it, BGR; `None` where the device is gone or stalled."""
        for _ in range(_ATTEMPTS):
            began = time.monotonic()
            good, frame = self._capture.read()
            if good and frame is not None:
                return np.asarray(frame, np.uint8)
            self.damaged += 1
            if time.monotonic() - began > _STALLED_S:
                break
        return None

    def restart(self) -> None:
        """Release the device; the next readings open it again."""
        self.close()
        self._next_try = time.monotonic() + self._retry_s

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
        self._capture = None


def _promised(capture: Any) -> CameraMode:
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = code.to_bytes(4, 'little').decode('ascii', 'replace') if code > 0 else ''
    return CameraMode(
        max(0, int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))),
        max(0, int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))),
        max(0.0, float(capture.get(cv2.CAP_PROP_FPS))),
        letters.strip('\0 '),
    )
