# SPDX-License-Identifier: Apache-2.0
"""A gripper that holds an object instead of pushing on until its motor is overloaded.

Told to close on something rigid, the position controller of the motor pushes with all it has, and
after some seconds the motor protects itself and goes limp (interbotix_ros_arms#26).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class GripperGuard:
    """Where the fingers are stopped, they are told to go only a little further.

    Attributes:
        squeeze_m: how far a finger is told to go beyond where it was stopped, m: the grip's force.
        still_m: a finger that moves less than this stands still, m.
        still_s: so long it has to stand still before it counts as stopped, s.
    """

    squeeze_m: float = 0.001
    still_m: float = 0.0004
    still_s: float = 0.3

    def __post_init__(self) -> None:
        self._anchor: float | None = None
        self._since = 0.0
        self._held: float | None = None
        self._widest = 0.0  # measured while it holds, m

    @property
    def holding(self) -> bool:
        """Whether an object stops the fingers."""
        return self._held is not None

    def command(self, wanted: float, measured: float, now: float) -> float:
        """The opening to send, m, for one that is wanted, one that is measured, and the time, s."""
        if self._held is not None:
            reached = measured <= self._held + self.still_m  # it gave way, or is gone
            # After a stop or a fault the arm goes on from where it is measured, the fingers as
            # well: told to stay, they keep their grip. Not where somebody has opened them.
            near = measured <= self._held + 2.0 * self.squeeze_m + self.still_m
            if near:
                self._widest = max(self._widest, measured)
            stays = near and wanted <= self._widest + self.still_m
            if not reached and (wanted < self._held or stays):
                return self._held
            self._held = self._anchor = None
        moves = self._anchor is None or abs(measured - self._anchor) > self.still_m
        if moves or wanted >= measured - self.squeeze_m - self.still_m:
            self._anchor, self._since = measured, now
        elif now - self._since >= self.still_s:
            self._held, self._widest = measured - self.squeeze_m, measured
            return self._held
        return wanted
