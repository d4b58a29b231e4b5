# SPDX-License-Identifier: Apache-2.0
"""Scripted folding with two arms from privileged state, with a noise dial and designed mistakes."""

from typing import ClassVar

import numpy as np

from vvf_sim.experts.folding_arcs import Arcs
from vvf_sim.experts.script import Script
from vvf_sim.rotations import Array
from vvf_sim.worlds.cloth import PINCH_RADIUS
from vvf_sim.worlds.cloth_garments import Fold, Indices
from vvf_sim.worlds.mount import gripper_down

# Heights of the finger tips over the table: on the way, and at least.
HOVER = 0.075
LOWEST = 0.0015
# How far they draw back to their own side between folds.
BACK = 0.04
# Height of the finger tips at the end of a fold: the cloth below is some layers thick.
RELEASE_HEIGHT = 0.012
# How far to the free side of a crumpled corner a second attempt closes.
AWAY = 0.004
# Corners that are farther than this from where a fold finds them are laid back.
LAID = 0.035
_CLOSED = ('close', 'carry')
_MOST_ATTEMPTS = 5


class FoldingExpert(Script):
    """Folds a garment, both arms in step; arguments as of `Script`."""

    MISTAKES: ClassVar[tuple[str, ...]] = ('missed_grasp', 'dropped', 'misfold', 'timeout')
    NOISE: ClassVar[dict[str, float]] = {
        'approach': 1.0,
        'descend': 0.4,
        'carry': 0.6,
        'rise': 1.0,
        'retreat': 1.0,
    }
    KICKED: ClassVar[tuple[str, ...]] = ('approach', 'carry')

    def plan(self) -> None:
        """Decide what does not depend on how things go."""
        self._garment = self.world.GARMENT
        self._reach = self.world.arm_model.tip_reach
        starts = self.world.starts()
        self._home = [place for place, _ in starts]
        self._turn = [gripper_down(yaw) for _, yaw in starts]
        self._attempts = 0
        self._goals: list[Array] = []
        self._arcs: Arcs
        self._lays_back = False
        self._plan_mistake()
        self._begin_fold()

    @property
    def finished(self) -> bool:
        """Whether the script is done: the grippers draw back, or have given up."""
        if self.mistake == 'timeout':
            return self.steps > self._give_up
        return self.phase == 'retreat' and self.steps > 2

    def clean(self) -> Array:
        """The next step of the script, the left arm's numbers first."""
        self._advance()
        goals = self._goals_now()
        opening = 0.0 if self.phase in _CLOSED else 1.0
        openings = [opening] * len(goals)
        if self.phase == 'carry' and self._slips_now():
            openings = [1.0 if arm in self._arms_wrong else 0.0 for arm in range(len(goals))]
        parts = [
            self.towards(goal, self._turn[arm], openings[arm], arm)
            for arm, goal in enumerate(goals)
        ]
        return np.concatenate(parts)

    # -- mistakes --------------------------------------------------------------------------

    def _plan_mistake(self) -> None:
        rng = self.rng
        self._wrong_fold = int(rng.integers(len(self._garment.folds)))
        choices = ((0,), (1,), (0, 1))
        self._arms_wrong = choices[int(rng.integers(3))]
        self._slip_at = float(rng.uniform(0.25, 0.45))
        self._slipped = 0
        self._short = bool(rng.random() < 0.5)
        self._aside = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.055, 0.075))
        self._give_up = int(rng.integers(20, 45))

    def _errs(self, mistake: str) -> bool:
        """Whether that mistake is to be made in this fold."""
        return self.mistake == mistake and self.world.stage == self._wrong_fold

    def _slips_now(self) -> bool:
        return self._errs('dropped') and self._arcs.progress >= self._slip_at

    # -- phases ----------------------------------------------------------------------------

    @property
    def _fold(self) -> Fold:
        fold: Fold = self._garment.folds[min(self.world.stage, len(self._garment.folds) - 1)]
        return fold

    def _begin_fold(self) -> None:
        if self.world.stage == len(self._garment.folds) or self._attempts >= _MOST_ATTEMPTS:
            self.enter('retreat')
            return
        self._stage = self.world.stage
        # A fold that went wrong is laid back before it is tried again.
        self._lays_back = self.world.laid_error() > LAID
        self._goals = [self._grip(arm) for arm in range(2)]
        self.enter('approach')

    def _advance(self) -> None:
        """Due changes of phase."""
        for _ in range(3):
            before = self.phase
            getattr(self, f'_after_{self.phase}')()
            if self.phase == before:
                return

    def _after_approach(self) -> None:
        if self.mistake == 'timeout':
            if self.steps % 12 == 11:
                self._goals = [
                    goal + np.append(self.rng.normal(0, 0.03, 2), 0) for goal in self._goals
                ]
            return
        if self._near(self._over(self._goals), 0.012):
            self._goals = [self._grip(arm) for arm in range(2)]
            self.enter('descend')

    def _after_descend(self) -> None:
        # A millimetre too high, and the fingers take the upper layer only.
        if self._near(self._goals, 0.002) or (self.steps > 3 and self._near(self._goals, 0.008)):
            self.enter('close')

    def _after_close(self) -> None:
        if self.steps < 2:
            return
        missed = not all(self.world.holds(arm) for arm in range(2))
        if missed and self.config.recover and not self._errs('missed_grasp'):
            self._again()
            return
        self._plan_carry()
        self.enter('carry')

    def _after_carry(self) -> None:
        if self._slips_now():
            self._slipped += 1
            if self._slipped > 2:
                self._rise()
        elif self._arcs.progress >= 1.0 and self._near(self._arcs.goals(), 0.008):
            self.enter('release')

    def _after_release(self) -> None:
        if self.steps >= 1:
            self._rise()

    def _rise(self) -> None:
        """Up, and a little back, so that the arms do not cross on their next ways."""
        up = self._reach + HOVER
        tips = [self.tip(arm)[:3, 3] for arm in range(2)]
        self._goals = [np.array([tips[0][0], tips[0][1] + BACK, up])]
        self._goals.append(np.array([tips[1][0], tips[1][1] - BACK, up]))
        self.enter('rise')

    def _after_rise(self) -> None:
        if self.steps < 2 or not self._near(self._goals, 0.03):
            return
        if self.world.stage > self._stage:
            self._attempts = 0
            self._begin_fold()
        elif self._lays_back:
            self._attempts += 1
            self._begin_fold()
        elif self._errs(self.mistake) and not self.recovers:
            self.enter('retreat')
        elif self._errs(self.mistake) or self.config.recover:
            self._again()
        else:
            self.enter('retreat')

    def _after_retreat(self) -> None:
        pass

    def _again(self) -> None:
        """The same fold once more, without making the mistake again."""
        if self._errs(self.mistake):
            self.mistake = ''
        self._attempts += 1
        self._begin_fold()

    # -- places ----------------------------------------------------------------------------

    def _goals_now(self) -> list[Array]:
        """Where the tips should go, (3,) each, table frame."""
        tips = [self.tip(arm)[:3, 3] for arm in range(2)]
        if self.phase == 'approach':
            return self._over(self._goals)
        if self.phase == 'descend':
            return self._goals
        if self.phase == 'carry':
            return self._arcs.advance(tips)
        if self.phase == 'rise':
            return self._goals
        if self.phase == 'retreat':
            return self._home
        return tips

    def _over(self, goals: list[Array]) -> list[Array]:
        return [np.append(goal[:2], self._reach + HOVER) for goal in goals]

    def _near(self, goals: list[Array], limit: float) -> bool:
        return all(
            np.linalg.norm(self.tip(arm)[:3, 3] - goal) < limit for arm, goal in enumerate(goals)
        )

    def _patch(self, arm: int) -> tuple[Array, Indices]:
        """Place (2,) in the garment's frame that an arm closes at, and vertices to be held."""
        fold, ideal = self._fold, self._garment.stages[self._stage]
        moved = ideal[fold.moves(ideal)]
        middle = 0.5 * (moved.min(axis=0) + moved.max(axis=0))
        corner = np.array(fold.grips[arm])
        inwards = np.sign(np.round(middle - corner, 3))
        inwards[fold.axis] = -fold.side
        place = corner + np.array(fold.inset) * inwards
        near = np.linalg.norm(ideal - place, axis=1) < PINCH_RADIUS - 0.001
        return place, np.flatnonzero(near)

    def _grip(self, arm: int) -> Array:
        """Where the tip (3,) closes, by where the cloth is now."""
        place, patch = self._patch(arm)
        rotation, _ = self.world.fitted(self._stage)
        everything = self.world.cloth.vertices(self.world.data)
        vertices = everything[patch]
        ideal = self._garment.stages[self._stage][patch]
        xy = vertices[:, :2].mean(axis=0) + rotation @ (place - ideal.mean(axis=0))
        if self._lays_back:
            # After a failure it may lie on or under the rest, which is to stay out of reach.
            away = vertices[:, :2].mean(axis=0) - everything[:, :2]
            near = np.linalg.norm(away, axis=1) < 2 * PINCH_RADIUS
            away = away[near].sum(axis=0)
            xy += AWAY * away / max(float(np.linalg.norm(away)), 1e-6)
        height = max(LOWEST, float(vertices[:, 2].min()) - 0.0015)
        if self._errs('missed_grasp') and arm in self._arms_wrong:
            height += 0.05
        return np.append(xy, self._reach + height)

    def _plan_carry(self) -> None:
        """Arcs from where the tips are to where the fold has them."""
        starts, ends = [], []
        rotation, shift = self.world.fitted(self._stage)
        ideal = self._garment.stages[self._stage]
        vertices = self.world.cloth.vertices(self.world.data)
        for arm, held in enumerate(self.world.cloth.held(self.world.data)):
            start = self.tip(arm)[:3, 3]
            place, patch = self._patch(arm)
            aside, caught = np.zeros(2), patch[held[patch]]
            if caught.size:
                # What is held keeps its place beside the tip, it is not turned over.
                place = ideal[caught].mean(axis=0)
                aside = start[:2] - vertices[caught, :2].mean(axis=0)
            goal = place
            if not self._lays_back:
                goal = self._fold.apply(place[None])[0]
                goal[self._fold.axis] -= self._fold.side * self._fold.beyond
            if self._errs('misfold'):
                axis = self._fold.axis
                if self._short:
                    goal[axis] += 0.4 * (place[axis] - goal[axis])
                else:
                    goal[1 - axis] += self._aside
            end = np.append(goal @ rotation.T + shift + aside, self._reach + RELEASE_HEIGHT)
            starts.append(start)
            ends.append(end)
        self._arcs = Arcs(starts, ends)


class ShirtFoldingExpert(FoldingExpert):
    """Folds the shirt."""


class PantsFoldingExpert(FoldingExpert):
    """Folds the pants."""
