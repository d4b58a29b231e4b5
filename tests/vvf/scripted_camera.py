# SPDX-License-Identifier: Apache-2.0
"""A USB camera that does as a test says, behind the interface of `cv2.VideoCapture`."""

from __future__ import annotations

import os
import queue
from typing import Any

import cv2
import numpy as np

FOURCC = cv2.CAP_PROP_FOURCC
SIZE = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture of its own for each number: noise, as a sensor has it."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


class Camera:
    """One camera, plugged in at a device; `open` is what a source calls.

    Args:
        device: where it is plugged in.
        size: the only one that it has; None: any.
        rate_hz: the most that it promises.
        pixel_format: the only one that it has; None: any.
        refused: properties that it does not let anybody set.
    """

    def __init__(
        self,
        device: str = '/dev/video0',
        *,
        size: tuple[int, int] | None = None,
        rate_hz: float = 60.0,
        pixel_format: str | None = None,
        refused: tuple[int, ...] = (),
    ) -> None:
        self.device: str | None = device
        self.size, self.rate_hz, self.pixel_format = size, rate_hz, pixel_format
        self.refused = refused
        self.now = 100.0  # the kernel's clock
        self.period = 1.0 / 30.0
        self.stamped = True
        self.stuck: float | None = None  # the stamp of all frames from now on
        self.frozen = False
        self.damage = 0  # so many of the next frames cannot be decoded
        self.taken = 0
        self.asked: list[tuple[int, float]] = []
        self.opened: list[str] = []

    def open(self, device: str) -> Capture:
        self.opened.append(device)
        return Capture(self, os.path.realpath(device))

    def take(self) -> tuple[np.ndarray | None, float]:
        """The next frame, and when it was taken."""
        self.now += self.period
        self.taken += not self.frozen
        return picture(self.taken), self.now if self.stuck is None else self.stuck


class Capture:
    """What `cv2.VideoCapture` would be."""

    def __init__(self, camera: Camera, device: str) -> None:
        self._camera, self._device = camera, device
        self._values: dict[int, float] = {}
        self._stamp = 0.0
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802, the name is OpenCV's
        return not self.released and self._camera.device == self._device

    def set(self, key: int, value: float) -> bool:
        camera = self._camera
        camera.asked.append((key, value))
        if key in camera.refused:
            return False
        if key in SIZE and camera.size:
            value = camera.size[SIZE.index(key)]
        if key == FOURCC and camera.pixel_format:
            value = cv2.VideoWriter.fourcc(*camera.pixel_format)
        if key == cv2.CAP_PROP_FPS:
            value = min(value, camera.rate_hz)
        self._values[key] = value
        return True

    def get(self, key: int) -> float:
        if key == cv2.CAP_PROP_POS_MSEC:
            return self._stamp * 1e3 if self._camera.stamped else 0.0
        if key == FOURCC and key not in self._values and self._camera.pixel_format:
            return cv2.VideoWriter.fourcc(*self._camera.pixel_format)
        return self._values.get(key, -1.0)

    def read(self) -> tuple[bool, Any]:
        if not self.isOpened():
            return False, None
        frame, self._stamp = self._camera.take()
        if self._camera.damage:
            self._camera.damage -= 1
            return False, None
        return frame is not None, frame

    def release(self) -> None:
        self.released = True


class HandedCamera(Camera):
    """A camera whose frames a test hands over one by one; reading waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self._handed: queue.Queue[tuple[np.ndarray | None, float]] = queue.Queue()

    def give(self, frame: np.ndarray, taken_s: float) -> None:
        self._handed.put((frame, taken_s))

    def unplug(self) -> None:
        self.device = None
        self._handed.put((None, 0.0))

    def take(self) -> tuple[np.ndarray | None, float]:
        return self._handed.get()
