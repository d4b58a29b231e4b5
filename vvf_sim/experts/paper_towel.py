# SPDX-License-Identifier: Apache-2.0
"""Scripted paper-towel organisation from privileged state, with a noise dial and mistakes.

A roll that stands is taken from above across its upper half; one that lies is taken across its
middle and turned upright in the air, by a gripper that ends up level. Both are threaded by what
is measured: where the roll is in the hand says where the hand must go.
"""

from typing import ClassVar

import numpy as np

from vvf_sim.experts.paper_towel_ways import easiest_level, place_beside, room, roomy_way
from vvf_sim.experts.script import STEP, TURN, Script
from vvf_sim.rotations import Array, rotation_exp, rotation_log
from vvf_sim.worlds.mount import gripper_down
from vvf_sim.worlds.paper_towel import FALLEN
from vvf_sim.worlds.paper_towel_scene import BASE_HEIGHT, SIDES

_ORDER = ('approach', 'descend', 'close', 'lift', 'carry', 'align', 'lower', 'release', 'rise')
_CLOSED = ('close', 'lift', 'carry', 'align', 'lower')
_HOLDING = ('lift', 'carry', 'align', 'lower')

HOVER = 0.075
WRIST = np.pi / 2 + 0.25
# What is left between the finger tips and the table.
CLEARANCE = 0.0045
# A level hand is kept so high that it clears rolls.
LEVEL_HEIGHT = 0.09
# The peg has to be this deep in a roll that is let go.
THREADED = 0.025
# How far above the tip frame the palm is, less a margin: it must not land on the peg.
PALM = 0.034
# How far the roll's middle passes above the peg, and how exactly it must be over it, m and rad.
PASS = 0.042
ALIGNED = 0.004
TILTED = 0.12
UPSIDE = 0.3
# How far from a roll that is to be run over the hand starts.
RUN_UP = 0.115
RUN_RISE = 0.045
# Of an action that turns a hand level or back, m and rad.
SLOW_STEP = 0.03
SLOW_TURN = 0.3
# How much higher the roll is carried meanwhile, and how far a level hand draws back at last, m.
SLOW_RISE = 0.04
BACK = 0.09
# Actions after which a phase that does not end is given up.
PATIENCE = 20


class PaperTowelExpert(Script):
    """Puts one roll after the other on the peg; arguments as of `Script`."""

    MISTAKES: ClassVar[tuple[str, ...]] = ('missed_grasp', 'dropped', 'misplaced', 'toppled')
    NOISE: ClassVar[dict[str, float]] = {
        'approach': 1.0,
        'lift': 0.7,
        'carry': 1.0,
        'retreat': 1.0,
        'descend': 0.3,
        'align': 0.35,
        'lower': 0.2,
    }
    KICKED: ClassVar[tuple[str, ...]] = ('approach', 'descend', 'carry')

    def plan(self) -> None:
        """Decide what does not depend on how things go."""
        ((self._home, self._home_yaw),) = self.world.starts()
        self._count = len(self.world.layout.rolls)
        self._peg = np.array(self.world.layout.peg_xy)
        self._given_up: set[int] = set()
        self._index = 0
        self._lies = False
        self._blamed = -1
        self._level = easiest_level(self.world.arms[0], self._peg)
        self._plan_mistake()
        self._next_roll()

    @property
    def finished(self) -> bool:
        """Whether the script is done: the gripper draws back."""
        return self.phase == 'retreat' and self.steps > 1

    def clean(self) -> Array:
        """The next step of the script."""
        self._notice()
        for _ in range(len(_ORDER) + 3):
            place, rotation, reached = self._goal()
            if self.steps > PATIENCE and self.phase != 'retreat':
                # Something is in the way, or out of reach: let it be.
                self._given_up.add(self._index)
                self.enter('rise')
            elif not reached:
                break
            self._advance()
        opening = 0.0 if self.phase in _CLOSED else 1.0
        if self.phase == 'carry' and self._errs('dropped') and self._slips():
            opening = 1.0
        # Turning a hand level takes large turns of the wrist: the arm has to keep up.
        turning = self._lies and self.phase in ('carry', 'rise', 'approach')
        step, turn = (SLOW_STEP, SLOW_TURN) if turning else (STEP, TURN)
        return self.towards(place, rotation, opening, step=step, turn=turn)

    # -- what comes next -------------------------------------------------------------------

    def _plan_mistake(self) -> None:
        rng = self.rng
        # Which roll it happens to: the first or the second that is taken.
        self._mistake_turn = int(rng.integers(self._count))
        self._turn = 0
        self._too_high = rng.random() < 0.5
        self._beside = self.world.arm_model.max_opening / 2 + rng.uniform(0.045, 0.055)
        self._drop_at = rng.uniform(0.35, 0.75)
        self._opened = 0
        self._carry_length = 0.0
        self._goal_xy = self._peg
        self._knock = np.zeros(3)
        self._knocks = 0

    def _errs(self, mistake: str) -> bool:
        """Whether that mistake is due with the roll in hand."""
        return self.mistake == mistake and self._turn == self._mistake_turn

    def _next_roll(self) -> None:
        """Go for the nearest roll that is not on the peg; home if there is none."""
        world = self.world
        left = [
            (float(np.linalg.norm(world.roll_pose(i)[0] - self.tip()[:3, 3])), i)
            for i in range(self._count)
            if not world.around_peg(i) and i not in self._given_up
        ]
        if not left:
            self.enter('retreat')
            return
        self._index = min(left)[1]
        self._goal_xy = self._peg
        self.enter('approach')
        if self._errs('toppled') and self._still_stands():
            self._start_knock()
        if self._errs('misplaced'):
            self._goal_xy = place_beside(self._peg, self._others(), self.rng)

    def _advance(self) -> None:
        if self.phase == 'rise':
            self._conclude()
        elif self.phase in ('over', 'sink', 'knock'):
            self.enter({'over': 'sink', 'sink': 'knock', 'knock': 'rise'}[self.phase])
        else:
            self.enter(_ORDER[_ORDER.index(self.phase) + 1])

    def _conclude(self) -> None:
        """A roll has been let go: what now?"""
        if not self.world.around_peg(self._index):
            if self._errs('toppled') and self._still_stands():
                self._knocks += 1
                self._start_knock()
                return
            erred = bool(self.mistake) and self._turn == self._mistake_turn
            again = self.recovers if erred else self.config.recover
            if not again:
                self._given_up.add(self._index)
            elif erred:
                self.mistake = ''
        self._turn += 1
        self._next_roll()

    def _notice(self) -> None:
        """Go back for a roll that is not in the hand though it should be."""
        if self.phase not in _HOLDING or self.world.held == self._index:
            return
        if self.world.around_peg(self._index):
            self.enter('release')
            return
        if self._turn == self._mistake_turn and self.mistake in ('missed_grasp', 'dropped'):
            if not self.recovers or self._opened == 1:
                return
            self.mistake = ''
        elif not self.config.recover:
            return
        self._next_roll()

    def _slips(self) -> bool:
        distance = float(np.hypot(*(self.tip()[:2, 3] - self._peg)))
        if self._opened < 2 and (distance < self._drop_at * self._carry_length or distance < 0.09):
            self._opened += 1
            return True
        return False

    # -- where to go -----------------------------------------------------------------------

    def _goal(self) -> tuple[Array, Array | None, bool]:
        """Where the tip should go (3,), its rotation (3, 3) or None, and whether it is there."""
        tip = self.tip()[:3, 3]
        if self.phase == 'retreat':
            return self._home, gripper_down(self._home_yaw), False
        if self.phase in ('over', 'sink', 'knock'):
            return self._knock_goal(tip)
        if self.phase in ('approach', 'descend'):
            return self._grasp_goal(tip)
        if self.phase in ('close', 'release'):
            return tip, None, self.steps >= (2 if self.phase == 'close' else 1)
        if self.phase == 'rise':
            high = self._roll_height() / 2 + self.world.layout.peg_top + 0.02
            top = self.world.arm_model.tip_reach + high
            return np.append(tip[:2], top), None, bool(tip[2] > top - 0.03)
        if self.phase == 'back':
            # Turned down again where it is, a level hand would hit what it has put on the peg.
            away = self._goal_xy - BACK * self._level[:2, 0]
            place = np.append(away, tip[2])
            return place, None, bool(np.linalg.norm(tip - place) < 0.02)
        return self._thread_goal(tip)

    def _grasp_goal(self, tip: Array) -> tuple[Array, Array, bool]:
        position, rotation = self.world.roll_pose(self._index)
        self._lies = abs(rotation[2, 2]) < FALLEN
        yaw = self._grasp_yaw(rotation)
        reach = self.world.arm_model.tip_reach
        low = reach + max(CLEARANCE, position[2] - 0.018 if self._lies else position[2] + 0.001)
        grasp = np.append(position[:2], low)
        if self._errs('missed_grasp'):
            if self._too_high:
                grasp[2] += self._roll_height()
            else:
                aside = self._beside * np.array([-np.sin(yaw), np.cos(yaw)])
                sides = [grasp[:2] + aside, grasp[:2] - aside]
                grasp[:2] = max(sides, key=lambda side: room(side, self._others()))
        aside = float(np.hypot(*(tip - grasp)[:2]))
        turned = abs(yaw - self.tip_yaw())
        if self.phase == 'descend' and aside > 0.025:
            self.enter('approach')
        if self.phase == 'approach':
            over = grasp + np.array([0.0, 0.0, HOVER])
            if aside > 0.05 and tip[2] > over[2]:
                # High until near: other rolls and the peg stand in between.
                over[2] = tip[2]
            return over, gripper_down(yaw), aside < 0.008 and turned < 0.12
        there = aside < 0.006 and abs(tip[2] - grasp[2]) < 0.006
        return grasp, gripper_down(yaw), bool(there and turned < 0.15)

    def _grasp_yaw(self, rotation: Array) -> float:
        """The handiest of the gripper's equivalent turns: flat sides lie between the fingers."""
        axis = rotation[:, 2] if self._lies else rotation[:, 0]
        period = np.pi if self._lies else 2 * np.pi / SIDES
        first = float(np.arctan2(axis[1], axis[0])) % period
        # The wrist must not wind up beyond a quarter turn.
        yaws = [first + k * period for k in range(-SIDES, SIDES)]
        return min((yaw for yaw in yaws if abs(yaw) < WRIST), key=self._turning)

    def _turning(self, yaw: float) -> float:
        """How far the hand has to turn to grasp at a yaw and, if the roll lies, to raise it."""
        turning = abs(yaw - self.tip_yaw())
        if not self._lies:
            return turning
        return turning + 2.0 * float(
            np.linalg.norm(rotation_log(self._level @ gripper_down(yaw).T))
        )

    def _thread_goal(self, tip: Array) -> tuple[Array, Array | None, bool]:
        roll, axis, offset = self._in_hand()
        top = self.world.layout.peg_top + PASS
        tilt = float(np.arccos(np.clip(abs((self._rotation() @ axis)[2]), 0.0, 1.0)))
        if self.phase in ('lift', 'carry') and tilt > UPSIDE:
            top += SLOW_RISE
        if self.phase == 'lift':
            self._carry_length = float(np.hypot(*(tip[:2] - self._peg)))
            high = top + float(np.linalg.norm(offset))
            return np.append(tip[:2], high), None, bool(tip[2] > high - 0.06)
        rotation = self._upright(axis)
        over = np.append(self._goal_xy, top) + rotation @ offset
        aside = float(np.hypot(*(roll[:2] - self._goal_xy)))
        if self.phase == 'carry':
            return over, rotation, bool(aside < 0.03 and tilt < UPSIDE)
        if self.phase == 'align':
            return over, rotation, bool(aside < ALIGNED and tilt < TILTED)
        over[2] = self._lowest(rotation @ offset)
        # What keeps the hand from its place keeps the roll from falling aside, too.
        return over, rotation, bool(tip[2] < over[2] + 0.006 or self.steps > 6)

    def _in_hand(self) -> tuple[Array, Array, Array]:
        """Where the roll is (3,), its axis in the tip's frame, and the tip seen from it there."""
        roll, rotation = self.world.roll_pose(self._index)
        measured = self.world.arms[0].tip(self.world.data)
        if self._errs('missed_grasp') or (self._errs('dropped') and self._opened):
            # It goes on as if the roll were in the hand.
            offset = np.array([-self.world.arm_model.tip_reach, 0.0, 0.0])
            return measured[:3, 3] - measured[:3, :3] @ offset, np.array([1.0, 0.0, 0.0]), offset
        offset = measured[:3, :3].T @ (measured[:3, 3] - roll)
        return roll, measured[:3, :3].T @ rotation[:, 2], offset

    def _rotation(self) -> Array:
        return np.asarray(self.world.arms[0].tip(self.world.data)[:3, :3])

    def _upright(self, axis: Array) -> Array:
        """The tip's rotation in which a roll with that axis (3,) in the hand stands."""
        lies = abs(axis[0]) < 0.7
        rotation = self._level if lies else gripper_down(self.tip_yaw())
        up = rotation @ axis
        up *= np.sign(up[2])
        turn = np.cross(up, [0.0, 0.0, 1.0])
        return np.asarray(rotation_exp(turn) @ rotation)

    def _roll_height(self) -> float:
        return float(self.world.layout.rolls[self._index].height)

    def _lowest(self, offset: Array) -> float:
        """Height of the tip at which the roll is let go; it slides down what is left."""
        half = self._roll_height() / 2
        if np.allclose(self._goal_xy, self._peg):
            below = sum(self.world.around_peg(i) for i in range(self._count) if i != self._index)
            floor = BASE_HEIGHT + below * self._roll_height()
            top = self.world.layout.peg_top
            free = min(LEVEL_HEIGHT, top - THREADED + half) if self._lies else top - PALM
        else:
            floor, free = 0.012, LEVEL_HEIGHT if self._lies else 0.0
        return float(max(floor + half + offset[2] + 0.004, free))

    # -- mistakes --------------------------------------------------------------------------

    def _others(self) -> list[Array]:
        rolls = [self.world.roll_pose(i)[0][:2] for i in range(self._count) if i != self._index]
        return [self._peg, *rolls]

    def _still_stands(self) -> bool:
        """Whether the roll has to be run over once more; it may slide away instead."""
        _, rotation = self.world.roll_pose(self._index)
        return bool(self._knocks < 4 and abs(rotation[2, 2]) > FALLEN)

    def _start_knock(self) -> None:
        middle = self.world.roll_pose(self._index)[0][:2]
        way = roomy_way(middle, RUN_UP, self._others(), self.rng)
        self._knock = np.append(way, 0.0)
        self.enter('over')

    def _knock_goal(self, tip: Array) -> tuple[Array, Array, bool]:
        """Run a standing roll over with the side of a finger.

        The finger rises as it goes, for one that does not holds the near side down.
        """
        x, y, _ = self._knock
        yaw = float(np.arctan2(-x, y))
        yaw -= np.pi * round((yaw - self.tip_yaw()) / np.pi)
        if self.phase == 'over':
            middle = self.world.roll_pose(self._index)[0][:2]
            height = self.world.arm_model.tip_reach + CLEARANCE
            self._knock_start = np.append(middle, height) - RUN_UP * self._knock
        start, down = self._knock_start, gripper_down(yaw)
        if self.phase == 'over':
            over = start + np.array([0.0, 0.0, HOVER])
            return over, down, bool(np.hypot(*(tip - over)[:2]) < 0.015)
        if self.phase == 'sink':
            return start, down, bool(abs(tip[2] - start[2]) < 0.008)
        end = start + RUN_UP * self._knock + [0.0, 0.0, RUN_RISE]
        return end, down, bool(np.linalg.norm(tip - end) < 0.01)
