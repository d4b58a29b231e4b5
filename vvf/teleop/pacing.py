# SPDX-License-Identifier: Apache-2.0
"""When a step is due, and which image it answers.

In an episode a human's step answers an image as a policy's does: it bears that image's stamp, at
the task's rate, so that the recorded frames are the ones that were acted upon. Without a new image
there is no step, and the arm holds, as nothing of it could be learnt. Outside of an episode nothing
is recorded; there the arm may be moved without a camera, and a step is stamped with its own time.
"""

from __future__ import annotations

from vvf.pace import Pace

_FRESH_NS = 500_000_000


class Pacing:
    """Steps at a rate.

    Args:
        rate_hz: of the task's actions.
    """

    def __init__(self, rate_hz: float) -> None:
        self.period = 1.0 / rate_hz
        self._frame = -1
        self._pace = Pace(self.period)
        self._last_sent = -float('inf')

    def saw_frame(self, stamp_ns: int) -> None:
        """Take the stamp of a frame of the reference camera."""
        self._frame = stamp_ns

    def frames_flow(self, now_ns: int) -> bool:
        """Whether the newest frame is new."""
        return self._frame >= 0 and abs(now_ns - self._frame) < _FRESH_NS

    def due(self, now: float, now_ns: int, *, after_ns: int, in_episode: bool) -> int | None:
        """The stamp of the step that is due.

        Args:
            now: s of a steady clock.
            now_ns: the node's clock.
            after_ns: of the takeover: earlier images were the policy's.
            in_episode: an episode runs.

        Returns:
            In ns; `None` while no step is due.
        """
        if self.frames_flow(now_ns):
            due = self._frame > after_ns and self._pace.due(self._frame * 1e-9)
            return self._frame if due else None
        if in_episode or now - self._last_sent < self.period:
            return None
        return now_ns

    def sent(self, now: float, stamp_ns: int) -> None:
        """A step was sent."""
        self._last_sent = now
        self._pace.took(stamp_ns * 1e-9)
