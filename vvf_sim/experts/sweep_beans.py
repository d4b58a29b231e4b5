# SPDX-License-Identifier: Apache-2.0
"""Scripted sweeping from privileged state, with a noise dial and designed mistakes.

The brush is taken by its handle, put down behind the beans that are not in the dustpan, and moved
into the dustpan; as often as beans remain. It is steered by where the brush is, not the hand.
"""

from typing import ClassVar

import numpy as np

from vvf_sim.experts.script import STEP, Script
from vvf_sim.rotations import Array
from vvf_sim.worlds.mount import gripper_down
from vvf_sim.worlds.sweep_beans_scene import BRUSH_EARS, PAN_HALF_WIDTH

_ORDER = ('approach', 'descend', 'close', 'raise', 'carry', 'lower', 'gather', 'sweep', 'rise')
_CLOSED = (*_ORDER[2:], 'retreat')
_HOLDING = ('raise', 'carry', 'lower', 'gather', 'sweep')
_SWEEPING = ('gather', 'sweep')

HOVER = 0.075
# Height of the finger tips on the handle, whose end must not touch a Franka's palm.
GRIP = 0.068
# Of the bristles: over beans and walls, and so low that no bean gets under.
HIGH = 0.04
LOW = 0.003
# Between the beans and the bristles that are put down behind them.
BEHIND = 0.01
# How far into the dustpan the brush goes; what is left is room for the beans.
INTO = 0.035
# The brush is before the middle of the mouth here, or it would catch on a wall's edge.
BEFORE = 0.04
# Slower than a hand that is free: beans must not be flung.
SWEEP_STEP = 0.032
# Actions after which a phase that does not end is given up, and sweeps that are tried.
PATIENCE = 20
SWEEPS = 4
# Cosine of the lean up to which a brush can be taken from above.
LEANS = 0.9


class SweepBeansExpert(Script):
    """Sweeps until enough beans are in the dustpan; arguments as of `Script`."""

    MISTAKES: ClassVar[tuple[str, ...]] = ('missed_grasp', 'tool_dropped', 'beans_lost')
    NOISE: ClassVar[dict[str, float]] = {
        'approach': 1.0,
        'raise': 0.7,
        'carry': 1.0,
        'retreat': 1.0,
        'descend': 0.3,
        'lower': 0.3,
        'gather': 0.3,
        'sweep': 0.3,
    }
    KICKED: ClassVar[tuple[str, ...]] = ('approach', 'descend', 'carry')

    def plan(self) -> None:
        """Decide what does not depend on how things go."""
        ((self._home, self._home_yaw),) = self.world.starts()
        yaw = self.world.layout.pan_yaw
        self._along = np.array([np.cos(yaw), np.sin(yaw)])
        self._across = np.array([-np.sin(yaw), np.cos(yaw)])
        self._sweeps = 0
        self._start = self._mouth = self._end = np.zeros(2)
        self._plan_mistake()
        self.enter('approach')

    @property
    def finished(self) -> bool:
        """Whether the script is done: the hand draws back, with the brush if it has it."""
        return self.phase == 'retreat' and self.steps > 1

    def clean(self) -> Array:
        """The next step of the script."""
        self._notice()
        for _ in range(len(_ORDER) + 1):
            place, rotation, reached = self._goal()
            if self.steps > PATIENCE and self.phase != 'retreat':
                self.enter('retreat')
            elif not reached:
                break
            else:
                self._advance()
        opening = 0.0 if self.phase in _CLOSED else 1.0
        if self.phase in ('rise', 'retreat') and not self.world.held:
            opening = 1.0
        if self.mistake == 'tool_dropped' and self._lets_go():
            opening = 1.0
        step = SWEEP_STEP if self.phase in _SWEEPING else STEP
        return self.towards(place, rotation, opening, step=step)

    def _plan_mistake(self) -> None:
        rng = self.rng
        self._too_high = rng.random() < 0.5
        beside = self.world.arm_model.max_opening / 2 + rng.uniform(0.045, 0.055)
        self._beside = float(rng.choice([-1.0, 1.0])) * beside
        # Lets go on the way to the beans, or while it sweeps.
        self._slip_phase = 'carry' if rng.random() < 0.5 else 'gather'
        self._slip_after = int(rng.integers(0, 3))
        self._astray = float(rng.uniform(-0.4, 0.4))

    def _lets_go(self) -> bool:
        if self.phase not in _HOLDING:
            return False
        late = _ORDER.index(self.phase) - _ORDER.index(self._slip_phase)
        return late > 0 or (late == 0 and self.steps >= self._slip_after)

    def _notice(self) -> None:
        """Go back for the brush if it is not in the hand though it should be."""
        if self.phase not in _HOLDING or self.world.held:
            return
        if self.mistake == 'tool_dropped' and not self.recovers:
            self.enter('rise')
            return
        if self.mistake == 'missed_grasp' and not self.recovers:
            return
        if not self.mistake and not self.config.recover:
            return
        self.mistake = ''
        # A brush that has fallen over is not for this script to pick up.
        stands = self.world.brush_pose()[1][2, 2] > LEANS
        self.enter('approach' if stands else 'retreat')

    def _advance(self) -> None:
        if self.phase != 'rise':
            self.enter(_ORDER[_ORDER.index(self.phase) + 1])
            if self.phase == 'carry':
                self._plan_sweep()
            return
        self._sweeps += 1
        done = self.world.in_pan().sum() >= self.world.enough
        hopeless = (~self.world.lost()).sum() < self.world.enough
        if self.mistake == 'beans_lost' and self.recovers:
            self.mistake = ''
        failed = self.mistake in ('missed_grasp', 'tool_dropped') or hopeless
        if done or failed or self._sweeps >= SWEEPS or not self.world.held:
            self.enter('retreat')
        else:
            self.enter('carry')
            self._plan_sweep()

    # -- where to go -----------------------------------------------------------------------

    def _plan_sweep(self) -> None:
        """From behind the beans that are not in the dustpan, straight into it."""
        world = self.world
        left = ~world.in_pan() & ~world.lost()
        if not left.any():
            left = ~world.lost()
        deep, aside = self._within_reach(world.to_pan(world.bean_places()[left, :2])).T
        back = BRUSH_EARS + BEHIND
        slack = PAN_HALF_WIDTH - world.layout.brush_half_width - 0.012
        middle = float((aside.min() + aside.max()) / 2)
        self._start = self._from_pan(min(float(deep.min()) - back, -back), middle)
        straight = float(np.clip(middle, -slack, slack))
        self._mouth = self._from_pan(-BEFORE, straight)
        self._end = self._from_pan(INTO, straight)
        if self.mistake == 'beans_lost':
            # The other way, and off the mat.
            self._start = self._from_pan(float(deep.max()) + back, middle)
            self._end = self._start - 0.3 * self._along
            self._end[0] += 0.1 * self._astray
            self._end = np.clip(self._end, [0.17, -0.21], [0.42, 0.21])
            self._mouth = (self._start + self._end) / 2

    def _within_reach(self, beans: Array) -> Array:
        """Those of the beans (N, 2), in the dustpan's frame, that one sweep can take at most."""
        width = 2 * self.world.layout.brush_half_width - 0.024
        aside = beans[:, 1]
        within = (aside >= aside[:, None]) & (aside <= aside[:, None] + width)
        return np.asarray(beans[within[within.sum(axis=1).argmax()]])

    def _from_pan(self, deep: float, aside: float) -> Array:
        middle = np.array(self.world.layout.pan_xy)
        return middle + deep * self._along + aside * self._across

    def _goal(self) -> tuple[Array, Array | None, bool]:
        """Where the tip should go (3,), its rotation (3, 3) or None, and whether it is there."""
        tip = self.tip()[:3, 3]
        if self.phase == 'retreat':
            if tip[2] < self._home[2] - 0.03:
                return np.append(tip[:2], self._home[2]), None, False
            return self._home, gripper_down(self._home_yaw), False
        if self.phase in ('approach', 'descend'):
            return self._grasp_goal(tip)
        if self.phase == 'close':
            return tip, None, self.steps >= 2
        brush, offset = self._in_hand()
        up, down = np.array([0.0, 0.0, HIGH]), np.array([0.0, 0.0, LOW])
        if self.phase in ('raise', 'rise'):
            high = offset[2] + HIGH
            return np.append(tip[:2], high), None, bool(tip[2] > high - 0.02)
        rotation, turned = self._facing()
        ends = np.append(self._ways().get(self.phase, self._start), 0.0) + offset
        aside = float(np.linalg.norm((brush - ends + offset)[:2]))
        if self.phase == 'carry':
            return ends + up, rotation, bool(aside < 0.015 and turned < 0.1)
        if self.phase == 'lower':
            return ends + down, rotation, bool(tip[2] < (ends + down)[2] + 0.005)
        near = 0.025 if self.phase == 'gather' else 0.012
        return ends + down, rotation, aside < near

    def _ways(self) -> dict[str, Array]:
        return {'gather': self._mouth, 'sweep': self._end}

    def _grasp_goal(self, tip: Array) -> tuple[Array, Array, bool]:
        brush, rotation = self.world.brush_pose()
        yaw = self._grasp_yaw(rotation)
        # By where the handle is, should the brush lean.
        height = self.world.arm_model.tip_reach + GRIP
        grasp = brush + GRIP * rotation[:, 2]
        grasp[2] += height - GRIP
        if self.mistake == 'missed_grasp':
            if self._too_high:
                grasp[2] += 0.055
            else:
                grasp[:2] += self._beside * np.array([-np.sin(yaw), np.cos(yaw)])
        aside = float(np.hypot(*(tip - grasp)[:2]))
        turned = abs(yaw - self.tip_yaw())
        if self.phase == 'descend' and aside > 0.025:
            self.enter('approach')
        if self.phase == 'approach':
            over = grasp + np.array([0.0, 0.0, HOVER])
            return over, gripper_down(yaw), aside < 0.008 and turned < 0.12
        there = aside < 0.007 and abs(tip[2] - grasp[2]) < 0.007
        return grasp, gripper_down(yaw), bool(there and turned < 0.15)

    def _grasp_yaw(self, rotation: Array) -> float:
        """The nearer of the two ways to take the handle across its narrow side."""
        yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
        yaw += np.pi * round((self.tip_yaw() - yaw) / np.pi)
        # The wrist must not wind up beyond a quarter turn.
        if abs(yaw) > np.pi / 2 + 0.25:
            yaw -= np.pi * np.sign(yaw)
        return float(yaw)

    def _sweep_yaw(self, grip: float, current: float) -> float:
        """Yaw of the gripper when the brush lies across the way; `grip` is theirs to another."""
        yaw = float(np.arctan2(self._across[1], self._across[0])) + grip
        yaw += np.pi * round((current - yaw) / np.pi)
        if abs(yaw) > np.pi / 2 + 0.3:
            yaw -= np.pi * np.sign(yaw)
        return float(yaw)

    def _facing(self) -> tuple[Array, float]:
        """The gripper's rotation for sweeping, and by how much the brush is off, rad."""
        _, rotation = self.world.brush_pose()
        measured = self.world.arms[0].tip(self.world.data)[:3, :3]
        tip_yaw = float(np.arctan2(-measured[0, 1], measured[1, 1]))
        grip = tip_yaw - float(np.arctan2(rotation[1, 0], rotation[0, 0]))
        yaw = self._sweep_yaw(grip if self.world.held else 0.0, self.tip_yaw())
        return gripper_down(yaw), abs(yaw - self.tip_yaw())

    def _in_hand(self) -> tuple[Array, Array]:
        """Where the brush is (3,), and where the tip is from there, both as measured."""
        tip = self.world.arms[0].tip(self.world.data)[:3, 3]
        offset = np.array([0.0, 0.0, self.world.arm_model.tip_reach + GRIP])
        if not self.world.held:
            return tip - offset, offset
        brush, _ = self.world.brush_pose()
        return brush, tip - brush
