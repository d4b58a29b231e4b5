# SPDX-License-Identifier: Apache-2.0
"""Notices, while a policy acts, that things go wrong: the progress falls instead of rising.

A drop, a slip or a push takes the robot farther from its goal, and a value model sees that at once.
The gate compares the newest progress with the best of the last seconds and, where it has fallen by
more than a bound, says so once, with the moment to go back to. What is done about it is the
caller's: draw another action, retreat to that moment's pose, ask for a human, or stop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from vvf.errors import UserError

REACTIONS = ('none', 'report', 'resample', 'retreat', 'human', 'stop')

_MEDIAN_OF = 3  # newest values that are judged together: a single outlier is none of a fall
_FEWEST = _MEDIAN_OF + 1  # values without which there are no two medians to compare
# Clocks that add up their steps are off by less, and so a frame just at a bound counts on each.
_ROUNDING_S = 1e-6
Array = NDArray[np.float64]


@dataclass(frozen=True)
class GateConfig:
    """When the gate speaks.

    Attributes:
        reaction: One of `REACTIONS`: what the caller does; 'none' switches the gate off.
        drop: Fall of the progress, in [0, 1], that counts.
        window_s: Within how many seconds; never fewer than four values.
        rest_s: How long it keeps quiet after that, for the reaction to show.
    """

    reaction: str = 'none'
    drop: float = 0.25
    window_s: float = 2.0
    rest_s: float = 3.0

    def __post_init__(self) -> None:
        """Checks what a user may have written.

        Raises:
            UserError: A value is out of its range.
        """
        if self.reaction not in REACTIONS:
            raise UserError(f'value gate {self.reaction!r}: choose {", ".join(REACTIONS)}.')
        if not (0.0 < self.drop <= 1.0 and self.window_s > 0.0 and self.rest_s >= 0.0):
            raise UserError('value gate: the drop lies in (0, 1], the window is above 0 s.')


@dataclass(frozen=True)
class Fall:
    """The progress has fallen.

    Attributes:
        stamp: When it was noticed, s.
        progress: What it has fallen to.
        best: What it has fallen from.
        best_stamp: When it was best, s.
    """

    stamp: float
    progress: float
    best: float
    best_stamp: float


class ValueGate:
    """Watches the progress of one episode after another."""

    def __init__(self, config: GateConfig) -> None:
        self.config = config
        self._seen: deque[tuple[float, float]] = deque()
        self._quiet_until = -np.inf

    def reset(self) -> None:
        """Another episode begins."""
        self._seen.clear()
        self._quiet_until = -np.inf

    def see(self, stamp: float, progress: float) -> Fall | None:
        """Take a value; says where the progress has fallen, once for each fall.

        Args:
            stamp: Of the image that was scored, s.
            progress: In [0, 1]; what is not finite is passed over.
        """
        if self.config.reaction == 'none' or not np.isfinite(progress):
            return None
        if self._seen and stamp < self._seen[-1][0] - self.config.window_s:
            self.reset()  # a clock was set back: what was seen before it cannot be compared
        if self._seen and stamp <= self._seen[-1][0]:
            return None
        self._seen.append((stamp, progress))
        oldest = stamp - self.config.window_s - _ROUNDING_S
        while len(self._seen) > _FEWEST and self._seen[0][0] < oldest:
            self._seen.popleft()
        if stamp < self._quiet_until - _ROUNDING_S or len(self._seen) < _FEWEST:
            return None
        seen = list(self._seen)
        now = float(np.median([p for _, p in seen[-_MEDIAN_OF:]]))
        # The best is a median, too, or one value too high would be a fall all by itself.
        medians = [
            (float(np.median([p for _, p in seen[i - 1 : i + 2]])), seen[i][0])
            for i in range(1, len(seen) - 1)
        ]
        best, best_stamp = max(medians)
        if best - now < self.config.drop:
            return None
        self._quiet_until = stamp + self.config.rest_s
        self._seen.clear()
        return Fall(stamp, now, best, best_stamp)


class PoseMemory:
    """Where the tip was in the last seconds: what a retreat goes back to."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._poses: deque[tuple[float, Array]] = deque()

    def add(self, stamp: float, position: ArrayLike, quaternion: ArrayLike) -> None:
        """Remember a pose: (3,) m and (4,) xyzw, in the base frame."""
        pose = np.concatenate([np.asarray(position, float), np.asarray(quaternion, float)])
        if not np.isfinite(pose).all():
            return
        if self._poses and stamp < self._poses[-1][0] - self._seconds:
            self.clear()  # a clock was set back
        if self._poses and stamp <= self._poses[-1][0]:
            return
        self._poses.append((stamp, pose))
        while self._poses[0][0] < stamp - self._seconds:
            self._poses.popleft()

    def clear(self) -> None:
        """Another episode begins."""
        self._poses.clear()

    def way_back(self, stamp: float, low: Sequence[float], high: Sequence[float]) -> Array | None:
        """Displacements (n, 6) from the newest pose to that of a moment, the same in every step.

        Args:
            stamp: Of the moment, s.
            low: (6,) smallest displacement of a step, m and rotation vector in rad.
            high: (6,) largest.

        Returns:
            None where nothing is remembered of it, or the tip is there.
        """
        if not self._poses:
            return None
        _, then = min(self._poses, key=lambda item: abs(item[0] - stamp))
        now = self._poses[-1][1]
        turn = Rotation.from_quat(then[3:]) * Rotation.from_quat(now[3:]).inv()
        whole = np.concatenate([then[:3] - now[:3], turn.as_rotvec()])
        # A turn about a fixed axis is as many equal turns about it.
        reach = np.where(whole > 0, np.asarray(high[:6]), -np.asarray(low[:6]))
        if not (reach > 0).all():
            return None
        steps = int(np.ceil((np.abs(whole) / reach).max()))
        return np.tile(whole / steps, (steps, 1)) if steps else None
