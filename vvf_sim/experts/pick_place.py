# SPDX-License-Identifier: Apache-2.0
"""Scripted pick-and-place from privileged state, with a noise dial and designed mistakes."""

from typing import ClassVar

import numpy as np

from vvf_sim.experts.script import Script
from vvf_sim.rotations import Array
from vvf_sim.worlds.mount import gripper_down
from vvf_sim.worlds.objects import CONTAINERS, OBJECTS

_ORDER = ('approach', 'descend', 'close', 'lift', 'carry', 'lower', 'release', 'retreat')
_CLOSED = ('close', 'lift', 'carry', 'lower')

HOVER = 0.11
CARRY = 0.165
# What is left between the finger tips and the table.
CLEARANCE = 0.0045


class PickPlaceExpert(Script):
    """Picks the target and places it in the container; arguments as of `Script`."""

    MISTAKES: ClassVar[tuple[str, ...]] = (
        'missed_grasp',
        'dropped',
        'misplaced',
        'wrong_object',
        'timeout',
    )
    # Little where an object would be knocked over.
    NOISE: ClassVar[dict[str, float]] = {
        'approach': 1.0,
        'lift': 1.0,
        'carry': 1.0,
        'retreat': 1.0,
        'descend': 0.3,
        'lower': 0.3,
    }
    KICKED: ClassVar[tuple[str, ...]] = ('approach', 'descend', 'carry')

    def plan(self) -> None:
        """Decide what does not depend on how things go."""
        self._index = 0
        # Who takes over carries on from where things are.
        placed = self.world.in_container(0)
        self.enter('retreat' if placed else 'lift' if self.world.held == 0 else 'approach')
        ((self._home, _),) = self.world.starts()
        self._lowest = self.world.arm_model.tip_reach + CLEARANCE
        if self.mistake == 'wrong_object' and len(self.world.layout.objects) < 2:
            self.mistake = 'missed_grasp'
        self._plan_mistake()
        self._plan_accident(np.random.default_rng([self.seed, 13]))

    @property
    def finished(self) -> bool:
        """Whether the script is done: the gripper draws back, or has given up looking."""
        if self.mistake == 'timeout':
            return self.steps > self._give_up
        return self.phase == 'retreat' and self.steps > 1

    def clean(self) -> Array:
        """The next step of the script."""
        self._notice()
        if self.mistake == 'timeout':
            return self._wander()
        goal, opening = self._script()
        return self._action(goal, self._yaw(), opening)

    def _plan_mistake(self) -> None:
        rng, layout = self.rng, self.world.layout
        self._too_high = rng.random() < 0.5
        self._beside = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.058, 0.066)
        self._drop_at = rng.uniform(0.3, 0.8)
        self._opened = 0
        self._carry_length = 0.0
        self._waypoint = self._home
        self._wander_left = 0
        self._give_up = int(rng.integers(14, 28))
        if self.mistake == 'wrong_object':
            self._index = int(rng.integers(1, len(layout.objects)))
        middle = np.array(layout.container_xy)
        self._place = middle
        rim = CONTAINERS[layout.container].rim_radius
        for _ in range(50 if self.mistake == 'misplaced' else 0):
            angle = rng.uniform(-np.pi, np.pi)
            reach = rim + rng.uniform(0.05, 0.085)
            place = middle + reach * np.array([np.cos(angle), np.sin(angle)])
            if 0.16 < place[0] < 0.4 and abs(place[1]) < 0.27:
                self._place = place
                break

    def _plan_accident(self, rng: np.random.Generator) -> None:
        self._accident = bool(rng.random() < self.config.accident_probability)
        self._accident_phase = 'lift' if rng.random() < 0.5 else 'carry'
        self._accident_wait = int(rng.integers(0, 4))
        self._accident_open = int(rng.integers(1, 3))
        self._accident_blind = int(rng.integers(0, 7))
        self._accident_steps = 0

    def _notice(self) -> None:
        """Go back to the start when the object is not where the script has it."""
        carrying = self.phase in ('lift', 'carry', 'lower') and self.world.held != self._index
        beside = self.phase == 'retreat' and self.steps > 2
        if self.world.in_container(0) or not (carrying or beside):
            return
        if self.mistake in ('missed_grasp', 'dropped'):
            if not self.recovers or self._opened == 1:
                return
            self.mistake = ''
        elif self.mistake or not self.config.recover:
            return
        self.enter('approach')

    def _script(self) -> tuple[Array, float]:
        """Where the tip should go (3,) and the gripper's opening, after due changes of phase."""
        for _ in _ORDER:
            goal, reached = self._goal()
            if not reached:
                break
            self.enter(_ORDER[_ORDER.index(self.phase) + 1])
        opening = 0.0 if self.phase in _CLOSED else 1.0
        if self.mistake == 'dropped' and self.phase == 'carry' and self._slips():
            opening = 1.0
        return goal, opening

    def _goal(self) -> tuple[Array, bool]:
        tip = self.tip()[:3, 3]
        grasp = self._grasp_point()
        over = np.append(self._place, CARRY)
        misaligned = abs(self._yaw() - self.tip_yaw())
        if self.phase == 'descend' and np.hypot(*(tip - grasp)[:2]) > 0.03:
            # The object was pushed away: from above again.
            self.enter('approach')
        if self.phase == 'approach':
            near = np.hypot(*(tip - grasp)[:2]) < 0.012
            return np.append(grasp[:2], HOVER), bool(near and misaligned < 0.12)
        if self.phase == 'descend':
            return grasp, bool(np.linalg.norm(tip - grasp) < 0.009 and misaligned < 0.2)
        if self.phase in ('close', 'release'):
            return tip, self.steps >= 2
        if self.phase == 'lift':
            self._carry_length = float(np.hypot(*(tip[:2] - self._place)))
            return np.append(tip[:2], CARRY), bool(tip[2] > CARRY - 0.035)
        if self.phase == 'carry':
            return over, bool(np.hypot(*(tip - over)[:2]) < 0.02)
        if self.phase == 'lower':
            low = np.append(self._place, CONTAINERS[self.world.layout.container].height + 0.052)
            return low, bool(abs(tip[2] - low[2]) < 0.012)
        return self._retreat(tip), False

    def _retreat(self, tip: Array) -> Array:
        # Successes and failures end in the same posture, or the posture would tell them apart.
        if tip[2] < CARRY - 0.03:
            return np.append(tip[:2], CARRY)
        return np.asarray(self._home)

    def _slips(self) -> bool:
        distance = np.hypot(*(self.tip()[:2, 3] - self._place))
        rim = CONTAINERS[self.world.layout.container].rim_radius
        due = distance < self._drop_at * self._carry_length or distance < rim + 0.08
        if due and self._opened < 2:
            self._opened += 1
            return True
        return False

    def _grasp_point(self) -> Array:
        position, _ = self.world.object_pose(self._index)
        grasp = position.copy()
        grasp[2] = max(self._lowest, position[2] + 0.006)
        if self.mistake == 'missed_grasp':
            if self._too_high:
                grasp[2] = position[2] + 0.065
            else:
                yaw = self.tip_yaw()
                grasp[:2] += self._beside * np.array([-np.sin(yaw), np.cos(yaw)])
        return np.asarray(grasp)

    def _yaw(self) -> float:
        """The nearest of the gripper's equivalent turns that grasp the object."""
        current = self.tip_yaw()
        if self.phase not in ('approach', 'descend'):
            return current
        kind = OBJECTS[self.world.layout.objects[self._index].kind]
        _, rotation = self.world.object_pose(self._index)
        period = np.pi / 2 if kind.axis == 'square' else np.pi
        axis = rotation[:, 0]
        if kind.axis == 'z':
            axis = rotation[:, 2]
            if abs(axis[2]) > 0.7:
                return current
        elif abs(axis[2]) > 0.8:
            axis = rotation[:, 1]
        yaw = float(np.arctan2(axis[1], axis[0]))
        yaw += period * round((current - yaw) / period)
        # The wrist must not wind up beyond a quarter turn.
        limit = np.pi / 2 + 0.25
        if yaw > limit:
            yaw -= period
        elif yaw < -limit:
            yaw += period
        return yaw

    def _action(self, goal: Array, yaw: float, opening: float) -> Array:
        return self.towards(goal, gripper_down(yaw), opening)

    def _wander(self) -> Array:
        """Look about over the objects without ever grasping."""
        if self._wander_left <= 0:
            index = int(self.rng.integers(len(self.world.layout.objects)))
            position, _ = self.world.object_pose(index)
            offset = self.rng.uniform([-0.05, -0.05, 0.08], [0.05, 0.05, 0.14])
            self._waypoint = np.append(position[:2], 0.0) + offset
            self._wander_left = int(self.rng.integers(3, 8))
        self._wander_left -= 1
        return self._action(self._waypoint, self.tip_yaw(), 1.0)

    def disturb(self, clean: Array) -> Array:
        """Noise, pushes and accidents."""
        return self._suffer(super().disturb(clean))

    def _suffer(self, executed: Array) -> Array:
        """An accident: the fingers open, and for some steps nobody notices."""
        due = self.phase == self._accident_phase and self.steps > self._accident_wait
        if not self._accident or not (due or self._accident_steps):
            return executed
        step, self._accident_steps = self._accident_steps, self._accident_steps + 1
        if step < self._accident_open:
            executed[6] = 1.0
        elif step < self._accident_open + self._accident_blind:
            executed = self._action(np.append(self._place, CARRY), self.tip_yaw(), 0.0)
        else:
            self._accident = False
        return executed
