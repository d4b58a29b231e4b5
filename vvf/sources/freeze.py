# SPDX-License-Identifier: Apache-2.0
"""Notices a camera that repeats its pictures.

A sensor has noise: no two of its frames are the same in every pixel. Some cameras whose bus or
firmware hangs go on to deliver their last frame for ever, which looks like a scene in which nothing
happens. Others fill up to the rate they promised by giving every frame twice.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

_SAMPLE = 8  # of each side; the whole is compared only where the sample is the same
_WINDOW = 100
_LEAST = 50


class FreezeWatch:
    """Compares each frame with the one before.

    Args:
        after_s: a picture that stays for longer is frozen; 0: none ever is.

    Attributes:
        repeated: frames that were the same as the one before.
        frozen: whether the last frame was a frozen one.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._last: npt.NDArray[np.uint8] | None = None
        self._since = 0.0
        self._window: deque[bool] = deque(maxlen=_WINDOW)
        self.repeated = 0
        self.frozen = False

    @property
    def share(self) -> float:
        """Part of the last frames that were repeats; 0 until there were enough of them."""
        return sum(self._window) / len(self._window) if len(self._window) >= _LEAST else 0.0

    def add(self, frame: npt.NDArray[np.uint8], now_s: float) -> bool:
        """Look at a frame, which must not be written to afterwards; says whether it is frozen.

        Args:
            frame: uint8 (height, width, channels).
            now_s: when, on any steady clock.
        """
        same = self._last is not None and _same(frame, self._last)
        self._last = frame
        self._window.append(same)
        self.repeated += same
        if not same:
            self._since = now_s
        self.frozen = bool(same and self._after_s and now_s - self._since > self._after_s)
        return self.frozen


def _same(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> bool:
    if a.shape != b.shape:
        return False
    if not np.array_equal(a[::_SAMPLE, ::_SAMPLE], b[::_SAMPLE, ::_SAMPLE]):
        return False
    return np.array_equal(a, b)
