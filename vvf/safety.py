# SPDX-License-Identifier: Apache-2.0
"""The last thing before a motor: every command of every driver passes through `SafetyGate`.

The gate knows no ROS and no clock of its own: time is handed in, in seconds of a clock that never
jumps, so that each rule is tested without waiting and a wall clock that is set cannot fool it. It
runs at the control rate (50 Hz) and obeys one sentence: *what is not known to be good does not move
the arm*. Its modes, and all that leads from one to another, are in `vvf.safety_states`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vvf.joint_move import JointMove
from vvf.moveit.path import PlannedPath
from vvf.safety_limits import RobotLimits
from vvf.safety_motion import CommandedPose
from vvf.safety_states import REFUSED_IN, Cause, Mode, Reason, after
from vvf.safety_watch import FUTURE_S, InputWatch, MaxAges, TrackingGuard

__all__ = ['Command', 'MaxAges', 'Mode', 'Reason', 'RobotLimits', 'SafetyGate']

Array = NDArray[np.float64]

ARRIVED = 1e-3  # rad


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
        mode: see `vvf.safety_states`.
    """

    limits: RobotLimits
    max_ages: MaxAges = field(default_factory=MaxAges)
    ease_s: float = 0.3
    mode: Mode = Mode.WAITING
    refusals: Counter[Reason] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._pose = CommandedPose(self.limits)
        self._watch = InputWatch(self.max_ages)
        self._guard = TrackingGuard(self.limits, self.max_ages.tracking)
        self._running_since: float | None = None
        self._holding: set[Reason] = set()
        self._driver_fault = ''
        self._tracking_fault = ''
        self._goal: Array | None = None
        self._opens = False
        self._given: PlannedPath | None = None
        self._plan: JointMove | PlannedPath | None = None
        self._plan_s = 0.0

    # -- what comes in ---------------------------------------------------------------------

    def start_from(self, position: ArrayLike, gripper: float) -> None:
        """Take a measured pose as the one to hold, if that is what is waited for.

        Raises:
            ValueError: the numbers are not finite, or not as many as the arm's joints.
        """
        if self.mode is not Mode.WAITING:
            return
        self._pose.start(position, gripper)
        self._guard.restart()
        self._go(Cause.READING)

    def renew(self) -> None:
        """Wait for a measured pose again: the arm was put elsewhere, as in a new scene."""
        self._go(Cause.RENEW)

    def saw(self, stream: str, now: float, age: float = 0.0) -> None:
        """Note that a watched stream ('value', 'joint_state', 'recorder') was `age` seconds old."""
        self._watch.saw(stream, now, age)

    def check_action(
        self, data: ArrayLike, gripper: ArrayLike, *, dim: int, image_age: float
    ) -> Reason | None:
        """Judge an action chunk, and count it if it is refused; `None` means it may be played.

        Args:
            data: (horizon, dim) deltas (m, rad) or joint positions (rad).
            gripper: (horizon,) opening in [0, 1].
            dim: width that the arm expects.
            image_age: age of the observation that the action was computed from, s.
        """
        chunk = np.asarray(data, dtype=np.float64)
        grip = np.asarray(gripper, dtype=np.float64)
        max_age = self.max_ages.image
        reason = REFUSED_IN.get(self.mode)
        if reason is not None:
            pass
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
        return None if reason is None else self.refuse(reason)

    def accept_action(self, now: float, image_age: float) -> None:
        """Note an action that `check_action` let pass and that is played from now on, in s."""
        self.saw('action', now)
        self.saw('image', now, image_age)

    def refuse(self, reason: Reason) -> Reason:
        """Count an action that is not even looked at, and hand the reason back."""
        self.refusals[reason] += 1
        return reason

    def emergency_stop(self) -> None:
        """Hold where the arm is, whatever comes, until `reset`."""
        self.refusals[Reason.E_STOP] += 1
        self._go(Cause.E_STOP)

    def reset(self) -> None:
        """Leave the emergency stop; the arm holds, from its measured pose, until a good action.

        Nothing happens while the arm still brakes: it would go on from elsewhere, at rest.
        """
        if self.still:
            self._go(Cause.RESET)

    def move_home(self, *, opens: bool = False, way: PlannedPath | None = None) -> None:
        """Move to the home pose at parking pace; with `opens`, the gripper opens on the way.

        A planned `way` is gone instead of a straight line in joint space. It is given up, not
        replaced, where the arm is elsewhere than at its start, or was held up: it leads around
        something.
        """
        self._opens = opens or (self._opens and self.mode is Mode.MOVING)
        self._go(Cause.HOLD)
        under_way = self.mode is Mode.MOVING
        self._go(Cause.MOVE)
        if self.mode is Mode.MOVING and not under_way:
            self._given = way

    def park(self) -> None:
        """Move to the sleep pose at parking pace; an emergency stop is respected."""
        self._go(Cause.HOLD)
        self._go(Cause.PARK)

    def give_up(self) -> None:
        """End a way home where the arm is: another arm of the table has a fault."""
        self._go(Cause.GIVE_UP)

    def end_motion(self) -> None:
        """The episode is over: hold, and count a missing action as no fault any more."""
        self._watch.forget_actions()
        self._holding.clear()
        self._go(Cause.HOLD)

    @property
    def position(self) -> Array | None:
        """The commanded pose (n,), rad; `None` while it is not known."""
        return None if self._pose.position is None else self._pose.position.copy()

    @property
    def still(self) -> bool:
        """Whether the commanded pose does not change."""
        return self._pose.still

    # -- faults ----------------------------------------------------------------------------

    @property
    def fault(self) -> str:
        """What is wrong with the arm, in words; '' while all is well."""
        return self._driver_fault or self._tracking_fault

    def report_fault(self, text: str) -> None:
        """Take what the driver says of itself in this tick; '' is that all is well."""
        self._driver_fault = text
        self._follow_fault()

    def track(self, measured: ArrayLike, now: float) -> None:
        """Compare measured joints (n,) with the command: an arm that does not follow is faulty."""
        commanded = self._pose.position
        problem = '' if commanded is None else self._guard.problem(measured, commanded, now)
        if problem:
            self._tracking_fault = problem
            self._follow_fault()

    def recover(self) -> None:
        """Forget that the arm did not follow: a human has looked at it."""
        self._tracking_fault = ''
        self._follow_fault()

    def _follow_fault(self) -> None:
        if not self.fault:
            self._go(Cause.FAULT_OVER)
            return
        # Whatever the arm does meanwhile, it is elsewhere afterwards: under a stop, too.
        self._pose.position = None
        self._go(Cause.FAULT)

    # -- what goes out ---------------------------------------------------------------------

    def command(
        self,
        target: ArrayLike | None,
        gripper: float,
        now: float,
        dt: float,
        *,
        goal: ArrayLike | None = None,
        hold: bool = False,
    ) -> Command | None:
        """The command of this control tick.

        Args:
            target: (n,) joint positions wanted now, rad; `None` wants nothing.
            gripper: finger opening wanted now, m.
            now: time, s.
            dt: time since the last tick, s.
            goal: (n,) where the targets lead, if it is known: the arm is slowed down before that
                and not before each target on the way.
            hold: brake and hold, whatever the inputs: another arm of the table has to.

        Returns:
            A finite command within joint, velocity and acceleration limits; equal to the last one
            (after braking) whenever an input is stale or bad. `None` where nothing may be sent:
            the pose is not known, as before the first reading and in a fault.
        """
        pose = self._pose
        if pose.position is None:
            return None
        dt = float(np.clip(dt, 1e-4, 0.1))  # a late tick must not become a leap
        stale = self.stale(now)
        for reason in stale - self._holding:
            self.refusals[reason] += 1
        self._holding = stale
        if self.mode in (Mode.MOVING, Mode.PARKING):
            wanted = None if stale or hold else self._on_the_way(dt)
            if wanted is None:
                if self._given and self._plan:
                    self._go(Cause.GIVE_UP)
                self._plan = None
            elif self._opens and self.mode is Mode.MOVING:
                pose.move_gripper(self.limits.gripper_upper, dt)
            pose.move(wanted, None, 1.0, dt)
        else:
            wanted = self._followed(None if hold else target, stale, now)
            ends = wanted
            if goal is not None and np.isfinite(goal).all():
                ends = self.limits.clip(np.asarray(goal, np.float64))
            if wanted is not None:
                pose.move_gripper(gripper, dt)
            struck = pose.move(wanted, ends, self._eased(now), dt)
            if self.mode is Mode.RUNNING:
                self.refusals.update(struck)
        return Command(pose.position.copy(), pose.gripper)

    @property
    def acting(self) -> bool:
        """Whether actions are expected to go on."""
        return self._watch.acting

    def stale(self, now: float) -> set[Reason]:
        """Which inputs that count in this mode are too old; before the first action none is."""
        return self._watch.stale(now, moving=self.mode in (Mode.MOVING, Mode.PARKING))

    def _go(self, cause: Cause) -> None:
        """Change the mode as the table says; nothing of the old one is carried over."""
        mode = after(self.mode, cause)
        if mode is self.mode:
            return
        self.mode = mode
        self._running_since = self._plan = self._given = None
        if mode in (Mode.MOVING, Mode.PARKING):
            self._goal = self.limits.home if mode is Mode.MOVING else self.limits.sleep
        elif mode is Mode.WAITING:
            self._pose.position = None
        if mode in REFUSED_IN:
            self._watch.forget_actions()

    def _followed(self, target: ArrayLike | None, stale: set[Reason], now: float) -> Array | None:
        """The joint target that may be followed now; `None`: brake and hold."""
        if self.mode not in (Mode.HOLDING, Mode.RUNNING):
            return None
        good = target is not None and self._watch.acting and not stale
        if good:
            wanted = np.asarray(target, dtype=np.float64)
            if wanted.shape != self.limits.lower.shape:
                self.refusals[Reason.WRONG_SHAPE] += 1
                good = False
            elif not np.isfinite(wanted).all():
                self.refusals[Reason.NON_FINITE] += 1
                good = False
        if not good:
            self._go(Cause.HOLD)
            return None
        self._go(Cause.FOLLOW)
        if self._running_since is None:
            self._running_since = now
        clipped = self.limits.clip(wanted)
        if (clipped != wanted).any():
            self.refusals[Reason.JOINT_LIMIT] += 1
        return clipped

    def _eased(self, now: float) -> float:
        """The part of full speed that is allowed: after a hold the arm gathers pace gradually."""
        if self._running_since is None or self.ease_s <= 0:
            return 1.0
        return float(np.clip(0.25 + 0.75 * (now - self._running_since) / self.ease_s, 0.25, 1.0))

    def _on_the_way(self, dt: float) -> Array | None:
        """Where the arm should be on its way home or to sleep; `None`: not under way."""
        position, goal, limits = self._pose.position, self._goal, self.limits
        assert position is not None
        assert goal is not None
        if self._plan is None:
            if not self._pose.still:  # a way begins at rest
                return None
            if self._given and not self._given.joins(position, goal):
                self._go(Cause.GIVE_UP)
                return None
            ways = (limits.move_velocity, limits.move_acceleration)
            self._plan_s = 0.0
            self._plan = self._given or JointMove(position, goal, *ways)
        self._plan_s += dt
        there = np.abs(position - goal).max() < ARRIVED
        if self._opens and self.mode is Mode.MOVING:
            there &= self._pose.gripper >= limits.gripper_upper - 1e-6
        if there and self._plan_s > self._plan.duration:
            self._go(Cause.ARRIVED)
            return None
        return self._plan.at(self._plan_s)
