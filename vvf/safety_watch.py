# SPDX-License-Identifier: Apache-2.0
"""What the safety gate watches: the age of its inputs, and whether the arm follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vvf.safety_limits import RobotLimits
from vvf.safety_states import Reason

FUTURE_S = 0.1  # how far a stamp may lie ahead: clocks of two machines differ
NOT_FOLLOWING = 'does not follow its commands: see what holds it, then call /vvf/arm/recover'


@dataclass(frozen=True)
class MaxAges:
    """How old an input may be, in seconds, before the arm holds; `None` is not watched.

    `tracking` is how long the arm may be farther from its commands than the robot file tolerates.
    """

    action: float | None = 0.6
    image: float | None = 0.6
    joint_state: float | None = 0.25
    value: float | None = None
    recorder: float | None = None
    tracking: float | None = 0.5


class InputWatch:
    """Knows how old the newest of each input is; times are seconds of a steady clock."""

    def __init__(self, max_ages: MaxAges) -> None:
        self._ages = max_ages
        self._seen: dict[str, float] = {}

    def saw(self, stream: str, now: float, age: float = 0.0) -> None:
        """Note an input; what comes from the future by more than a clock's jitter is ignored."""
        if np.isfinite(age) and age >= -FUTURE_S:
            self._seen[stream] = max(now - max(age, 0.0), self._seen.get(stream, -np.inf))

    def forget_actions(self) -> None:
        """Miss nothing until the next action."""
        for stream in ('action', 'image'):
            self._seen.pop(stream, None)

    @property
    def acting(self) -> bool:
        """Whether actions are expected to go on."""
        return 'action' in self._seen

    def stale(self, now: float, *, moving: bool) -> set[Reason]:
        """Which inputs are too old.

        Args:
            now: time, s.
            moving: whether the arm moves by itself, for which it needs its joint states only.
        """
        ages = self._ages
        watched = {}
        if self.acting:
            watched = {
                'action': (ages.action, Reason.STALE_ACTION),
                'image': (ages.image, Reason.STALE_IMAGE),
                'value': (ages.value, Reason.STALE_VALUE),
                'recorder': (ages.recorder, Reason.STALE_RECORDER),
            }
        if self.acting or moving:
            watched['joint_state'] = (ages.joint_state, Reason.STALE_JOINT_STATE)
        return {
            reason
            for stream, (max_age, reason) in watched.items()
            if max_age is not None and now - self._seen.get(stream, -np.inf) > max_age
        }


class TrackingGuard:
    """Notices an arm that does not go where it is told to."""

    def __init__(self, limits: RobotLimits, patience_s: float | None) -> None:
        self._limits = limits
        self._patience_s = patience_s
        self._since: float | None = None

    def restart(self) -> None:
        """Begin anew, as the arm's commands do."""
        self._since = None

    def problem(self, measured: ArrayLike, commanded: NDArray[np.float64], now: float) -> str:
        """What to tell people, once the arm has been astray for too long; '' else.

        Args:
            measured: (n,) joints, rad.
            commanded: (n,) joints, rad.
            now: time, s.
        """
        if self._patience_s is None:
            return ''
        error = np.abs(np.asarray(measured, np.float64) - commanded)
        part = error / self._limits.tracking_tolerance
        if not (part > 1.0).any():
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > self._patience_s:
            return f'{self._limits.joint_names[int(np.argmax(part))]} {NOT_FOLLOWING}'
        return ''
