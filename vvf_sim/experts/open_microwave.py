# SPDX-License-Identifier: Apache-2.0
"""Scripted opening of the microwave: pull the door ajar, reach behind it, swing it open."""

from typing import ClassVar

import numpy as np

from vvf_sim.experts.script import Script
from vvf_sim.rotations import Array, rotation_z
from vvf_sim.worlds.mount import gripper_down
from vvf_sim.worlds.open_microwave import OPEN, SHUT
from vvf_sim.worlds.open_microwave_layout import STANDOFF

# How far the fingers reach down beside the bar, and pass over it.
DEPTH = 0.03
CLEAR = 0.02
# Pulled this far there is room for the fingers behind the door, rad.
PULLED = 0.5
ROOM = 0.34
# From the door's middle plane to the tip behind it: while reaching in, while pushing.
BEHIND = 0.034
PUSHING = 0.016
# Part of the door's width at which it is pushed.
PUSH_AT = 0.72
# Before the door, where fingers that close miss the bar.
BEFORE = 0.085


class OpenMicrowaveExpert(Script):
    """Opens the microwave; arguments as of `Script`."""

    MISTAKES: ClassVar[tuple[str, ...]] = (
        'closed_empty',
        'handle_slipped',
        'door_shut_again',
        'microwave_pushed',
        'timeout',
    )
    NOISE: ClassVar[dict[str, float]] = {
        'approach': 1.0,
        'descend': 0.3,
        'pull': 0.3,
        'rise': 0.5,
        'over': 1.0,
        'insert': 0.3,
        'swing': 0.5,
        'retreat': 1.0,
    }
    KICKED: ClassVar[tuple[str, ...]] = ('approach', 'descend', 'over')

    def plan(self) -> None:
        """Decide what does not depend on how things go."""
        ((self._home, self._home_yaw),) = self.world.starts()
        top, reach = self.world.microwave.top, self.world.arm_model.tip_reach
        self._low, self._high = top - DEPTH + reach, top + CLEAR + reach
        rng = self.rng
        self._too_high = bool(rng.random() < 0.5)
        self._slips_at = float(rng.uniform(0.02, 0.06))
        self._give_up = int(rng.integers(14, 28))
        self._waypoint, self._wander_left = self._home, 0
        # It may be called to take over from any posture: first of all up, out of what is there.
        self.enter('aside' if self.mistake == 'microwave_pushed' else 'rise')

    @property
    def finished(self) -> bool:
        """Whether the gripper draws back, or has given up."""
        if self.mistake == 'timeout':
            return self.steps > self._give_up
        return self.phase == 'retreat' and self.steps > 1

    def clean(self) -> Array:
        """The next step of the script."""
        if self.mistake == 'timeout':
            return self._wander()
        following = self._next()
        while following:
            self.enter(following)
            following = self._next()
        goal, yaw, opening, step = self._goal()
        return self.towards(goal, gripper_down(yaw), opening, step=step)

    def _next(self) -> str:
        """The phase that is due instead of this one, or ''."""
        world, tip = self.world, self.tip()[:3, 3]
        goal, yaw, _, _ = self._goal()
        off = float(np.linalg.norm(tip - goal))
        turned = abs(yaw - self.tip_yaw())
        if self.phase == 'approach':
            return 'descend' if off < 0.014 and turned < 0.12 else ''
        if self.phase == 'descend':
            if np.hypot(*(tip - goal)[:2]) > 0.03:
                return 'rise'
            return 'close' if off < 0.008 and turned < 0.15 else ''
        if self.phase == 'close':
            return 'pull' if self.steps >= 2 and (world.held or self.steps >= 3) else ''
        if self.phase == 'pull':
            return self._after_pull()
        if self.phase == 'release':
            if self.steps < 2:
                return ''
            return 'shut' if self.mistake == 'door_shut_again' else 'rise'
        if self.phase == 'shut':
            done = world.angle < SHUT - 0.01 or self.steps > 12
            return ('rise' if self._noticed() else 'retreat') if done else ''
        if self.phase == 'rise':
            reaches_behind = world.angle > ROOM - 0.08
            up = tip[2] > goal[2] - 0.008
            return ('over' if reaches_behind else 'approach') if up else ''
        if self.phase in ('over', 'insert', 'swing'):
            return self._after_reaching(off, turned)
        if self.phase in ('aside', 'lower'):
            return {'aside': 'lower', 'lower': 'bump'}[self.phase] if off < 0.015 else ''
        if self.phase == 'bump':
            done = world.happened('microwave_pushed') or self.steps > 6
            return ('rise' if self._noticed() else 'retreat') if done else ''
        return ''

    def _after_pull(self) -> str:
        if self.world.angle > PULLED - 0.06:
            return 'release'
        if self.world.held or self.steps < 1:
            return ''
        if self.mistake == 'handle_slipped' and not self.world.happened('handle_slipped'):
            return ''
        # The bar is not between the fingers, or no longer.
        if self.world.angle > ROOM:
            return 'release'
        if self.mistake in ('closed_empty', 'handle_slipped'):
            if self.recovers:
                self.mistake = ''
                return 'rise'
            return 'retreat' if self.steps > 3 else ''
        return 'rise' if self.config.recover else 'retreat'

    def _after_reaching(self, off: float, turned: float) -> str:
        if self.world.angle > OPEN + 0.07:
            return 'retreat'
        if self.world.angle < ROOM - 0.08:
            return 'rise' if self.config.recover else 'retreat'
        if self.phase == 'over':
            return 'insert' if off < 0.016 and turned < 0.15 else ''
        if self.phase == 'insert':
            return 'swing' if off < 0.012 else ''
        return 'rise' if self._outside() > 0.0 else ''

    def _noticed(self) -> bool:
        """Whether a mistake that is through is to be made good."""
        again = self.recovers
        if again:
            self.mistake = ''
        return again

    def _goal(self) -> tuple[Array, float, float, float]:
        """Where the tip should go (3,), its yaw, the gripper's opening, and the largest step."""
        world = self.world
        angle, radius = world.angle, world.microwave.handle_radius
        step = 0.045
        if self.phase in ('approach', 'descend', 'close'):
            outside, height = self._grasp()
            height = self._high if self.phase == 'approach' else height
            opening = float(self.phase != 'close')
            return *self._at(angle, radius, outside, height), opening, step
        if self.phase == 'pull':
            slips = self.mistake == 'handle_slipped'
            pulled = min(angle + (0.12 if slips else 0.27), PULLED + 0.08)
            opening = float(slips and angle > self._slips_at)
            return *self._at(pulled, radius, *self._grasp()), opening, 0.02 if slips else step
        if self.phase == 'release':
            return self.tip()[:3, 3], self.tip_yaw(), 1.0, step
        if self.phase == 'shut':
            return *self._at(max(angle - 0.35, 0.0), radius, 0.008, self._low), 1.0, step
        if self.phase == 'rise':
            return np.append(self.tip()[:2, 3], self._high), self.tip_yaw(), 1.0, step
        width = world.microwave.door_width
        if self.phase in ('over', 'insert'):
            height = self._high if self.phase == 'over' else self._low
            return *self._at(angle, PUSH_AT * width, -BEHIND, height), 1.0, step
        if self.phase == 'swing':
            return *self._at(angle + 0.28, PUSH_AT * width, -PUSHING, self._low), 1.0, step
        if self.phase in ('aside', 'lower', 'bump'):
            height = self._high if self.phase == 'aside' else self._low
            outside = -0.1 if self.phase == 'bump' else 0.05
            return *self._at(0.0, 0.35 * width, outside, height), 1.0, step
        return self._retreat(), self._home_yaw, 1.0, step

    def _grasp(self) -> tuple[float, float]:
        """How far before the door and how high the fingers close."""
        if self.mistake != 'closed_empty':
            return STANDOFF, self._low
        return (STANDOFF, self._high) if self._too_high else (BEFORE, self._low)

    def _retreat(self) -> Array:
        # Successes and failures end in the same posture, or the posture would tell them apart.
        tip = self.tip()[:3, 3]
        if tip[2] < self._high - 0.015:
            return np.append(tip[:2], self._high + 0.01)
        return np.asarray(self._home)

    def _at(
        self, angle: float, radius: float, outside: float, height: float
    ) -> tuple[Array, float]:
        """A place (3,) of the door's frame in the table frame, and the yaw along the door."""
        microwave = self.world.microwave
        origin, yaw = microwave.door_frame(*self.world.microwave_pose(), angle)
        place = origin + rotation_z(yaw) @ microwave.along(radius, outside, height)
        place[2] = height
        return place, yaw

    def _outside(self) -> float:
        """How far the tip is outside of the door's middle plane, m."""
        microwave = self.world.microwave
        origin, yaw = microwave.door_frame(*self.world.microwave_pose(), self.world.angle)
        return -float((rotation_z(yaw).T @ (self.tip()[:3, 3] - origin))[0])

    def _wander(self) -> Array:
        """Look about before the microwave without ever touching it."""
        if self._wander_left <= 0:
            offset = self.rng.uniform([-0.04, -0.1, 0.0], [0.04, 0.1, 0.06])
            self._waypoint = np.append(self._home[:2], self._high + 0.02) + offset
            self._wander_left = int(self.rng.integers(3, 8))
        self._wander_left -= 1
        return self.towards(self._waypoint, None, 1.0)
