# SPDX-License-Identifier: Apache-2.0
"""Pick-and-place with a WidowX: the world of the V-PTR paper's simulation (appendix B.3).

The world is stepped in small ticks with joint targets, by the Gymnasium environment or by a
real-time loop. Grasping is contact and friction only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vvf_sim.cameras import Renderer, make_renderer
from vvf_sim.mj import mujoco
from vvf_sim.robots.kinematics import Kinematics, pose_to_vector
from vvf_sim.robots.widowx import (
    FINGER_RANGE,
    JOINT_LOWER,
    JOINT_NAMES,
    JOINT_UPPER,
    drive_from_finger,
)
from vvf_sim.rotations import Array
from vvf_sim.worlds.layout import Layout, PickPlaceConfig, sample_layout
from vvf_sim.worlds.objects import CONTAINERS, OBJECTS
from vvf_sim.worlds.scene import CAMERAS, build_model

# Physics steps of 4 ms in one tick of 20 ms, at which joint targets are refreshed.
TICK_SUBSTEPS = 5
TICK_S = 0.02

LIFT_HEIGHT = 0.015
# An object let go from higher than this fell; from lower it was set down.
DROP_HEIGHT = 0.09
# Time without contact before an object counts as let go: contacts flicker.
LOST_S = 0.05
_START_GUESS = np.array([0.0, -0.6, 0.7, 0.0, 1.4, 0.0])


@dataclass(frozen=True)
class Event:
    """Something that happened to an object.

    Attributes:
        name: grasped, lifted, slipped (let go before it was lifted), placed (let go in the
            container), dropped (let go while high), set_down (let go elsewhere), closed_empty
            or success.
        kind: the object's kind; empty for closed_empty.
        time: seconds since the reset.
        target: whether it is the object to pick.
    """

    name: str
    kind: str
    time: float
    target: bool


def gripper_down(yaw: float) -> Array:
    """Rotation (3, 3) of a gripper that points down; the fingers close along (-sin, cos) yaw."""
    approach = np.array([0.0, 0.0, -1.0])
    closing = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    return np.stack([approach, closing, np.cross(approach, closing)], axis=1)


class PickPlaceWorld:
    """Arm, table, container and objects; `reset` must be called before anything else.

    Images must be asked for in one and the same thread, as OpenGL contexts belong to threads.

    Args:
        config: what may vary; see `PickPlaceConfig`.
    """

    def __init__(self, config: PickPlaceConfig | None = None) -> None:
        self.config = config or PickPlaceConfig()
        self.kinematics = Kinematics()
        self.layout: Layout
        self.model: mujoco.MjModel
        self.data: mujoco.MjData
        self.events: list[Event] = []
        self.start_joints = np.zeros(7)
        self.seed = 0
        self._renderer: Renderer | None = None
        self._held = -1
        self._succeeded = False

    def reset(self, seed: int) -> None:
        """Build the scene of a seed and let it settle; the arm stands over the table, open."""
        self.seed = int(seed)
        self.layout = sample_layout(self.config, np.random.default_rng(seed))
        self._close_renderer()
        self.model = build_model(self.layout)
        self.data = mujoco.MjData(self.model)
        self._index()
        start = np.eye(4)
        start[:3, :3] = gripper_down(self.layout.start_yaw)
        start[:3, 3] = self.layout.start_xyz
        found = self.kinematics.inverse(start, _START_GUESS)
        self.start_joints = np.append(found.q, FINGER_RANGE[1])
        self.data.qpos[self._joint_qpos] = self.start_joints
        self.data.qpos[self._right_finger] = -FINGER_RANGE[1]
        mujoco.mj_forward(self.model, self.data)
        self._clear_events()
        self.step_physics(self.start_joints, 50)
        self._clear_events()
        self.data.time = 0.0

    def step_physics(self, joint_targets: ArrayLike, n_substeps: int = TICK_SUBSTEPS) -> None:
        """Advance by steps of 4 ms with joint targets held.

        Args:
            joint_targets: (7,) six angles in rad and the left finger in m; clipped to limits.
            n_substeps: how many; call with about 5, as events are looked for once per call.

        Raises:
            ValueError: the targets are not seven finite numbers.
        """
        targets = np.asarray(joint_targets, np.float64)
        if targets.shape != (7,) or not np.isfinite(targets).all():
            raise ValueError(f'expected 7 finite joint targets, got {targets!r}')
        self.data.ctrl[:6] = np.clip(targets[:6], JOINT_LOWER, JOINT_UPPER)
        finger = float(np.clip(targets[6], *FINGER_RANGE))
        self.data.ctrl[6] = drive_from_finger(finger)
        mujoco.mj_step(self.model, self.data, nstep=n_substeps)
        self._watch(finger)

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""
        return float(self.data.time)

    @property
    def target(self) -> str:
        """Kind of the object to pick."""
        return self.layout.objects[0].kind

    @property
    def held(self) -> int:
        """Index of the object between the fingers, 0 for the target, -1 for none."""
        return self._held

    def joints(self) -> Array:
        """Measured joints (7,): six angles in rad, left finger in m."""
        return np.asarray(self.data.qpos[self._joint_qpos].copy())

    def joint_velocities(self) -> Array:
        """Measured velocities (7,): rad/s, and m/s of the left finger."""
        return np.asarray(self.data.qvel[self._joint_dof].copy())

    def state(self) -> NDArray[np.float32]:
        """Proprioception (16,): joints (7,), tip position (3,), two columns of its rotation."""
        joints = self.joints()
        tip = pose_to_vector(self.kinematics.forward(joints[:6]))
        return np.concatenate([joints, tip]).astype(np.float32)

    def images(self) -> dict[str, NDArray[np.uint8]]:
        """RGB images (H, W, 3) of the cameras `shoulder` and `wrist`."""
        renderer = self._get_renderer()
        return {camera: renderer.render(self.data, camera) for camera in CAMERAS}

    @property
    def renderer(self) -> str:
        """What makes the images: egl, osmesa or ray."""
        return self._get_renderer().backend

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
        tip = self.kinematics.forward(self.joints()[:6])[:3, 3]
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

    def close(self) -> None:
        """Free the renderer; the world can be reset and used again."""
        self._close_renderer()

    def _get_renderer(self) -> Renderer:
        if self._renderer is None:
            size = self.config.image_size
            self._renderer = make_renderer(self.model, size, size, self.config.renderer)
        return self._renderer

    def _close_renderer(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _index(self) -> None:
        model = self.model
        joints = [model.joint(name) for name in (*JOINT_NAMES, 'left_finger')]
        self._joint_qpos = np.array([joint.qposadr[0] for joint in joints])
        self._joint_dof = np.array([joint.dofadr[0] for joint in joints])
        self._right_finger = int(model.joint('right_finger').qposadr[0])
        count = len(self.layout.objects)
        self._bodies = [int(model.body(f'object_{i}').id) for i in range(count)]
        self._pads = [int(model.geom(name).id) for name in ('left_pad', 'right_pad')]
        self._object_of_geom = np.full(model.ngeom, -1)
        for index, body in enumerate(self._bodies):
            self._object_of_geom[model.geom_bodyid == body] = index

    def _touched(self) -> NDArray[np.bool_]:
        """Which object (n, 2) touches the left and the right pad."""
        touched = np.zeros((len(self._bodies), 2), bool)
        pairs = self.data.contact.geom
        for side, pad in enumerate(self._pads):
            others = np.concatenate([pairs[pairs[:, 0] == pad, 1], pairs[pairs[:, 1] == pad, 0]])
            objects = self._object_of_geom[others]
            touched[objects[objects >= 0], side] = True
        return touched

    def _clear_events(self) -> None:
        self.events = []
        self._held = -1
        self._lifted = False
        self._touch_time = 0.0
        self._height = 0.0
        self._empty = False
        self._succeeded = False

    def _event(self, name: str, index: int) -> None:
        kind = self.layout.objects[index].kind if index >= 0 else ''
        self.events.append(Event(name, kind, self.time, index == 0))

    def _watch(self, finger_command: float) -> None:
        squeezed = np.flatnonzero(self._touched().all(axis=1))
        if self._held < 0 and squeezed.size:
            self._held, self._lifted = int(squeezed[0]), False
            self._touch_time = self.time
            self._event('grasped', self._held)
        elif self._held >= 0:
            self._follow(self._held in squeezed)
        closing = finger_command < sum(FINGER_RANGE) / 2
        shut = self.data.qpos[self._joint_qpos[6]] < FINGER_RANGE[0] + 0.001
        if closing and shut and self._held < 0 and not self._empty:
            self._event('closed_empty', -1)
            self._empty = True
        if not closing:
            self._empty = False
        if not self._succeeded and self.success():
            self._succeeded = True
            self._event('success', 0)

    def _follow(self, squeezed: bool) -> None:
        index = self._held
        if squeezed:
            self._touch_time = self.time
            rest = OBJECTS[self.layout.objects[index].kind].rest_height
            self._height = float(self.data.xpos[self._bodies[index], 2]) - rest
            if not self._lifted and self._height > LIFT_HEIGHT:
                self._lifted = True
                self._event('lifted', index)
            return
        if self.time - self._touch_time < LOST_S:
            return
        offset = self.data.xpos[self._bodies[index], :2] - self.layout.container_xy
        inside = np.hypot(*offset) < CONTAINERS[self.layout.container].rim_radius
        if not self._lifted:
            self._event('slipped', index)
        elif inside:
            self._event('placed', index)
        else:
            self._event('dropped' if self._height > DROP_HEIGHT else 'set_down', index)
        self._held = -1
