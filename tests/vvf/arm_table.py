# SPDX-License-Identifier: Apache-2.0
"""A team of arms and its motors, run by hand without ROS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.vvf.motors import LIMITS, Motors
from vvf.arm_team import ArmTeam, make_team
from vvf.safety import Command, MaxAges, Mode, Reason
from vvf.task import load_task

DT = 0.02
UP = np.array([[0.0, 0.0, 0.03, 0.0, 0.0, 0.0, 1.0]])
FRESH = {'action': None, 'image': None, 'joint_state': 0.25}


class Table:
    """A team and its motors, run by hand."""

    def __init__(self, task: str = 'pick_place', **how: object) -> None:
        sides = ('left', 'right') if task == 'shirt_folding' else ('',)
        self.motors = [Motors() for _ in sides]
        drivers = dict(zip(sides, self.motors, strict=True))
        self.team: ArmTeam = make_team(load_task(task), LIMITS, MaxAges(**FRESH), drivers, **how)
        self.now = 10.0

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += DT
            for motors in self.motors:
                motors.clock = self.now
            self.team.sense(self.now, self.now)
            self.team.act(self.now, DT)

    def until(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        end = self.now + seconds
        while not done():
            assert self.now < end
            self.tick()

    def play(self, rows: np.ndarray = UP) -> Reason | None:
        return self.team.play(rows, 0.2, image_age=0.0, now=self.now)

    @property
    def mode(self) -> Mode:
        return self.team.mode


def smooth(commands: list[Command]) -> None:
    """Commands keep the limits of velocity and acceleration, at every seam."""
    q = np.array([c.position for c in commands])
    velocity = np.diff(q, axis=0) / DT
    assert (np.abs(velocity) <= LIMITS.velocity + 1e-6).all()
    assert (np.abs(np.diff(velocity, axis=0)) <= LIMITS.acceleration * DT + 1e-6).all()
