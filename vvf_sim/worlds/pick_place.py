# SPDX-License-Identifier: Apache-2.0
"""Pick-and-place with a WidowX: the world of the V-PTR paper's simulation (appendix B.3).

The world is stepped in small ticks with joint targets, by the Gymnasium environment or by a
real-time loop. Grasping is contact and friction only.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds import pick_place_scene
from vvf_sim.worlds.layout import Layout, PickPlaceConfig, add_axes, sample_layout
from vvf_sim.worlds.objects import CONTAINERS, OBJECTS
from vvf_sim.worlds.world import Event, World

LIFT_HEIGHT = 0.015
# An object let go from higher than this fell; from lower it was set down.
DROP_HEIGHT = 0.09
# Time without contact before an object counts as let go: contacts flicker.
LOST_S = 0.05


class PickPlaceWorld(World[PickPlaceConfig]):
    """Arm, table, container and objects; `reset` must be called before anything else.

    Events: grasped, lifted, slipped (let go before it was lifted), placed (let go in the
    container), dropped (let go while high), set_down (let go elsewhere), closed_empty, success.

    Args:
        config: what may vary; see `PickPlaceConfig`.
    """

    MILESTONES: ClassVar[tuple[str, ...]] = ('grasped', 'lifted', 'placed', 'success')
    ERRORS: ClassVar[tuple[str, ...]] = ('closed_empty', 'slipped', 'dropped', 'set_down')

    def __init__(self, config: PickPlaceConfig | None = None) -> None:
        super().__init__(config or PickPlaceConfig())
        self.layout: Layout
        self._held = -1
        self._succeeded = False

    @property
    def instruction(self) -> str:
        """What a person would ask for."""
        return f'put the {self.target} in the {self.layout.container}'

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the layout."""
        self.layout = add_axes(sample_layout(self.config, rng), self.config, self.seed)

    def furnish(self, spec: 'mujoco.MjSpec') -> None:
        """Add table, container, objects and cameras."""
        pick_place_scene.furnish(spec, self.layout, self.arm_model)

    def facts(self) -> dict[str, str]:
        """What to pick, and where to place it."""
        return {'target': self.target, 'container': self.layout.container}

    def starts(self) -> Sequence[tuple[Array, float]]:
        """Over the table, as the layout says."""
        return [(self.layout.start_xyz, self.layout.start_yaw)]

    @property
    def target(self) -> str:
        """Kind of the object to pick."""
        return self.layout.objects[0].kind

    def pushable(self) -> NDArray[np.int_]:
        """The target, while it lies on the table."""
        free = self._held != 0 and not self.in_container(0)
        return np.array(self._bodies[:1] if free else [], int)

    @property
    def held(self) -> int:
        """Index of the object between the fingers, 0 for the target, -1 for none."""
        return self._held

    def object_pose(self, index: int) -> tuple[Array, Array]:
        """Position (3,) in m and rotation (3, 3) of an object; 0 is the target."""
        body = self._bodies[index]
        return self.data.xpos[body].copy(), self.data.xmat[body].reshape(3, 3).copy()

    def in_container(self, index: int) -> bool:
        """Whether an object's middle is inside the container's rim and below its edge."""
        kind = CONTAINERS[self.layout.container]
        position = self.data.xpos[self._bodies[index]]
        offset = position[:2] - self.layout.container_xy
        reach = np.abs(offset).max() if kind.sides == 4 else np.hypot(*offset)
        resting = OBJECTS[self.layout.objects[index].kind].rest_height
        return bool(reach < kind.rim_radius - 0.004 and position[2] < kind.height + resting + 0.01)

    def success(self) -> bool:
        """Whether the target lies still in the container, let go by the gripper."""
        if not self.in_container(0) or self._held == 0 or self._touched()[0].any():
            return False
        speed = np.linalg.norm(self.data.cvel[self._bodies[0], 3:])
        tip = self.arms[0].tip(self.data)[:3, 3]
        away = np.linalg.norm(tip - self.data.xpos[self._bodies[0]]) > 0.045
        return bool(speed < 0.1 and away)

    def failure_kind(self) -> str:
        """Why the episode has not succeeded, from what happened; empty after a success.

        One of wrong_object, dropped, misplaced, missed_grasp, timeout.
        """
        if self._succeeded and self.success():
            return ''
        if any(e.name == 'lifted' and not e.target for e in self.events):
            return 'wrong_object'
        mine = [e.name for e in self.events if e.target]
        if 'lifted' in mine:
            ends = [name for name in mine if name in ('dropped', 'set_down', 'placed')]
            if self._held == 0 or not ends:
                return 'timeout'
            return 'dropped' if ends[-1] == 'dropped' else 'misplaced'
        missed = any(e.name in ('closed_empty', 'slipped', 'grasped') for e in self.events)
        return 'missed_grasp' if missed else 'timeout'

    def event_kind(self, event: Event) -> str:
        """As of the base; what happens to any other object than the target counts otherwise.

        Taking the wrong object, or bringing it somewhere, is an error, and letting go of it
        neither error nor milestone.
        """
        if event.target or event.name in ('success', 'closed_empty'):
            return super().event_kind(event)
        return 'error' if event.name in self.MILESTONES else ''

    def index(self) -> None:
        """Look up the objects."""
        model = self.model
        count = len(self.layout.objects)
        self._bodies = [int(model.body(f'object_{i}').id) for i in range(count)]
        self._object_of_geom = np.full(model.ngeom, -1)
        for index, body in enumerate(self._bodies):
            self._object_of_geom[model.geom_bodyid == body] = index

    def _touched(self) -> Array:
        return self.arms[0].touched(self.data, self._object_of_geom, len(self._bodies))

    def clear(self) -> None:
        """Forget what was held."""
        self._held = -1
        self._lifted = False
        self._touch_time = 0.0
        self._height = 0.0
        self._empty = False
        self._succeeded = False

    def _note(self, name: str, index: int) -> None:
        self.event(name, self.layout.objects[index].kind if index >= 0 else '', index == 0)

    def watch(self, fingers: Array) -> None:
        """Follow what is between the fingers."""
        closing = fingers[0] < sum(self.arms[0].arm.finger_range) / 2
        squeezed = np.flatnonzero(self._touched().all(axis=1))
        if self._held < 0 and squeezed.size:
            self._held, self._lifted = int(squeezed[0]), False
            self._touch_time = self.time
            self._note('grasped', self._held)
        elif self._held >= 0:
            self._follow(self._held in squeezed)
        if closing and self.arms[0].shut(self.data) and self._held < 0 and not self._empty:
            self._note('closed_empty', -1)
            self._empty = True
        if not closing:
            self._empty = False
        if not self._succeeded and self.success():
            self._succeeded = True
            self._note('success', 0)

    def _follow(self, squeezed: bool) -> None:
        index = self._held
        if squeezed:
            self._touch_time = self.time
            rest = OBJECTS[self.layout.objects[index].kind].rest_height
            self._height = float(self.data.xpos[self._bodies[index], 2]) - rest
            if not self._lifted and self._height > LIFT_HEIGHT:
                self._lifted = True
                self._note('lifted', index)
            return
        if self.time - self._touch_time < LOST_S:
            return
        offset = self.data.xpos[self._bodies[index], :2] - self.layout.container_xy
        inside = np.hypot(*offset) < CONTAINERS[self.layout.container].rim_radius
        if not self._lifted:
            self._note('slipped', index)
        elif inside:
            self._note('placed', index)
        else:
            self._note('dropped' if self._height > DROP_HEIGHT else 'set_down', index)
        self._held = -1
