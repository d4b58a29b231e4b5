# SPDX-License-Identifier: Apache-2.0
"""The last thing before a motor: every command of every driver passes through `SafetyGate`.

The gate knows no ROS and no clock of its own: time is handed in, in seconds of a clock that never
jumps, so that each rule is tested without waiting and a wall clock that is set cannot fool it. It
runs at the control rate (50 Hz) and obeys one sentence: *what is not known to be good does not move
the arm*.

    HOLDING --accepted action--> RUNNING --stale, refused--> HOLDING
    any --e-stop--> STOPPED --reset--> HOLDING
    any --park--> PARKING --arrived--> PARKED
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vvf.errors import UserError

Array = NDArray[np.float64]

FUTURE_S = 0.1  # how far a stamp may lie ahead: clocks of two machines differ


class Mode(Enum):
    """What the gate does with the arm at this moment."""

    HOLDING = 'holding'
    RUNNING = 'running'
    STOPPED = 'stopped'
    PARKING = 'parking'
    PARKED = 'parked'


class Reason(Enum):
    """Why a command was refused, held back or clamped; the value names it in `/diagnostics`."""

    NON_FINITE = 'non_finite'
    WRONG_SHAPE = 'wrong_shape'
    WRONG_KIND = 'wrong_kind'
    STALE_IMAGE = 'stale_image'
    STALE_JOINT_STATE = 'stale_joint_state'
    STALE_ACTION = 'stale_action'
    STALE_VALUE = 'stale_value'
    STALE_RECORDER = 'stale_recorder'
    FUTURE_STAMP = 'future_stamp'
    E_STOP = 'e_stop'
    PARKED = 'parked'
    OUTDATED = 'outdated'
    NO_EPISODE = 'no_episode'
    JOINT_LIMIT = 'joint_limit'
    VELOCITY_LIMIT = 'velocity_limit'
    ACCELERATION_LIMIT = 'acceleration_limit'


@dataclass(frozen=True)
class RobotLimits:
    """Limits and poses of one arm, from `config/robots/<robot>.yaml`.

    All joint arrays are in URDF order; radians, rad/s, rad/s^2; metres in `base_link`.
    """

    name: str
    joint_names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    gripper_name: str
    gripper_lower: float
    gripper_upper: float
    gripper_velocity: float
    sleep: Array
    park_velocity: float
    workspace_lower: Array
    workspace_upper: Array

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], source: str = 'robot file') -> RobotLimits:
        """Validate the content of a robot file.

        Raises:
            UserError: a key is missing or unknown, an array has another length than
                `joint_names`, or a lower limit is not below its upper one.
        """
        known = set(cls.__dataclass_fields__)
        wrong = (known - set(data)) or (set(data) - known)
        if wrong:
            raise UserError(f'{source}: missing or unknown key {sorted(wrong)[0]!r}; check it.')
        names = tuple(str(n) for n in data['joint_names'])
        values: dict[str, Any] = dict(data, joint_names=names)
        lengths = {'workspace_lower': 3, 'workspace_upper': 3}
        for key in ('lower', 'upper', 'velocity', 'acceleration', 'sleep', *lengths):
            array = np.asarray(data[key], dtype=np.float64)
            if array.shape != (lengths.get(key, len(names)),) or not np.isfinite(array).all():
                raise UserError(
                    f'{source}: {key!r} needs {lengths.get(key, len(names))} finite numbers.'
                )
            values[key] = array
        limits = cls(**values)
        if (limits.lower >= limits.upper).any():
            raise UserError(f'{source}: every entry of lower must be below the one of upper.')
        if (limits.workspace_lower >= limits.workspace_upper).any():
            raise UserError(f'{source}: workspace_lower must be below workspace_upper.')
        return limits


@dataclass(frozen=True)
class MaxAges:
    """How old an input may be, in seconds, before the arm holds; `None` is not watched."""

    action: float | None = 0.6
    image: float | None = 0.6
    joint_state: float | None = 0.25
    value: float | None = None
    recorder: float | None = None


@dataclass(frozen=True)
class Command:
    """What goes to the motors: joint positions `(n,)` in rad, gripper opening in m."""

    position: Array
    gripper: float


@dataclass
class SafetyGate:
    """Filters joint targets at the control rate.

    Attributes:
        refusals: how often each `Reason` struck, since the start.
        mode: see the module's drawing.
    """

    limits: RobotLimits
    max_ages: MaxAges = field(default_factory=MaxAges)
    ease_s: float = 0.3
    mode: Mode = Mode.HOLDING
    refusals: Counter[Reason] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._position: Array | None = None
        self._velocity: Array = np.zeros(len(self.limits.joint_names))
        self._gripper = self.limits.gripper_upper
        self._seen: dict[str, float] = {}
        self._running_since: float | None = None
        self._holding: set[Reason] = set()

    # -- what comes in ---------------------------------------------------------------------

    def start_from(self, position: ArrayLike, gripper: float) -> None:
        """Take the measured pose as the one to hold; called once, and after a reset of the arm."""
        measured = np.asarray(position, dtype=np.float64)
        if measured.shape != self.limits.lower.shape or not np.isfinite(measured).all():
            raise ValueError('the measured joint positions are not finite numbers of the arm')
        self._position = np.clip(measured, self.limits.lower, self.limits.upper)
        self._velocity = np.zeros_like(self._position)
        if np.isfinite(gripper):
            self._gripper = self._clip_gripper(gripper)
        self._running_since = None
        if self.mode in (Mode.RUNNING, Mode.PARKED, Mode.PARKING):
            self.mode = Mode.HOLDING

    def saw(self, stream: str, now: float, age: float = 0.0) -> None:
        """Note that a watched stream ('value', 'joint_state', 'recorder') was `age` seconds old.

        What comes from the future by more than a clock's jitter is not believed.
        """
        if np.isfinite(age) and age >= -FUTURE_S:
            self._seen[stream] = max(now - max(age, 0.0), self._seen.get(stream, -np.inf))

    def check_action(
        self,
        data: ArrayLike,
        gripper: ArrayLike,
        *,
        dim: int,
        image_age: float,
        now: float,
    ) -> Reason | None:
        """Judge an action chunk before it is queued; `None` means it may be played.

        Args:
            data: (horizon, dim) deltas (m, rad) or joint positions (rad).
            gripper: (horizon,) opening in [0, 1].
            dim: width that the arm expects.
            image_age: age of the observation that the action was computed from, s.
            now: current time, s.
        """
        chunk = np.asarray(data, dtype=np.float64)
        grip = np.asarray(gripper, dtype=np.float64)
        reason: Reason | None = None
        max_age = self.max_ages.image
        if self.mode is Mode.STOPPED:
            reason = Reason.E_STOP
        elif self.mode in (Mode.PARKING, Mode.PARKED):
            reason = Reason.PARKED
        elif (
            chunk.ndim != 2 or chunk.shape[1] != dim or grip.shape != (len(chunk),) or not len(grip)
        ):
            reason = Reason.WRONG_SHAPE
        elif not (np.isfinite(chunk).all() and np.isfinite(grip).all()):
            reason = Reason.NON_FINITE
        elif not np.isfinite(image_age) or image_age < -FUTURE_S:
            reason = Reason.FUTURE_STAMP
        elif max_age is not None and image_age > max_age:
            reason = Reason.STALE_IMAGE
        if reason is not None:
            return self.refuse(reason)
        self.saw('action', now)
        self.saw('image', now, image_age)
        return None

    def refuse(self, reason: Reason) -> Reason:
        """Count an action that is not even looked at, and hand the reason back."""
        self.refusals[reason] += 1
        return reason

    def emergency_stop(self) -> None:
        """Hold where the arm is, whatever comes, until `reset`."""
        self.refusals[Reason.E_STOP] += 1
        self.mode = Mode.STOPPED

    def reset(self) -> None:
        """Leave the emergency stop; the arm holds until the next good action."""
        if self.mode is Mode.STOPPED:
            self.mode = Mode.HOLDING
            self._running_since = None
            self._seen.pop('action', None)

    def park(self) -> None:
        """Move to the sleep pose at parking pace; an emergency stop is respected."""
        if self.mode is not Mode.STOPPED:
            self.mode = Mode.PARKING

    def end_motion(self) -> None:
        """The episode is over: hold, and count a missing action as no fault any more."""
        for stream in ('action', 'image'):
            self._seen.pop(stream, None)
        self._running_since = None
        self._holding.clear()
        if self.mode is Mode.RUNNING:
            self.mode = Mode.HOLDING

    # -- what goes out ---------------------------------------------------------------------

    def command(self, target: ArrayLike | None, gripper: float, now: float, dt: float) -> Command:
        """The command of this control tick.

        Args:
            target: (n,) joint positions wanted now, rad; `None` wants nothing.
            gripper: finger opening wanted now, m.
            now: time, s.
            dt: time since the last tick, s.

        Returns:
            A finite command within joint, velocity and acceleration limits; equal to the last one
            (after braking) whenever an input is stale or bad.

        Raises:
            RuntimeError: `start_from` was never called, so there is no pose to hold.
        """
        if self._position is None:
            raise RuntimeError('the gate does not know where the arm is: call start_from first')
        dt = float(np.clip(dt, 1e-4, 0.1))  # a late tick must not become a leap
        stale = self.stale(now)
        for reason in stale - self._holding:
            self.refusals[reason] += 1
        self._holding = stale
        wanted, pace = self._wanted(target, stale, now)
        if wanted is not None and self.mode is Mode.RUNNING and np.isfinite(gripper):
            step = self.limits.gripper_velocity * dt
            goal = self._clip_gripper(gripper)
            self._gripper += float(np.clip(goal - self._gripper, -step, step))
            self._gripper = self._clip_gripper(self._gripper)
        self._move(wanted, pace, dt)
        return Command(self._position.copy(), self._gripper)

    def stale(self, now: float) -> set[Reason]:
        """Which watched inputs are too old. Nothing is stale before the first accepted action."""
        if 'action' not in self._seen:
            return set()
        ages = self.max_ages
        watched = {
            'action': (ages.action, Reason.STALE_ACTION),
            'image': (ages.image, Reason.STALE_IMAGE),
            'joint_state': (ages.joint_state, Reason.STALE_JOINT_STATE),
            'value': (ages.value, Reason.STALE_VALUE),
            'recorder': (ages.recorder, Reason.STALE_RECORDER),
        }
        return {
            reason
            for stream, (max_age, reason) in watched.items()
            if max_age is not None and now - self._seen.get(stream, -np.inf) > max_age
        }

    def _wanted(
        self, target: ArrayLike | None, stale: set[Reason], now: float
    ) -> tuple[Array | None, float]:
        """The joint target that may be followed now (`None`: brake and hold), and the pace."""
        if self.mode is Mode.STOPPED or self.mode is Mode.PARKED:
            return None, 1.0
        if self.mode is Mode.PARKING:
            assert self._position is not None
            if np.abs(self._position - self.limits.sleep).max() < 1e-3:
                self.mode = Mode.PARKED
                return None, 1.0
            return self.limits.sleep, self.limits.park_velocity / float(self.limits.velocity.max())
        good = target is not None and 'action' in self._seen and not stale
        if good:
            wanted = np.asarray(target, dtype=np.float64)
            if wanted.shape != self.limits.lower.shape:
                self.refusals[Reason.WRONG_SHAPE] += 1
                good = False
            elif not np.isfinite(wanted).all():
                self.refusals[Reason.NON_FINITE] += 1
                good = False
        if not good:
            self.mode = Mode.HOLDING
            self._running_since = None
            return None, 1.0
        if self._running_since is None:
            self._running_since = now
        self.mode = Mode.RUNNING
        # Ease in: after a hold the arm may only gather pace gradually.
        eased = 1.0 if self.ease_s <= 0 else (now - self._running_since) / self.ease_s
        clipped = np.clip(wanted, self.limits.lower, self.limits.upper)
        if (clipped != wanted).any():
            self.refusals[Reason.JOINT_LIMIT] += 1
        return clipped, float(np.clip(0.25 + 0.75 * eased, 0.25, 1.0))

    def _move(self, wanted: Array | None, pace: float, dt: float) -> None:
        """Advance the commanded pose by one tick, within velocity and acceleration."""
        assert self._position is not None
        brake = self.limits.acceleration * dt
        if wanted is None:
            velocity = np.zeros_like(self._velocity)
        else:
            error = wanted - self._position
            fastest = self.limits.velocity * pace
            # v dt + v^2 / 2a = d: never faster than what can still be braked before the target.
            braking = np.sqrt(brake**2 + 2.0 * self.limits.acceleration * np.abs(error)) - brake
            fastest = np.minimum(fastest, braking)
            velocity = np.clip(error / dt, -fastest, fastest)
            if (np.abs(velocity) >= self.limits.velocity).any() and self.mode is Mode.RUNNING:
                self.refusals[Reason.VELOCITY_LIMIT] += 1
        allowed = np.clip(velocity, self._velocity - brake, self._velocity + brake)
        if (np.abs(allowed - velocity) > 1e-9).any() and self.mode is Mode.RUNNING:
            self.refusals[Reason.ACCELERATION_LIMIT] += 1
        moved = np.clip(self._position + allowed * dt, self.limits.lower, self.limits.upper)
        if np.isfinite(moved).all():
            self._velocity = (moved - self._position) / dt
            self._position = moved

    def _clip_gripper(self, opening: float) -> float:
        return float(np.clip(opening, self.limits.gripper_lower, self.limits.gripper_upper))
