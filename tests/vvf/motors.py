# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the driver of an arm, for tests of what is before it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vvf.drivers.base import JointReading
from vvf.safety import Command
from vvf.safety_limits import RobotLimits, load_limits

LIMITS = load_limits('wx250s')


@dataclass
class Motors:
    """A WidowX that goes where it is told to at once, unless it is stuck, faulty or silent.

    Attributes:
        clock: stamp of what is read, s; the wall clock's where it is None.
        heard: whether there is a reading at all.
        silent: whether readings stay what they were.
        said: what `prepare` answers.
        prepares: whether its trouble is only that it prepares.
    """

    position: np.ndarray = field(default_factory=lambda: LIMITS.home.copy())
    gripper: float = 0.02
    trouble: str = ''
    stuck: bool = False
    silent: bool = False
    heard: bool = True
    clock: float | None = None
    said: str | None = None
    simulated: bool = False
    preparations: int = 0
    prepares: bool = False
    recoveries: int = 0
    halts: int = 0
    closed: bool = False
    commands: list[Command] = field(default_factory=list)

    def read(self) -> JointReading | None:
        if not self.heard:
            return None
        if not self.silent:
            self.stamp = time.time() if self.clock is None else self.clock
        return JointReading(self.position, np.zeros(6), self.gripper, self.stamp)

    def write(self, command: Command, dt: float) -> None:
        assert not self.trouble, 'nothing is sent to an arm with a fault'
        self.commands.append(command)
        if not self.stuck:
            self.position, self.gripper = command.position, command.gripper

    def fault(self) -> str:
        return self.trouble

    def recover(self) -> None:
        self.recoveries += 1

    def prepare(self) -> str | None:
        self.preparations += 1
        return self.said

    def busy(self) -> bool:
        return self.prepares

    def halt(self) -> None:
        self.halts += 1

    def close(self) -> None:
        self.closed = True


class RigMotors(Motors):
    """Motors that are made as those of a rig are, and remember it."""

    def __init__(
        self, node: object, limits: RobotLimits, options: Mapping[str, Any], side: str
    ) -> None:
        super().__init__()
        self.options, self.side = options, side
