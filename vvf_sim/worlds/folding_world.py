# SPDX-License-Identifier: Apache-2.0
"""Two arms and a garment that is folded step by step: what all folding tasks share."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds.cloth import RADIUS, Cloth, fit
from vvf_sim.worlds.cloth_garments import Garment
from vvf_sim.worlds.folding_layout import FoldingLayout, arm_mounts, draw_layout, furnish
from vvf_sim.worlds.mount import Mount
from vvf_sim.worlds.world import World
from vvf_sim.worlds.world_config import WorldConfig

ARM_SIDES = ('left', 'right')

# A corner may end this far from where an ideal fold would have it.
CORNER_LIMIT = 0.04
# The folded garment covers at most this many times what it would ideally.
AREA_LIMIT = 1.25
# A fold that failed and covers less than this part of the ideal is a heap.
CRUMPLED = 0.8
# What is let go from higher than this was dropped.
DROP_HEIGHT = 0.035
# Cloth that has gone less far was not folded but tugged.
TUGGED = 0.03
# Time in which released cloth comes down, before it is judged.
FALL_S = 0.3
STILL = 0.03
WITHDRAWN = 0.05
# Parts of their opening at which closing fingers grip and opening ones let go.
GRIPS = 0.2
LETS_GO = 0.4
START_Y = 0.17
START_HEIGHT = 0.1


class FoldingWorld(World[WorldConfig]):
    """Two arms, a table and a garment; `reset` must be called before anything else.

    Events; kinds are the arm or the fold: grasped, grasp_missed (closed where no cloth was),
    cloth_dropped (let go high up, or before the line of the fold), fold_done, misfold (a fold
    whose corners ended too far off), crumpled (the same, and in a heap), success.

    Args:
        config: what may vary.

    Attributes:
        stage: how many folds are done.
    """

    CAMERAS: ClassVar[tuple[str, ...]] = ('front', 'left_wrist', 'right_wrist')
    MILESTONES: ClassVar[tuple[str, ...]] = ('grasped', 'fold_done', 'success')
    ERRORS: ClassVar[tuple[str, ...]] = ('grasp_missed', 'cloth_dropped', 'misfold', 'crumpled')
    GARMENT: ClassVar[Garment]

    def __init__(self, config: WorldConfig) -> None:
        super().__init__(config)
        self.layout: FoldingLayout
        self.cloth: Cloth
        self.stage = 0

    def mounts(self) -> tuple[Mount, ...]:
        """One arm on either side."""
        return arm_mounts(self.arm_model)

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the layout."""
        self.layout = draw_layout(self.config, self.GARMENT, rng, self.seed)

    def furnish(self, spec: 'mujoco.MjSpec') -> None:
        """Add table, garment and cameras."""
        prefixes = [mount.prefix for mount in self.mounts()]
        furnish(spec, self.layout, self.GARMENT, self.arm_model, prefixes)

    def index(self) -> None:
        """Look up the garment, and wrinkle it."""
        self.cloth = Cloth(self.model, self.GARMENT, len(self.arms))
        self.cloth.wrinkle(self.data, self.layout.wrinkles)

    @property
    def settle_ticks(self) -> int:
        """Wrinkles have to fall."""
        return 25

    def starts(self) -> Sequence[tuple[Array, float]]:
        """Over the two sides of the garment.

        Grippers are turned by an eighth, or the camera on one would be inside the other where
        both hold the same edge.
        """
        height = self.arm_model.tip_reach + START_HEIGHT
        x, y = self.mounts()[0].xyz[0], START_Y
        return [(np.array([x, side * y, height]), -side * np.pi / 4) for side in (1, -1)]

    def clear(self) -> None:
        """Forget what was held and done."""
        self.stage = 0
        self._closed = [False] * len(self.arms)
        self._before = self.cloth.vertices(self.data)
        self._due = np.inf
        self._attempt: list[str] = []
        self._succeeded = False

    # -- how the garment lies --------------------------------------------------------------

    def fitted(self, stage: int) -> tuple[Array, Array]:
        """Rotation (2, 2) and shift (2,) from the garment's frame to the table's.

        By what the next fold leaves where it is.

        Args:
            stage: number of folds that are taken to be done; fewer than there are.
        """
        ideal = self.GARMENT.stages[stage]
        rest = ~self.GARMENT.folds[stage].moves(ideal)
        return fit(ideal[rest], self.cloth.vertices(self.data)[rest, :2])

    def corner_errors(self, stage: int) -> Array:
        """Distances (corners,) in m from where they would be after so many folds."""
        garment = self.GARMENT
        ideal = garment.stages[stage]
        rotation, shift = self.fitted(max(stage - 1, 0))
        lies = self.cloth.vertices(self.data)[garment.corner_vertices, :2]
        wanted = ideal[garment.corner_vertices] @ rotation.T + shift
        return np.asarray(np.linalg.norm(lies - wanted, axis=1))

    def laid_error(self) -> float:
        """How far, in m, the corners of the next fold are from where they lie before it."""
        fold, ideal = self.GARMENT.folds[self.stage], self.GARMENT.stages[self.stage]
        corners = [self.GARMENT.nearest(self.stage, grip) for grip in fold.grips]
        rotation, shift = self.fitted(self.stage)
        lies = self.cloth.vertices(self.data)[corners, :2]
        return float(np.linalg.norm(lies - ideal[corners] @ rotation.T - shift, axis=1).max())

    def area_ratio(self, stage: int) -> float:
        """What the garment covers, relative to an ideal garment after so many folds."""
        ideal = self.cloth.area(self.GARMENT.stages[stage])
        return self.cloth.area(self.cloth.vertices(self.data)) / ideal

    def tip_point(self, arm: int) -> Array:
        """Place (3,) between an arm's finger tips, table frame."""
        tip = self.arms[arm].tip(self.data)
        return np.asarray(tip[:3, 3] + self.arm_model.tip_reach * tip[:3, 0])

    def holds(self, arm: int) -> bool:
        """Whether an arm has hold of the garment."""
        return bool(self.cloth.held(self.data)[arm].any())

    def pushable(self) -> NDArray[np.int_]:
        """The garment."""
        names = [f'cloth_{i}' for i in range(len(self.GARMENT.places))]
        return np.array([self.model.body(name).id for name in names])

    def success(self) -> bool:
        """Whether the garment is folded and lies still, let go, with both grippers withdrawn."""
        last = len(self.GARMENT.folds)
        if self.stage < last or any(self._closed) or self.cloth.speed(self.data) > STILL:
            return False
        vertices = self.cloth.vertices(self.data)
        for arm in range(len(self.arms)):
            if np.linalg.norm(vertices - self.tip_point(arm), axis=1).min() < WITHDRAWN:
                return False
        neat = bool(self.corner_errors(last).max() < CORNER_LIMIT)
        return neat and self.area_ratio(last) < AREA_LIMIT

    def failure_kind(self) -> str:
        """Why the episode has not succeeded, from what happened; empty after a success.

        The first error of the last attempt at a fold: missed_grasp, dropped, misfold, crumpled;
        or else timeout.
        """
        if self._succeeded and self.success():
            return ''
        kinds = {'grasp_missed': 'missed_grasp', 'cloth_dropped': 'dropped'}
        if self._attempt:
            return kinds.get(self._attempt[0], self._attempt[0])
        return 'misfold' if self.stage == len(self.GARMENT.folds) else 'timeout'

    # -- events ----------------------------------------------------------------------------

    def before_steps(self, fingers: Array) -> None:
        """The air slows the cloth."""
        self.cloth.drag(self.data)

    def watch(self, fingers: Array) -> None:
        """Hold what is pinched, let go of what is not, and judge what has come down."""
        low, high = self.arm_model.finger_range
        for arm, mounted in enumerate(self.arms):
            opening = (mounted.joints(self.data)[-1] - low) / (high - low)
            if opening < GRIPS and not self._closed[arm]:
                self._grip(arm)
            elif opening > LETS_GO and self._closed[arm]:
                self._let_go(arm)
        if self.time >= self._due:
            self._due = np.inf
            self._judge()
        if not self._succeeded and self.success():
            self._succeeded = True
            self.event('success')

    def _grip(self, arm: int) -> None:
        if not any(self._closed):
            self._attempt = []
            self._before = self.cloth.vertices(self.data)
        self._closed[arm] = True
        self._due = np.inf
        found = self.cloth.within(self.data, self.tip_point(arm))
        if not found.size:
            self._error('grasp_missed', ARM_SIDES[arm])
            return
        self.cloth.pinch(self.data, arm, found)
        self.event('grasped', ARM_SIDES[arm])

    def _let_go(self, arm: int) -> None:
        held = self.cloth.held(self.data)[arm]
        self.cloth.release(self.data, arm)
        self._closed[arm] = False
        if held.any() and self._is_dropped(held):
            self._error('cloth_dropped', ARM_SIDES[arm])
        if not any(self._closed):
            self._due = self.time + FALL_S

    def _is_dropped(self, held: Array) -> bool:
        vertices = self.cloth.vertices(self.data)[held]
        if vertices[:, 2].min() - RADIUS > DROP_HEIGHT:
            return True
        moved = np.linalg.norm(vertices - self._before[held], axis=1).max()
        if self.stage == len(self.GARMENT.folds) or moved < TUGGED:
            return False
        fold, flat = self.GARMENT.folds[self.stage], self.GARMENT.stages[self.stage][held]
        rotation, shift = self.fitted(self.stage)
        places = (vertices[:, :2] - shift) @ rotation
        laid_back = np.linalg.norm(places - flat, axis=1).max() < CORNER_LIMIT
        return not laid_back and bool(fold.moves(places.mean(axis=0)[None])[0])

    def _judge(self) -> None:
        moved = np.linalg.norm(self.cloth.vertices(self.data) - self._before, axis=1).max()
        if moved < TUGGED or self.stage == len(self.GARMENT.folds):
            return
        stage = self.stage + 1
        if self.corner_errors(stage).max() < CORNER_LIMIT:
            self.stage, self._attempt = stage, []
            self.event('fold_done', self.GARMENT.folds[stage - 1].name)
            return
        laid_back = self.laid_error() < CORNER_LIMIT
        if not laid_back and 'cloth_dropped' not in self._attempt:
            heap = self.area_ratio(stage) < CRUMPLED
            self._error('crumpled' if heap else 'misfold', self.GARMENT.folds[stage - 1].name)

    def _error(self, name: str, kind: str) -> None:
        self._attempt.append(name)
        self.event(name, kind)
