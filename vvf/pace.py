# SPDX-License-Identifier: Apache-2.0
"""Which frames are acted upon: as many a second as the task has steps, whatever the camera's rate.

Steps are due on a beat. A frame may come a quarter of a period early and still count as the next,
and the beat goes on from when the step was due, not from when its frame came: the rate is the
task's on average, also where no frame falls on the beat. Only what is off by more than half a
period, such as after a gap, begins a new one.
"""

from __future__ import annotations

_EARLY = 0.25  # part of a period
_OFF = 0.5  # likewise; two steps are at least so far apart, too


class Pace:
    """Says what is due, by the stamps of frames.

    Args:
        period: of a step, s.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self.restart()

    def restart(self) -> None:
        """Take the next frame, whichever it is."""
        self._due = self._last = float('-inf')

    def due(self, stamp: float) -> bool:
        """Whether a frame, stamped in s, is to be acted upon; a clock set back begins anew."""
        passed = stamp - self._last
        if passed < 0.0:
            return True
        return stamp >= self._due - _EARLY * self._period and passed >= _OFF * self._period

    def took(self, stamp: float) -> None:
        """A step was made upon a frame."""
        on_beat = abs(stamp - self._due) <= _OFF * self._period
        self._due = (self._due if on_beat else stamp) + self._period
        self._last = stamp
