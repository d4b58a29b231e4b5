# SPDX-License-Identifier: Apache-2.0
"""Scripted opening of the window: the handle between the open fingers, then to the side."""

from typing import ClassVar

import numpy as np

from vvf_sim.experts.script import STEP, Script
from vvf_sim.rotations import Array
from vvf_sim.worlds.mount import gripper_down
from vvf_sim.worlds.window_open import OPEN
from vvf_sim.worlds.window_open_layout import HANDLE_HALF, STANDOFF

# How far the fingers reach down beside the handle, and pass over it.
DEPTH = 0.03
CLEAR = 0.025
# Before the handle, where the fingers miss it.
BEFORE = 0.055


class WindowOpenExpert(Script):
    """Opens the window; arguments as of `Script`."""

    MISTAKES: ClassVar[tuple[str, ...]] = ('handle_missed', 'slid_back', 'timeout')
    NOISE: ClassVar[dict[str, float]] = {
        'approach': 1.0,
        'descend': 0.4,
        'slide': 0.6,
        'rise': 1.0,
        'retreat': 1.0,
    }
    KICKED: ClassVar[tuple[str, ...]] = ('approach', 'descend', 'slide')

    def plan(self) -> None:
        """Decide what does not depend on how things go."""
        ((self._home, self._home_yaw),) = self.world.starts()
        arm = self.world.arm_model
        top = self.world.window.handle_top
        self._low, self._high = top - DEPTH + arm.tip_reach, top + CLEAR + arm.tip_reach
        # The tip is so far ahead of the handle when the following finger touches it.
        self._slack = arm.max_opening / 2 - HANDLE_HALF
        rng = self.rng
        self._too_high = bool(rng.random() < 0.5)
        self._lets_go_at = float(rng.uniform(0.32, 0.5))
        self._give_up = int(rng.integers(14, 28))
        self._waypoint, self._wander_left = self._home, 0
        # It may be called to take over from any posture: first of all up, out of what is there.
        self.enter('rise')

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
        goal, yaw = self._goal()
        return self.towards(goal, gripper_down(yaw), 1.0)

    def _next(self) -> str:
        """The phase that is due instead of this one, or ''."""
        goal, yaw = self._goal()
        tip = self.tip()[:3, 3]
        off = float(np.linalg.norm(tip - goal))
        turned = abs(yaw - self.tip_yaw())
        if self.phase == 'rise':
            return 'approach' if tip[2] > self._high - 0.01 else ''
        if self.phase == 'approach':
            return 'descend' if off < 0.014 and turned < 0.15 else ''
        if self.phase == 'descend':
            if np.hypot(*(tip - goal)[:2]) > 0.03:
                return 'rise'
            return 'slide' if off < 0.009 and turned < 0.2 else ''
        if self.phase == 'slide':
            return self._after_sliding(tip)
        if self.phase == 'let_go':
            if self.world.happened('slid_back'):
                return self._made_good()
            return 'retreat' if self.steps > 8 else ''
        return ''

    def _after_sliding(self, tip: Array) -> str:
        world = self.world
        part = world.opened / world.window.travel
        if part > OPEN + 0.08:
            return 'retreat'
        if self.mistake == 'slid_back' and part > self._lets_go_at:
            return 'let_go'
        along, before, _ = world.window.seen_from(tip)
        missed = along - world.opened > self._slack + 0.05 or abs(before - STANDOFF) > 0.03
        if self.mistake == 'handle_missed':
            return self._made_good() if world.happened('handle_missed') else ''
        if not missed:
            return ''
        return 'rise' if self.config.recover else 'retreat'

    def _made_good(self) -> str:
        """What follows a mistake that is through."""
        if not self.recovers:
            return 'retreat'
        self.mistake = ''
        return 'rise'

    def _goal(self) -> tuple[Array, float]:
        """Where the tip should go (3,), and its yaw."""
        window, opened = self.world.window, self.world.opened
        tip = self.tip()[:3, 3]
        before, low = STANDOFF, self._low
        if self.mistake == 'handle_missed':
            before, low = (before, self._high) if self._too_high else (STANDOFF + BEFORE, low)
        if self.phase in ('rise', 'let_go'):
            return np.append(tip[:2], self._high + 0.01), self.tip_yaw()
        if self.phase in ('approach', 'descend'):
            height = self._high if self.phase == 'approach' else low
            return window.in_front(opened + 0.3 * self._slack, before, height), window.yaw
        if self.phase == 'slide':
            if self.mistake == 'handle_missed':
                along = window.seen_from(tip)[0] + 2 * STEP
            else:
                # Who will let go is in no hurry: the catch would be reached within a step.
                lead = 0.4 * STEP if self.mistake == 'slid_back' else STEP
                along = opened + self._slack + lead
            return window.in_front(along, before, low), window.yaw
        # Successes and failures end in the same posture, or the posture would tell them apart.
        if tip[2] < self._high - 0.015:
            return np.append(tip[:2], self._high + 0.01), self.tip_yaw()
        return self._home, self._home_yaw

    def _wander(self) -> Array:
        """Look about before the window without ever touching it."""
        if self._wander_left <= 0:
            offset = self.rng.uniform([-0.04, -0.1, 0.0], [0.03, 0.1, 0.06])
            self._waypoint = np.append(self._home[:2], self._high + 0.03) + offset
            self._wander_left = int(self.rng.integers(3, 8))
        self._wander_left -= 1
        return self.towards(self._waypoint, None, 1.0)
