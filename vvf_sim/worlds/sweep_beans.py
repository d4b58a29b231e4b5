# SPDX-License-Identifier: Apache-2.0
"""Sweeping beans with a tool, one of the V-PTR paper's two complex tasks.

The paper's robot takes a tool by its handle and sweeps beans into a pile; here it is a brush, and
they are swept into a dustpan, which says without doubt how many have arrived.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vvf_sim.errors import UserError
from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds.spec import quat_to_mat, quaternion_z
from vvf_sim.worlds.sweep_beans_scene import (
    BRUSH_EARS,
    MAT,
    MAT_X,
    PAN_DEPTH,
    PAN_HALF_WIDTH,
    PAN_WALL,
    SweepLayout,
    furnish_sweep,
    sample_sweep,
)
from vvf_sim.worlds.world import World
from vvf_sim.worlds.world_config import WorldConfig

# The brush was raised when it was this much higher than the bristles' table, m.
RAISED = 0.008
# Time without contact before the brush counts as let go: contacts flicker.
LOST_S = 0.06
# Bristles higher than this over the dustpan are out of it, m.
CLEAR = 0.015
# A bean this far off the mat, and not in the dustpan, is lost, m.
OFF = 0.015
# A bean rests when it has not moved faster than this for a while: m/s and s.
STILL = 0.04
REST_S = 0.1


@dataclass(frozen=True)
class SweepBeansConfig(WorldConfig):
    """What may vary between seeds.

    Attributes:
        n_beans: least and largest number of beans, 1 to 30.
        share: part of the beans that has to be in the dustpan, in (0, 1].
    """

    n_beans: tuple[int, int] = (12, 16)
    share: float = 0.8

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            UserError: a name or number is not one that the world knows.
        """
        super().__post_init__()
        if len(self.n_beans) != 2 or not 1 <= self.n_beans[0] <= self.n_beans[1] <= 30:
            raise UserError(f'n_beans is {self.n_beans}: use two numbers of 1 to 30, low first.')
        if not 0.0 < self.share <= 1.0:
            raise UserError(f'share is {self.share}: use more than 0 and at most 1.')


class SweepBeansWorld(World[SweepBeansConfig]):
    """Arm, table, mat, beans, brush and dustpan; `reset` must be called before anything else.

    Events: tool_grasped, half_swept (half of the beans were in the dustpan for the first time),
    success; closed_empty, tool_dropped (the brush was raised, and is let go), beans_lost (a bean,
    named by the kind, has left the mat and is not in the dustpan).

    Args:
        config: what may vary; see `SweepBeansConfig`.
    """

    MILESTONES: ClassVar[tuple[str, ...]] = ('tool_grasped', 'half_swept', 'success')
    ERRORS: ClassVar[tuple[str, ...]] = ('closed_empty', 'tool_dropped', 'beans_lost')

    def __init__(self, config: SweepBeansConfig | None = None) -> None:
        super().__init__(config or SweepBeansConfig())
        self.layout: SweepLayout
        self.held = False

    @property
    def instruction(self) -> str:
        """What a person would ask for."""
        return 'sweep the beans into the dustpan'

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the layout."""
        config = self.config
        self.layout = sample_sweep(config.setting, rng, config.n_beans, config.axes, self.seed)

    def furnish(self, spec: 'mujoco.MjSpec') -> None:
        """Add table, mat, dustpan, brush, beans and cameras."""
        furnish_sweep(spec, self.layout, self.arm_model)

    def starts(self) -> Sequence[tuple[Array, float]]:
        """Over the table, as the layout says."""
        return [(self.layout.start_xyz, self.layout.start_yaw)]

    def facts(self) -> dict[str, str]:
        """How many beans there are, and how many are enough."""
        return {'beans': str(len(self.layout.beans)), 'enough': str(self.enough)}

    def index(self) -> None:
        """Look up brush and beans."""
        model = self.model
        self._brush = int(model.body('brush').id)
        names = [f'bean_{i}' for i in range(len(self.layout.beans))]
        self._beans = np.array([int(model.body(name).id) for name in names])
        self._group = np.where(model.geom_bodyid == self._brush, 0, -1)
        self._to_pan = quat_to_mat(np.array(quaternion_z(self.layout.pan_yaw)))[:2, :2].T

    def clear(self) -> None:
        """Forget what was held and what was lost."""
        self.held = False
        self._raised = False
        self._touch_time = 0.0
        self._empty = False
        self._stirred = np.full(len(self._beans), self.time)
        self._lost = np.zeros(len(self._beans), bool)
        self._half = False
        self._succeeded = False

    @property
    def enough(self) -> int:
        """How many beans have to be in the dustpan."""
        return int(np.ceil(self.config.share * len(self.layout.beans) - 1e-9))

    def brush_pose(self) -> tuple[Array, Array]:
        """Place (3,) in m of the middle under the bristles, and rotation (3, 3)."""
        rotation = self.data.xmat[self._brush].reshape(3, 3)
        return self.data.xpos[self._brush].copy(), rotation.copy()

    def bean_places(self) -> Array:
        """Places (N, 3) of the beans in m."""
        return np.asarray(self.data.xpos[self._beans].copy())

    def to_pan(self, places: Array) -> Array:
        """Places (..., 2) in the dustpan's frame: how far behind its mouth, how far aside, m."""
        return np.asarray((places - self.layout.pan_xy) @ self._to_pan.T)

    def in_pan(self) -> NDArray[np.bool_]:
        """Which beans (N,) are in the dustpan."""
        places = self.bean_places()
        deep, aside = self.to_pan(places[:, :2]).T
        inside = (deep > 0.0) & (deep < PAN_DEPTH) & (np.abs(aside) < PAN_HALF_WIDTH)
        return np.asarray(inside & (places[:, 2] < PAN_WALL))

    def lost(self) -> NDArray[np.bool_]:
        """Which beans (N,) have left the mat."""
        return self._lost.copy()

    def success(self) -> bool:
        """Whether enough beans lie still in the dustpan, and the brush is out of it."""
        resting = self.in_pan() & (self.time - self._stirred > REST_S)
        return bool(self._brush_away() and resting.sum() >= self.enough)

    def _brush_away(self) -> bool:
        place, _ = self.brush_pose()
        deep = float(self.to_pan(place[:2])[0])
        return bool(place[2] > CLEAR or not -BRUSH_EARS < deep < PAN_DEPTH + BRUSH_EARS)

    def failure_kind(self) -> str:
        """Why the episode has not succeeded, from what happened; empty after a success.

        One of beans_lost, tool_dropped, missed_grasp, timeout.
        """
        if self._succeeded and self.success():
            return ''
        if len(self._beans) - self._lost.sum() < self.enough:
            return 'beans_lost'
        names = [event.name for event in self.events]
        if 'tool_dropped' in names and not self.held:
            return 'tool_dropped'
        return 'missed_grasp' if 'closed_empty' in names and not self.held else 'timeout'

    def watch(self, fingers: Array) -> None:
        """Follow the brush and the beans."""
        closing = bool(fingers[0] < sum(self.arms[0].arm.finger_range) / 2)
        squeezed = bool(self.arms[0].touched(self.data, self._group, 1)[0].all())
        if not self.held and closing and squeezed:
            self.held, self._raised, self._touch_time = True, False, self.time
            self.event('tool_grasped')
        elif self.held:
            self._follow(squeezed)
        if closing and self.arms[0].shut(self.data) and not self.held and not self._empty:
            self.event('closed_empty', '', False)
            self._empty = True
        if not closing:
            self._empty = False
        self._watch_beans()
        if not self._succeeded and self.success():
            self._succeeded = True
            self.event('success')

    def _follow(self, squeezed: bool) -> None:
        if squeezed:
            self._touch_time = self.time
            self._raised = self._raised or bool(self.brush_pose()[0][2] > RAISED)
        elif self.time - self._touch_time > LOST_S:
            self.held = False
            if self._raised:
                self.event('tool_dropped')

    def _watch_beans(self) -> None:
        inside = self.in_pan()
        speeds = np.linalg.norm(self.data.cvel[self._beans, 3:], axis=1)
        self._stirred[speeds > STILL] = self.time
        places = self.bean_places()
        beyond = np.abs(places[:, :2] - [MAT_X, 0.0]) > np.add(MAT, OFF)
        lost = beyond.any(axis=1) & ~self._in_reach_of_pan(places)
        for index in np.flatnonzero(lost & ~self._lost):
            self._lost[index] = True
            self.event('beans_lost', f'bean_{index}', False)
        if not self._half and 2 * inside.sum() >= len(inside):
            self._half = True
            self.event('half_swept')

    def _in_reach_of_pan(self, places: Array) -> NDArray[np.bool_]:
        """Which beans (N,) are in the dustpan or just before its mouth."""
        deep, aside = self.to_pan(places[:, :2]).T
        near = (deep > -0.03) & (deep < PAN_DEPTH) & (np.abs(aside) < PAN_HALF_WIDTH)
        return np.asarray(near)
