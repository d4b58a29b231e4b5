# SPDX-License-Identifier: Apache-2.0
"""Paper-towel organisation: rolls are put over the upright peg of a holder (ViVa's third task).

The paper's robot has two arms and shelves; here one arm threads one roll after the other on a
peg. Grasping is contact and friction only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vvf_sim.errors import UserError
from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds.paper_towel_scene import (
    HOLE,
    PEG_TIP_RADIUS,
    TowelLayout,
    furnish_towels,
    sample_towels,
)
from vvf_sim.worlds.world import World
from vvf_sim.worlds.world_config import WorldConfig

LIFT_HEIGHT = 0.015
# A roll let go from higher than this fell; from lower it was set down.
DROP_HEIGHT = 0.045
# Time without contact before a roll counts as let go: contacts flicker.
LOST_S = 0.06
# Cosine of the tilt up to which a roll stands, and beyond which it has fallen over.
STANDS = 0.95
FALLEN = 0.5
# The tip is away from a roll when its middle is farther than this, m.
AWAY = 0.05
# A roll rests when it has moved more slowly than this, untouched, for a while: m/s and s.
STILL = 0.05
REST_S = 0.1


@dataclass(frozen=True)
class PaperTowelConfig(WorldConfig):
    """What may vary between seeds.

    Attributes:
        n_rolls: how many rolls there are, 1 or 2.
        lying: whether they lie on their sides; they stand otherwise.
    """

    n_rolls: int = 2
    lying: bool = False

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            UserError: a name or number is not one that the world knows.
        """
        super().__post_init__()
        if self.n_rolls not in (1, 2):
            raise UserError(f'n_rolls is {self.n_rolls}: use 1 or 2.')


class PaperTowelWorld(World[PaperTowelConfig]):
    """Arm, table, holder and rolls; `reset` must be called before anything else.

    Events, whose kind is the roll's name (`roll_0`, `roll_1`): grasped, lifted, on_peg (rests
    around the peg, let go), slipped (let go before it was lifted), dropped (let go while high,
    not over the peg), misplaced (let go lower, beside the peg), toppled (a roll that stood has
    fallen over); closed_empty, success.

    Args:
        config: what may vary; see `PaperTowelConfig`.
    """

    MILESTONES: ClassVar[tuple[str, ...]] = ('grasped', 'lifted', 'on_peg', 'success')
    ERRORS: ClassVar[tuple[str, ...]] = (
        'closed_empty',
        'slipped',
        'dropped',
        'misplaced',
        'toppled',
    )

    def __init__(self, config: PaperTowelConfig | None = None) -> None:
        super().__init__(config or PaperTowelConfig())
        self.layout: TowelLayout
        self.held = -1

    @property
    def instruction(self) -> str:
        """What a person would ask for."""
        rolls = 'rolls' if self.config.n_rolls > 1 else 'roll'
        return f'put the paper towel {rolls} on the holder'

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the layout."""
        config = self.config
        self.layout = sample_towels(
            config.setting, rng, config.n_rolls, config.lying, config.axes, self.seed
        )

    def furnish(self, spec: 'mujoco.MjSpec') -> None:
        """Add table, holder, rolls and cameras."""
        furnish_towels(spec, self.layout, self.arm_model)

    def starts(self) -> Sequence[tuple[Array, float]]:
        """Over the table, as the layout says."""
        return [(self.layout.start_xyz, self.layout.start_yaw)]

    def index(self) -> None:
        """Look up the rolls."""
        model = self.model
        count = len(self.layout.rolls)
        self._bodies = [int(model.body(f'roll_{i}').id) for i in range(count)]
        self._roll_of_geom = np.full(model.ngeom, -1)
        for index, body in enumerate(self._bodies):
            self._roll_of_geom[model.geom_bodyid == body] = index

    def clear(self) -> None:
        """Forget what was held and where."""
        count = len(self.layout.rolls)
        self.held = -1
        self._lifted = False
        self._touch_time = 0.0
        self._height = 0.0
        self._empty = False
        self._stirred = np.full(count, self.time)
        self._threaded = [False] * count
        self._stood = [not roll.lying for roll in self.layout.rolls]
        self._succeeded = False

    def roll_pose(self, index: int) -> tuple[Array, Array]:
        """Middle (3,) of a roll in m and its rotation (3, 3); its axis is z."""
        body = self._bodies[index]
        return self.data.xpos[body].copy(), self.data.xmat[body].reshape(3, 3).copy()

    def pushable(self) -> NDArray[np.int_]:
        """The first roll that is neither held nor around the peg."""
        free = [
            body
            for index, body in enumerate(self._bodies)
            if index != self.held and not self.around_peg(index)
        ]
        return np.array(free[:1], int)

    def around_peg(self, index: int) -> bool:
        """Whether the peg is in a roll's hole, whoever holds the roll."""
        position, rotation = self.roll_pose(index)
        roll, peg = self.layout.rolls[index], self.layout.peg_xy
        aside = np.hypot(*(position[:2] - peg)) < HOLE - PEG_TIP_RADIUS + 0.004
        low = position[2] - roll.height / 2 < self.layout.peg_top - 0.01
        return bool(aside and low and abs(rotation[2, 2]) > 0.8)

    def on_peg(self, index: int) -> bool:
        """Whether a roll rests around the peg and is let go."""
        _, rotation = self.roll_pose(index)
        if not self.around_peg(index) or abs(rotation[2, 2]) < STANDS or self.held == index:
            return False
        return bool(self.time - self._stirred[index] > REST_S)

    def success(self) -> bool:
        """Whether all rolls rest around the peg, and the gripper is away from them."""
        tip = self.arms[0].tip(self.data)[:3, 3]
        distances = np.linalg.norm(self.data.xpos[self._bodies] - tip, axis=1)
        done = all(self.on_peg(index) for index in range(len(self._bodies)))
        return bool(done and distances.min() > AWAY)

    def failure_kind(self) -> str:
        """Why the episode has not succeeded, from what happened; empty after a success.

        One of toppled, dropped, misplaced, missed_grasp, timeout; the first that happened to a
        roll which is not on the peg.
        """
        if self._succeeded and self.success():
            return ''
        missing = [f'roll_{i}' for i in range(len(self._bodies)) if not self.around_peg(i)]
        for event in self.events:
            if event.kind in missing and event.name in ('toppled', 'dropped', 'misplaced'):
                return event.name
        if any(event.name in ('closed_empty', 'slipped') for event in self.events):
            return 'missed_grasp'
        return 'timeout'

    def watch(self, fingers: Array) -> None:
        """Follow what is between the fingers, what falls over, and what is on the peg."""
        closing = fingers[0] < sum(self.arms[0].arm.finger_range) / 2
        touched = self._touched()
        speeds = np.linalg.norm(self.data.cvel[self._bodies, 3:], axis=1)
        self._stirred[touched.any(axis=1) | (speeds > STILL)] = self.time
        squeezed = np.flatnonzero(touched.all(axis=1))
        if self.held < 0 and closing and squeezed.size:
            self.held, self._lifted = int(squeezed[0]), False
            self._touch_time = self.time
            self._note('grasped', self.held)
        elif self.held >= 0:
            self._follow(self.held in squeezed)
        if closing and self.arms[0].shut(self.data) and self.held < 0 and not self._empty:
            self.event('closed_empty', '', False)
            self._empty = True
        if not closing:
            self._empty = False
        for index in range(len(self._bodies)):
            self._watch_roll(index)
        if not self._succeeded and self.success():
            self._succeeded = True
            self.event('success')

    def _touched(self) -> Array:
        return self.arms[0].touched(self.data, self._roll_of_geom, len(self._bodies))

    def _note(self, name: str, index: int) -> None:
        self.event(name, f'roll_{index}')

    def _follow(self, squeezed: bool) -> None:
        index = self.held
        if squeezed:
            self._touch_time = self.time
            self._height = self._rise(index)
            if not self._lifted and self._height > LIFT_HEIGHT:
                self._lifted = True
                self._note('lifted', index)
            return
        if self.time - self._touch_time < LOST_S:
            return
        self.held = -1
        if not self._lifted:
            self._note('slipped', index)
        elif not self.around_peg(index):
            self._note('dropped' if self._height > DROP_HEIGHT else 'misplaced', index)

    def _rise(self, index: int) -> float:
        """Height in m of a roll's lowest point above the table."""
        position, rotation = self.roll_pose(index)
        roll = self.layout.rolls[index]
        upright = abs(rotation[2, 2])
        reach = roll.height / 2 * upright + roll.radius * np.sqrt(max(0.0, 1.0 - upright**2))
        return float(position[2] - reach)

    def _watch_roll(self, index: int) -> None:
        upright = abs(self.roll_pose(index)[1][2, 2])
        free = self.held != index
        if self._stood[index] and free and upright < FALLEN:
            self._stood[index] = False
            self._note('toppled', index)
        elif not self._stood[index] and free and upright > STANDS:
            self._stood[index] = True
        if not self._threaded[index] and self.on_peg(index):
            self._threaded[index] = True
            self._note('on_peg', index)
        elif not self.around_peg(index):
            self._threaded[index] = False
