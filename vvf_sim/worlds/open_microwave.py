# SPDX-License-Identifier: Apache-2.0
"""Opening a microwave in two phases, after V-PTR's real task (figure 3, tables 2 and 3).

A latch holds the door shut: it must first be pulled ajar by its handle. Then there is room for
the fingers behind the door, and it is swung open. The microwave stands free on the table.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds import open_microwave_scene
from vvf_sim.worlds.open_microwave_layout import Microwave, OpenMicrowaveConfig, draw_microwave
from vvf_sim.worlds.world import World

__all__ = ['OpenMicrowaveConfig', 'OpenMicrowaveWorld']

# Angles of the door in rad.
AJAR = 0.2
OPEN = 1.05
SHUT = 0.05
# The latch: its torque in N m on a shut door, and the angle in rad at which it lets go.
LATCH_TORQUE = 0.7
LATCH_ANGLE = 0.1
# How far the microwave may be displaced or turned by honest pulling, m and rad.
PUSHED_M = 0.025
PUSHED_RAD = 0.15
# Time without contact before the handle counts as let go: contacts flicker.
LOST_S = 0.1
_STILL = 0.6


class OpenMicrowaveWorld(World[OpenMicrowaveConfig]):
    """Arm, table and microwave.

    Events: handle_grasped, ajar, handle_slipped (let go before the door was ajar), closed_empty,
    door_shut_again (after it was ajar), microwave_pushed, success.

    Args:
        config: what may vary.
    """

    MILESTONES: ClassVar[tuple[str, ...]] = ('handle_grasped', 'ajar', 'success')
    ERRORS: ClassVar[tuple[str, ...]] = (
        'closed_empty',
        'handle_slipped',
        'door_shut_again',
        'microwave_pushed',
    )

    def __init__(self, config: OpenMicrowaveConfig | None = None) -> None:
        super().__init__(config or OpenMicrowaveConfig())
        self.microwave: Microwave

    @property
    def instruction(self) -> str:
        """What a person would ask for."""
        return 'open the microwave'

    def draw(self, rng: np.random.Generator) -> None:
        """Draw place, size and looks."""
        self.microwave = draw_microwave(self.config, rng, self.seed)

    def furnish(self, spec: 'mujoco.MjSpec') -> None:
        """Add table, microwave, other things and cameras."""
        open_microwave_scene.furnish(spec, self.microwave, self.arm_model)

    def facts(self) -> dict[str, str]:
        """Where the hinge is."""
        return {'hinge': 'left' if self.microwave.side > 0 else 'right'}

    def starts(self) -> Sequence[tuple[Array, float]]:
        """Before the microwave and above it."""
        return [(self.microwave.start_xyz, self.microwave.start_yaw)]

    def index(self) -> None:
        """Look up the joints and the handle."""
        model = self.model
        self._body = int(model.body('microwave').id)
        door = model.joint('door')
        self._door_qpos, self._door_dof = int(door.qposadr[0]), int(door.dofadr[0])
        self._handle = np.full(model.ngeom, -1)
        self._handle[model.geom('handle').id] = 0

    def clear(self) -> None:
        """Forget what was held, and take where the microwave stands now as its place."""
        self._held = False
        self._touch_time = 0.0
        self._empty = False
        self._was_ajar = False
        self._was_pushed = False
        self._succeeded = False
        self._place, self._yaw = self.microwave_pose()

    @property
    def angle(self) -> float:
        """Of the door in rad; 0 is shut."""
        return float(self.data.qpos[self._door_qpos])

    @property
    def held(self) -> bool:
        """Whether the handle is between the fingers."""
        return self._held

    def microwave_pose(self) -> tuple[Array, float]:
        """Place (3,) in m and yaw in rad of the microwave, table frame."""
        matrix = self.data.xmat[self._body].reshape(3, 3)
        yaw = float(np.arctan2(matrix[1, 0], matrix[0, 0]))
        return self.data.xpos[self._body].copy(), yaw

    def before_steps(self, fingers: Array) -> None:
        """The latch pulls an almost shut door back."""
        part = max(0.0, 1.0 - self.angle / LATCH_ANGLE)
        self.data.qfrc_applied[self._door_dof] = -LATCH_TORQUE * part

    def success(self) -> bool:
        """Whether the door is open and still, and the gripper does not hold it."""
        still = abs(self.data.qvel[self._door_dof]) < _STILL
        return bool(self.angle > OPEN and still and not self._held)

    def failure_kind(self) -> str:
        """The last error, or timeout; empty after a success."""
        if self._succeeded and self.success():
            return ''
        errors = [event.name for event in self.events if event.name in self.ERRORS]
        return errors[-1] if errors else 'timeout'

    def watch(self, fingers: Array) -> None:
        """Follow the handle, the door and the microwave."""
        closing = bool(fingers[0] < sum(self.arms[0].arm.finger_range) / 2)
        self._follow_handle()
        self._follow_door()
        if closing and self.arms[0].shut(self.data) and not self._held and not self._empty:
            self._empty = True
            self.event('closed_empty', target=False)
        if not closing:
            self._empty = False
        if not self._was_pushed and self._moved():
            self._was_pushed = True
            self.event('microwave_pushed', target=False)
        if not self._succeeded and self.success():
            self._succeeded = True
            self.event('success')

    def _moved(self) -> bool:
        place, yaw = self.microwave_pose()
        return bool(
            np.linalg.norm(place - self._place) > PUSHED_M or abs(yaw - self._yaw) > PUSHED_RAD
        )

    def _follow_handle(self) -> None:
        if self.arms[0].touched(self.data, self._handle, 1)[0].all():
            self._touch_time = self.time
            if not self._held:
                self._held = True
                self.event('handle_grasped')
        elif self._held and self.time - self._touch_time >= LOST_S:
            self._held = False
            if not self._was_ajar:
                self.event('handle_slipped')

    def _follow_door(self) -> None:
        if not self._was_ajar and self.angle > AJAR:
            self._was_ajar = True
            self.event('ajar')
        elif self._was_ajar and self.angle < SHUT:
            self._was_ajar = False
            self.event('door_shut_again')
