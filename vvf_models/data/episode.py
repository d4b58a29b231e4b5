# SPDX-License-Identifier: Apache-2.0
"""One recorded episode, whatever it was stored in."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Event:
    """Something that happened in an episode.

    Attributes:
        name: What, such as 'grasped' or 'dropped'.
        frame: First observation at or after it.
        kind: 'milestone', 'error', or '' where nobody said.
    """

    name: str
    frame: int
    kind: str = ''


@dataclass
class Episode:
    """T observations with what was done and how it ended.

    Attributes:
        images: Per camera, (T, H, W, 3) uint8 RGB.
        state: (T, D) float32 proprioception in the task's order and SI units, or None.
        actions: (T, A) float32, the action taken from each observation, or None; the last row
            belongs to the last observation, so it has no consequence in the episode.
        success: Outcome; None where nobody labelled it (never taken for failure).
        success_index: First frame in which the task is done, -1 where there is none.
        instruction: What the robot was asked to do, '' if unknown.
        episode_id: Unique within its data set.
        stamps: (T,) float64 seconds.
        failure_kind: How a failure came about, '' if unknown or no failure.
        rewards: (T,) float32, the reward of each action, or None.
        interventions: (T,) bool, where a human acted, or None if nobody recorded it.
        events: What happened, in order.
        displacements: Whether actions say how far to move; False: where to; None: nobody said.
        arms: Arms that an action is for, 0 where nobody said.
    """

    images: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32] | None = None
    actions: NDArray[np.float32] | None = None
    success: bool | None = None
    success_index: int = -1
    instruction: str = ''
    episode_id: str = ''
    stamps: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    failure_kind: str = ''
    rewards: NDArray[np.float32] | None = None
    interventions: NDArray[np.bool_] | None = None
    events: tuple[Event, ...] = ()
    displacements: bool | None = None
    arms: int = 0

    @property
    def rate_hz(self) -> float:
        """Observations per second, by the median gap between stamps; NaN without stamps."""
        if len(self.stamps) < 2:
            return math.nan
        gap = float(np.median(np.diff(self.stamps)))
        return 1 / gap if gap > 0 else math.nan

    def __len__(self) -> int:
        """Number of observations."""
        return len(next(iter(self.images.values())))

    def check(self) -> None:
        """Checks shapes, types and finiteness.

        Raises:
            ValueError: The arrays disagree in length, have a wrong shape or hold NaN or infinity;
                stamps go back; an index is no frame.
        """
        name = f'episode {self.episode_id or "(no id)"}'
        if not self.images:
            raise ValueError(f'{name}: no camera images')
        count = len(self)
        if count == 0:
            raise ValueError(f'{name}: no frames')
        for camera, frames in self.images.items():
            if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
                raise ValueError(
                    f'{name}: images of "{camera}" must be (T, H, W, 3) uint8, '
                    f'not {frames.shape} {frames.dtype}'
                )
            if len(frames) != count:
                raise ValueError(
                    f'{name}: {len(frames)} images of "{camera}", {count} of the others'
                )
        for label, rows in (('state', self.state), ('actions', self.actions)):
            if rows is None:
                continue
            if rows.ndim != 2 or len(rows) != count:
                raise ValueError(f'{name}: {label} must be ({count}, D), not {rows.shape}')
            if not np.isfinite(rows).all():
                raise ValueError(f'{name}: {label} holds NaN or infinity')
        for label, row in (
            ('stamps', self.stamps if len(self.stamps) else None),
            ('rewards', self.rewards),
            ('interventions', self.interventions),
        ):
            if row is None:
                continue
            if row.shape != (count,):
                raise ValueError(f'{name}: {label} must be ({count},), not {row.shape}')
            if not np.isfinite(row).all():
                raise ValueError(f'{name}: {label} hold NaN or infinity')
        if (np.diff(self.stamps) < 0).any():
            raise ValueError(f'{name}: stamps go back in time')
        if not -1 <= self.success_index < count:
            raise ValueError(f'{name}: success_index {self.success_index} is not a frame')
        for event in self.events:
            if not 0 <= event.frame < count:
                raise ValueError(f'{name}: event {event.name} is at {event.frame}, not a frame')
