# SPDX-License-Identifier: Apache-2.0
"""When a frame was taken, as a ROS stamp that never goes back.

V4L2 drivers stamp each buffer when its first byte arrives (or its last; the driver says which),
with the monotonic clock, or rarely with the wall clock. Where that stamp makes sense, the frame's
stamp is ROS time now less the time since then; else it is the time of arrival, which is later by
what the camera, the bus and the decoder take, 30 to 100 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_MAX_AGE_S = 1.0  # of the first frame: an older stamp is of some other clock
_AHEAD_S = 0.002
_BRACKET_S = 50e-6
_TRIES = 3
SET_BACK_NS = 1_000_000_000


class Stamper:
    """Gives stamps to the frames of one source.

    Args:
        now_ns: ROS time.
        monotonic: the clock of the kernel's stamps.
        wall: the other clock that drivers use.

    Attributes:
        exact: whether the last frame had a stamp of the kernel that made sense.
        refused: frames whose stamp would not have been newer than the one before.
        set_back_s: by how much the clock was set back last, s.
    """

    def __init__(
        self,
        now_ns: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._now_ns, self._monotonic, self._wall = now_ns, monotonic, wall
        self._last_ns = 0
        self._last_taken: float | None = None
        self._clock: Callable[[], float] | None = None  # that of the frames' stamps
        self.exact = False
        self.refused = 0
        self.set_back_s = 0.0

    def stamp(self, taken_s: float | None) -> int | None:
        """The stamp of a frame in nanoseconds, or `None` for one that may not be published.

        A stamp that is no newer than the last one is refused, up to a second: by more than that,
        it is the clock that was set back, and it is followed.

        Args:
            taken_s: when the frame was taken, by the kernel; `None` where that is not known.
        """
        if taken_s is not None and taken_s == self._last_taken:
            self.refused += 1  # the same buffer again
            return None
        self._last_taken = taken_s
        monotonic, now = self._clocks()
        age = None if taken_s is None else self._age(taken_s, monotonic)
        self.exact = age is not None
        stamp = now - round((age or 0.0) * 1e9)
        if stamp <= self._last_ns:
            if self._last_ns - stamp <= SET_BACK_NS:
                self.refused += 1
                return None
            self.set_back_s = (self._last_ns - stamp) * 1e-9
        self._last_ns = stamp
        return stamp

    def _clocks(self) -> tuple[float, int]:
        """Both clocks at one moment: a reading that the scheduler interrupted is repeated."""
        best: tuple[float, float, int] | None = None
        for _ in range(_TRIES):
            before, now, after = self._monotonic(), self._now_ns(), self._monotonic()
            if best is None or after - before < best[0]:
                best = (after - before, (before + after) / 2, now)
            if best[0] <= _BRACKET_S:
                break
        assert best is not None
        return best[1], best[2]

    def _age(self, taken_s: float, monotonic: float) -> float | None:
        """How long ago the frame was taken, s; `None` if its stamp is of no clock known here.

        Once the clock is known, a stamp may be of any age: frames wait in the driver while nobody
        reads them, and must not look new then.
        """
        if self._clock is not None:
            age = (monotonic if self._clock is self._monotonic else self._clock()) - taken_s
            if age >= -_AHEAD_S:
                return max(0.0, age)
        for clock in (self._monotonic, self._wall):
            age = (monotonic if clock is self._monotonic else clock()) - taken_s
            if -_AHEAD_S <= age <= _MAX_AGE_S:
                self._clock = clock
                return max(0.0, age)
        return None
