# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in whatever order: no command that is unsafe, no change that is not in the table.

The walk knows by itself, apart from the gate, what is fresh: nothing moves on anything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from vvf.paths import share
from vvf.safety import MaxAges, Mode, SafetyGate
from vvf.safety_limits import load_limits
from vvf.safety_states import REFUSED_IN, TRANSITIONS, Cause, after, mermaid

AGES = {'action': 0.6, 'image': 0.6, 'joint_state': 0.25, 'value': 0.8, 'recorder': 0.8}
TICKS = 4000
MOVES = (Mode.RUNNING, Mode.MOVING, Mode.PARKING)


class Watched(SafetyGate):
    """A gate whose steps are seen, also where one call makes two."""

    def _go(self, cause: Cause) -> None:
        before = self.mode
        super()._go(cause)
        if self.mode is not before:
            self.steps.add((before, self.mode))


class Walk:
    """A gate that is fed at random, and what happened.

    Attributes:
        steps: changes of mode that were seen.
        moved: in which modes the command moved without braking.
    """

    def __init__(self, robot: str, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.limits = load_limits(robot)
        self.gate = Watched(self.limits, MaxAges(**AGES))
        self.now = 100.0
        self.steps = self.gate.steps = set[tuple[Mode, Mode]]()
        self.moved: set[Mode] = set()
        self.fresh = dict.fromkeys(AGES, -np.inf)
        self.acting = False
        self.broken = self.astray = self.resetting = False
        self.target = self.goal = None
        ways = (None, self.gate.renew, self.gate.move_home, self.gate.emergency_stop)
        self.exits = itertools.cycle(ways)
        self.position: np.ndarray | None = None
        self.velocity = np.zeros(len(self.limits.joint_names))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def call(self, what: Callable[[], object]) -> None:
        """Do something; only a reset may end an emergency stop."""
        before = self.gate.mode
        what()
        if before is Mode.STOPPED and self.gate.mode is not Mode.STOPPED:
            assert self.resetting
            assert self.position is None or not self.velocity.any(), 'it has braked'

    @property
    def calm(self) -> bool:
        """Whether nothing disturbs just now, so that a way can be gone to its end."""
        return self.now % 14.0 < 10.0

    def numbers(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers of which some are bad."""
        values = self.rng.normal(0, self.rng.choice([0.1, 2.0, 1e6]), shape)
        if self.chance(0.1):
            values[tuple(self.rng.integers(shape))] = self.rng.choice([np.nan, np.inf, -np.inf])
        return values

    def start(self) -> None:
        gate, limits = self.gate, self.limits
        taken = gate.mode is Mode.WAITING
        pose = self.rng.uniform(limits.lower - 0.1, limits.upper + 0.1)
        self.call(lambda: gate.start_from(pose, 0.02))
        if taken:  # there is no way from where it was
            self.position, self.velocity = pose, np.zeros(len(pose))
            self.acting = False

    def ask(self) -> None:
        """What people and nodes ask for."""
        gate = self.gate
        if not self.calm and self.chance(0.03):
            self.call(gate.emergency_stop)
        if gate.mode is Mode.WAITING and self.chance(0.5):
            self.start()
        if gate.mode is Mode.PARKED and self.chance(0.3):  # seldom reached: left in all ways
            leave = next(self.exits)
            self.broken = leave is None
            if leave is not None:
                self.call(leave)
        if self.calm:
            if gate.mode in (Mode.HOLDING, Mode.RUNNING) and self.chance(0.03):
                self.call(gate.park)
            return
        if self.chance(0.1):
            self.resetting = True
            self.call(gate.reset)
            self.resetting = False
        if self.chance(0.03):
            self.call(gate.park)
        if self.chance(0.02):
            self.call(lambda: gate.move_home(opens=self.chance(0.5)))
        if self.chance(0.01):
            self.call(gate.give_up)
        if self.chance(0.01):
            self.call(gate.end_motion)
            self.acting = False
        if self.chance(0.05):
            self.call(gate.recover)
        if self.chance(0.04):
            self.call(gate.renew)
        if self.chance(0.02):
            self.start()

    def feed(self) -> None:
        """Inputs, of which each goes silent now and then."""
        gate, n = self.gate, len(self.limits.joint_names)
        for stream in ('joint_state', 'value', 'recorder'):
            silent = not self.calm and int(self.now * 0.7) % 7 == len(stream) % 7
            if self.chance(0.6):
                age = self.rng.choice([-5.0, np.nan] if silent else [0.0, 0.1])
                gate.saw(stream, self.now, age)
                if not silent:
                    self.fresh[stream] = max(self.fresh[stream], self.now - age)
        if self.chance(0.3):
            age = self.rng.choice([0.0, 0.3, 0.7, -5.0, np.nan], p=[0.6, 0.2, 0.1, 0.05, 0.05])
            horizon = int(self.rng.choice([1, 6]))
            data, grip = self.numbers((horizon, n)), self.numbers((horizon,))
            reason = gate.check_action(data, grip, dim=n, image_age=age)
            if gate.mode in REFUSED_IN:
                assert reason is REFUSED_IN[gate.mode]
            if reason is None:
                assert np.isfinite(data).all()
                assert np.isfinite(grip).all()
                assert 0.0 <= age <= AGES['image']
                gate.accept_action(self.now, age)
                self.acting = True
                self.fresh['action'] = self.now
                self.fresh['image'] = max(self.fresh['image'], self.now - age)
        if self.broken or not self.calm:
            self.broken ^= self.chance(0.2 if self.broken else 0.02)
        self.call(lambda: gate.report_fault('broken' if self.broken else ''))
        if self.astray or not self.calm:
            self.astray ^= self.chance(0.1 if self.astray else 0.01)
        if self.position is not None:
            away = 2.0 if self.astray else 0.0
            self.call(lambda: gate.track(self.position + away, self.now))

    def tick(self) -> None:
        self.ask()
        self.feed()
        gate, limits = self.gate, self.limits
        n = len(limits.joint_names)
        dt = float(self.rng.choice([0.001, 0.02, 0.05, 0.4], p=[0.1, 0.6, 0.25, 0.05]))
        self.now += dt
        dt = min(dt, 0.1)
        hold = not self.calm and self.chance(0.02)
        if self.chance(0.05):  # long enough for it to gather speed
            self.target = self.numbers((n,)) if self.chance(0.9) else None
            self.goal = self.numbers((n,)) if self.chance(0.6) else None
        target, goal = self.target, self.goal
        opening = float(self.numbers((1,))[0])
        made: list[object] = []
        self.call(
            lambda: made.append(gate.command(target, opening, self.now, dt, goal=goal, hold=hold))
        )
        command = made[0]
        if gate.mode in REFUSED_IN:
            self.acting = False
        if gate.mode in (Mode.WAITING, Mode.FAULT) or gate.fault:
            assert command is None, 'nothing is sent to an arm that is not known or faulty'
        if command is None:
            self.position = None
            return
        q = command.position
        assert np.isfinite(q).all()
        assert self.position is not None, 'it begins where it is started'
        assert (q >= np.minimum(limits.lower, self.position)).all()
        assert (q <= np.maximum(limits.upper, self.position)).all()
        assert limits.gripper_lower <= command.gripper <= limits.gripper_upper
        self.judge((q - self.position) / dt, dt, hold)
        self.position = q

    def judge(self, velocity: np.ndarray, dt: float, hold: bool) -> None:
        limits, mode = self.limits, self.gate.mode
        brake = limits.acceleration * dt
        assert (np.abs(velocity) <= limits.velocity + 1e-6).all()
        assert (np.abs(velocity - self.velocity) <= brake + 1e-6).all()
        age = {stream: self.now - seen for stream, seen in self.fresh.items()}
        watched = AGES if mode is Mode.RUNNING else ('joint_state',)
        blind = any(age[stream] > AGES[stream] for stream in watched)
        if hold or blind or mode not in MOVES:
            slower = np.maximum(np.abs(self.velocity) - brake, 0.0)
            np.testing.assert_allclose(np.abs(velocity), slower, atol=1e-6)
        elif np.abs(velocity).max() > 1e-3:
            self.moved.add(mode)
        self.velocity = velocity


def test_no_sequence_of_inputs_makes_an_unsafe_command() -> None:
    steps, moved = set(), set()
    for seed, robot in enumerate(('wx250s', 'fr3')):
        walk = Walk(robot, seed)
        for _ in range(TICKS):
            walk.tick()
        steps |= walk.steps
        moved |= walk.moved
    assert steps == {(mode, to) for (mode, _), to in TRANSITIONS.items()}, 'each one, and no other'
    assert moved == set(MOVES)


def test_only_a_reset_leaves_the_emergency_stop() -> None:
    left = [cause for cause in Cause if after(Mode.STOPPED, cause) is not Mode.STOPPED]
    assert left == [Cause.RESET]


def test_what_restarts_waits_for_a_measured_pose() -> None:
    for mode, cause in ((Mode.STOPPED, Cause.RESET), (Mode.FAULT, Cause.FAULT_OVER)):
        assert after(mode, cause) is Mode.WAITING
    assert {c for c in Cause if after(Mode.WAITING, c) in MOVES} == set()


@pytest.mark.parametrize('mode', set(Mode) - {Mode.STOPPED})
def test_the_emergency_stop_works_in_every_mode(mode: Mode) -> None:
    assert after(mode, Cause.E_STOP) is Mode.STOPPED


def test_the_documentation_draws_this_table() -> None:
    text = (share() / 'docs' / 'safety.md').read_text()
    assert f'```mermaid\n{mermaid()}```\n' in text, 'python -m vvf.safety_states prints the drawing'
