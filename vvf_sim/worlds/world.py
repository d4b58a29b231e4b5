# SPDX-License-Identifier: Apache-2.0
"""What every world is: arms and things on a table, stepped by joint targets, watched for events.

A world is stepped in small ticks with joint targets, by the Gymnasium environment or by a
real-time loop. A subclass says what stands on the table, what has happened, and what success is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vvf_sim.cameras import Renderer, make_renderer
from vvf_sim.errors import UserError
from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel, arm_model
from vvf_sim.robots.kinematics import pose_to_vector
from vvf_sim.rotations import Array
from vvf_sim.worlds import hands
from vvf_sim.worlds.domain import apply_axes
from vvf_sim.worlds.mount import Mount, MountedArm
from vvf_sim.worlds.spec import arms_spec
from vvf_sim.worlds.ticks import TICK_S
from vvf_sim.worlds.world_config import WorldConfig

_SETTLE_TICKS = 10

_FAULTS = {
    'mjWARN_BADQPOS': 'a position is not finite or too large',
    'mjWARN_BADQVEL': 'a velocity is not finite or too large',
    'mjWARN_BADQACC': 'an acceleration is not finite or too large',
    'mjWARN_BADCTRL': 'a command is not finite',
}


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        name: what; see the world's `MILESTONES` and `ERRORS`.
        kind: the thing it happened to; empty where there is only one.
        time: seconds since the reset.
        target: whether it is the thing that was asked for.
    """

    name: str
    kind: str
    time: float
    target: bool


C = TypeVar('C', bound=WorldConfig)


class World(ABC, Generic[C]):
    """Base of all worlds; `reset` must be called before anything else.

    Images must be asked for in one and the same thread, as OpenGL contexts belong to threads.

    A subclass fills in `draw`, `furnish`, `index`, `starts`, `watch`, `success` and
    `failure_kind`.

    Args:
        config: what may vary.

    Raises:
        UserError: a camera is not one of `CAMERAS`.

    Attributes:
        cameras: those that are drawn.
        arms: one, or two named left and right.
        events: what happened since the reset.
        blown: why the physics failed in this episode; empty while it has not. A world that has
            failed stands still in its last good state and never succeeds.
        start_joints: (N,) joints of all arms at the reset, rad and m.
        seed: of the scene.
        disturb: called in each tick before the physics; None after a reset.
    """

    CAMERAS: ClassVar[tuple[str, ...]] = ('shoulder', 'wrist')
    MILESTONES: ClassVar[tuple[str, ...]] = ()
    ERRORS: ClassVar[tuple[str, ...]] = ()
    # How far, m, a push may shove what is worked on without spoiling the task for good.
    PUSH_M: ClassVar[tuple[float, float]] = (0.03, 0.06)

    def __init__(self, config: C) -> None:
        self.config = config
        for camera in config.cameras:
            if camera not in self.CAMERAS:
                raise UserError(f'there is no camera {camera!r}: use {", ".join(self.CAMERAS)}.')
        self.cameras = config.cameras or self.CAMERAS
        self.model: mujoco.MjModel
        self.data: mujoco.MjData
        self.arms: tuple[MountedArm, ...] = ()
        self.events: list[Event] = []
        self.blown = ''
        self.start_joints = np.zeros(0)
        self.seed = 0
        self.disturb: Callable[[], None] | None = None
        self._renderer: Renderer | None = None

    # -- what a subclass says --------------------------------------------------------------

    @property
    @abstractmethod
    def instruction(self) -> str:
        """What a person would ask the robot for, in words."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> None:
        """Decide everything that the seed decides, before anything is built."""

    @abstractmethod
    def furnish(self, spec: 'mujoco.MjSpec') -> None:
        """Add looks, table, things and cameras to a scene that holds the arms."""

    @abstractmethod
    def index(self) -> None:
        """Look up in the compiled `model` what `watch` and `success` will read."""

    @abstractmethod
    def starts(self) -> Sequence[tuple[Array, float]]:
        """Where each arm's tip starts: place (3,) in the table frame in m, and yaw in rad."""

    @abstractmethod
    def watch(self, fingers: Array) -> None:
        """Notice events; called once per tick.

        Args:
            fingers: (arms,) commanded fingers in m.
        """

    @abstractmethod
    def success(self) -> bool:
        """Whether the task is done as things stand."""

    @abstractmethod
    def failure_kind(self) -> str:
        """Why the episode has not succeeded, from what happened; empty after a success."""

    def mounts(self) -> tuple[Mount, ...]:
        """Where the arms stand; one where its model says, unless a world says otherwise."""
        return (Mount('', self.arm_model.base_xyz),)

    def facts(self) -> dict[str, str]:
        """What is worth saying of the scene in an episode's `info`."""
        return {}

    def clear(self) -> None:
        """Forget what `watch` remembers; called when the scene has been built and has settled."""

    def holds(self, arm: int) -> bool:
        """Whether an arm has something movable between its fingers."""
        return hands.holds(self.model, self.data, self.arms, arm)

    def pushable(self) -> NDArray[np.int_]:
        """What a push would shove as things stand: bodies that move freely; none if none does.

        The one nearest to a tip, unless a world knows better.
        """
        return hands.nearest_free_body(self.model, self.data, self.arms)

    def springs(self) -> tuple[int, float] | None:
        """What was done and may come undone by itself: a degree of freedom, and how fast, per s."""
        return None

    # -- what all share --------------------------------------------------------------------

    def reset(self, seed: int) -> None:
        """Build the scene of a seed and let it settle; the arms are open."""
        self.seed = int(seed)
        self.disturb = None
        self.draw(np.random.default_rng(seed))
        self._close_renderer()
        mounts = self.mounts()
        arms = [self.arm_model] * len(mounts)
        spec = arms_spec(arms, mounts)
        bases = [body.name for body in spec.worldbody.bodies]
        self.furnish(spec)
        apply_axes(spec, self.config.axes, self.seed, bases)
        # A state that has run away is to be seen, not silently put back to the start.
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        pairs = zip(arms, mounts, strict=True)
        self.arms = tuple(MountedArm(arm, mount, self.model) for arm, mount in pairs)
        self.index()
        starts = [a.over(*start) for a, start in zip(self.arms, self.starts(), strict=True)]
        for arm, start in zip(self.arms, starts, strict=True):
            arm.place(self.data, start)
        self.start_joints = np.concatenate(starts)
        mujoco.mj_forward(self.model, self.data)
        self.blown = ''
        self._clear_events()
        self._keep()
        for _ in range(self.settle_ticks):
            self.step_physics(self.start_joints)
        self._clear_events()
        self.data.time = 0.0

    def step_physics(self, joint_targets: ArrayLike, n_substeps: int | None = None) -> None:
        """Advance by a tick with joint targets held.

        Args:
            joint_targets: (N,) of all arms, angles in rad and left finger in m for each; clipped
                to limits.
            n_substeps: physics steps instead of a tick; call with about as many as make one.

        Raises:
            ValueError: the targets have another shape or are not finite.
        """
        targets = np.asarray(joint_targets, np.float64)
        if targets.shape != (self.n_joints,) or not np.isfinite(targets).all():
            raise ValueError(f'expected {self.n_joints} finite joint targets, got {targets!r}')
        if self.blown:
            return
        parts = self.split(targets)
        for arm, part in zip(self.arms, parts, strict=True):
            arm.command(self.data, part)
        self.before_steps(np.array([part[-1] for part in parts]))
        if self.disturb is not None:
            self.disturb()
        mujoco.mj_step(self.model, self.data, nstep=n_substeps or self.tick_substeps)
        if self._has_blown():
            return
        self._keep()
        self.watch(np.array([part[-1] for part in parts]))

    def before_steps(self, fingers: Array) -> None:
        """For what acts on the physics besides the drives, once per tick.

        Args:
            fingers: (arms,) commanded fingers in m.
        """

    @property
    def arm_model(self) -> ArmModel:
        """What each of the arms is."""
        return arm_model(self.config.arm)

    @property
    def n_arms(self) -> int:
        """How many arms there are; known before a reset."""
        return len(self.mounts())

    @property
    def settle_ticks(self) -> int:
        """Ticks that a new scene is given to come to rest."""
        return _SETTLE_TICKS

    @property
    def tick_substeps(self) -> int:
        """Physics steps in a tick."""
        return round(TICK_S / float(self.model.opt.timestep))

    @property
    def n_joints(self) -> int:
        """Joints of all arms, the commanded fingers among them."""
        return sum(arm.n_joints for arm in self.arms)

    def split(self, joints: Array) -> list[Array]:
        """Joints (N,) of all arms as those of each."""
        ends = np.cumsum([arm.n_joints for arm in self.arms])[:-1]
        return list(np.split(joints, ends))

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""
        return float(self.data.time)

    def joints(self) -> Array:
        """Measured joints (N,) of all arms: for each its angles in rad, then its finger in m."""
        return np.concatenate([arm.joints(self.data) for arm in self.arms])

    def joint_velocities(self) -> Array:
        """Measured velocities (N,): rad/s, and m/s of the left fingers."""
        return np.concatenate([arm.joint_velocities(self.data) for arm in self.arms])

    def state(self) -> NDArray[np.float32]:
        """Proprioception.

        One arm: joints (n + 1,), tip position (3,) in m and two columns of its rotation, in the
        base frame. Two arms: joints of the left, then of the right, (2 n + 2,), which are the 14
        numbers of the papers' two-armed robots for the WidowX.
        """
        joints = self.joints()
        if len(self.arms) > 1:
            return joints.astype(np.float32)
        tip = self.arms[0].kinematics.forward(joints[:-1])
        return np.concatenate([joints, pose_to_vector(tip)]).astype(np.float32)

    def images(self) -> dict[str, NDArray[np.uint8]]:
        """RGB images (H, W, 3) of `cameras`."""
        renderer = self._get_renderer()
        return {camera: renderer.render(self.data, camera) for camera in self.cameras}

    @property
    def renderer(self) -> str:
        """What makes the images: egl, osmesa or ray."""
        return self._get_renderer().backend

    def close(self) -> None:
        """Free the renderer; the world can be reset and used again."""
        self._close_renderer()

    def event(self, name: str, kind: str = '', target: bool = True) -> None:
        """Note that something has happened now."""
        self.events.append(Event(name, kind, self.time, target))

    def happened(self, name: str) -> bool:
        """Whether an event of that name has happened since the reset."""
        return any(event.name == name for event in self.events)

    def event_kind(self, event: Event) -> str:
        """Whether an event is a 'milestone', an 'error', or neither ('')."""
        if event.name in self.MILESTONES:
            return 'milestone'
        return 'error' if event.name in self.ERRORS else ''

    def _keep(self) -> None:
        self._good = (self.data.qpos.copy(), self.data.qvel.copy())

    def _has_blown(self) -> bool:
        data = self.data
        causes = [
            words
            for name, words in _FAULTS.items()
            if data.warning[getattr(mujoco.mjtWarning, name).value].number
        ]
        if not causes and np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all():
            return False
        time = data.time
        self.blown = causes[0] if causes else 'the state is not finite'
        data.qpos[:], data.qvel[:] = self._good
        data.qacc_warmstart[:] = 0.0
        mujoco.mj_forward(self.model, data)
        data.time = time
        self.event('physics_failed', self.blown, False)
        return True

    def _clear_events(self) -> None:
        self.events = []
        self.clear()

    def _get_renderer(self) -> Renderer:
        if self._renderer is None:
            size = self.config.image_size
            self._renderer = make_renderer(self.model, size, size, self.config.renderer)
        return self._renderer

    def _close_renderer(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
