# SPDX-License-Identifier: Apache-2.0
"""One arm behind its gate: what the `arm` node does with it at each tick, without ROS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vvf.motion import Chunk, ChunkPlayer
from vvf.safety import Command, MaxAges, Mode, RobotLimits, SafetyGate
from vvf.task import ActionSpec
from vvf_sim.controllers import CartesianTarget
from vvf_sim.robots.arm import Workspace, arm_model

if TYPE_CHECKING:
    from vvf.drivers.base import ArmDriver, JointReading

Array = NDArray[np.float64]

#: A measured joint may be so far beyond its limits, rad: the arm is led back. Farther, something is
#: wrong with the joint, the driver or the robot file.
BEYOND = 0.1


class ArmUnit:
    """Gate, player and driver of one arm.

    Args:
        side: '' where there is one arm, else 'left' or 'right'.
        limits: of the arm.
        action: of this arm alone.
        max_ages: of its inputs.
        driver: moves it.
        dry_run: judge actions, but hold the arm where it is.

    Attributes:
        reading: the newest measurement, `None` before the first, or where it is no good.
        width: numbers of this arm in an action, the gripper's among them.
    """

    def __init__(
        self,
        side: str,
        limits: RobotLimits,
        action: ActionSpec,
        max_ages: MaxAges,
        driver: ArmDriver,
        *,
        dry_run: bool = False,
    ) -> None:
        self.side = side
        self.limits = limits
        self.driver = driver
        self.gate = SafetyGate(limits, max_ages)
        arm = arm_model(limits.name)
        self.kinematics = arm.kinematics(limits.lower, limits.upper)
        box = Workspace(tuple(limits.workspace_lower), tuple(limits.workspace_upper))
        self.player = ChunkPlayer(action, CartesianTarget(arm, self.kinematics, box))
        self.reading: JointReading | None = None
        self.width = action.dim
        self._kind = action.kind
        self._max_age = max_ages.joint_state
        self._dry_run = dry_run
        self._dry_command: Command | None = None

    @property
    def prefix(self) -> str:
        """What the names of this arm's joints begin with."""
        return f'{self.side}_' if self.side else ''

    @property
    def joint_names(self) -> list[str]:
        """Names of the joints and, last, of the finger, as they are published."""
        limits = self.limits
        return [self.prefix + name for name in (*limits.joint_names, limits.gripper_name)]

    @property
    def held_up(self) -> bool:
        """Whether this arm cannot move, so that another one of the table must not, either."""
        return self.gate.mode in (Mode.WAITING, Mode.FAULT, Mode.STOPPED)

    def sense(self, now: float, clock: float) -> JointReading | None:
        """Read the arm and tell the gate.

        Args:
            now: time of the gate, s.
            clock: time of the driver's stamps, s.

        Returns:
            The measurement; `None` where there is none, or one that is not finite.
        """
        reading = self.driver.read()
        if reading is not None and not reading.finite():
            reading = None
        self.reading = reading
        self.gate.report_fault(self.driver.fault() or self._beyond(reading))
        if reading is None:
            return None
        age = clock - reading.stamp
        self.gate.saw('joint_state', now, age)
        if not self._dry_run:
            self.gate.track(reading.position, now)
        if self.gate.mode is Mode.WAITING and (self._max_age is None or age <= self._max_age):
            self._start(reading)
        return reading

    def load(self, rows: Array, dt: float, now: float) -> None:
        """Play a chunk (horizon, n + 1) that the gate has accepted, its steps `dt` s apart."""
        chunk = Chunk(self._kind, rows[:, :-1], rows[:, -1], dt)
        self.player.load(chunk, now)
        self.player.at(now)

    def act(self, now: float, dt: float, *, hold: bool = False) -> None:
        """Send this tick's command, `dt` s after the last one; with `hold`, brake and hold."""
        target, goal = self.player.at(now), self.player.goal
        command = self.gate.command(
            None if target is None else target[:-1],
            float('nan') if target is None else float(target[-1]),
            now,
            dt,
            goal=None if goal is None else goal[:-1],
            hold=hold,
        )
        if command is None:
            return
        if self.gate.mode is not Mode.RUNNING:
            # The next displacement counts from where the arm is held, not from where it was going.
            self.player.hold(np.append(command.position, command.gripper))
        sent = self._dry_command if self._dry_run else command
        if sent is not None:
            self.driver.write(sent, dt)

    def end_motion(self) -> None:
        """Hold, and miss no action any more."""
        self.gate.end_motion()
        # At once: an action that comes before the next tick must not count from where a step led
        # that is not gone to its end.
        position = self.gate.position
        if position is not None:
            self.player.hold(np.append(position, self.player.joints[-1]))

    def prepare(self) -> str | None:
        """Let the driver make ready for an episode, see `ArmDriver`; a dry run moves no motor."""
        if self._dry_run and not self.driver.simulated:
            return None
        return self.driver.prepare()

    def _start(self, reading: JointReading) -> None:
        """Begin from a measurement, with nothing to play."""
        self.gate.start_from(reading.position, reading.gripper)
        self._dry_command = Command(reading.position, reading.gripper)
        self.player.reset(np.append(reading.position, reading.gripper))

    def _beyond(self, reading: JointReading | None) -> str:
        """What to tell people of an arm that is found far beyond its limits."""
        if reading is None or self.gate.mode not in (Mode.WAITING, Mode.FAULT):
            return ''
        excess = np.abs(reading.position - self.limits.clip(reading.position))
        worst = int(np.argmax(excess))
        if excess[worst] <= BEYOND:
            return ''
        return (
            f'{self.limits.joint_names[worst]} stands at {reading.position[worst]:.2f} rad, beyond '
            'its limits: move it back by hand'
        )
