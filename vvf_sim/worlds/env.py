# SPDX-License-Identifier: Apache-2.0
"""Every world as a Gymnasium environment, such as `vvf/PickPlace-v0`."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from vvf_sim.controllers import RAMP_FRACTION, CartesianTarget, JointRamp
from vvf_sim.errors import UserError
from vvf_sim.registry import CONTROL_HZ, task_entry
from vvf_sim.worlds.ticks import TICK_S, control_ticks
from vvf_sim.worlds.world import World
from vvf_sim.worlds.world_config import WorldConfig

Observation = dict[str, NDArray[Any]]

# Of one arm: translation in m, rotation vector in rad, gripper (1 open, 0 closed).
ACTION_LOW = np.array([-0.05] * 3 + [-0.6] * 3 + [0.0], np.float32)
ACTION_HIGH = np.array([0.05] * 3 + [0.6] * 3 + [1.0], np.float32)
# A joint pushed against its stop gives way a little.
_GIVE = 0.1
_FINGER_HIGH = 0.05
_POSE_HIGH = 1.51


class TaskEnv(gym.Env[Observation, NDArray[np.float32]]):  # type: ignore[misc]
    """A world to be acted on.

    Observation: an image (H, W, 3) uint8 for each camera, and `state` float32 as of
    `World.state`. Action (7,) float32 for each arm, V-PTR's: translation in m and rotation vector
    in rad added to the commanded tip (base frame), then the gripper, above .5 open; with two arms
    the left one's seven numbers go first. Reward 1 at success, else 0; success ends the episode,
    and so does a failure of the physics, with `info['error']` saying why.

    Args:
        task: a name of `vvf_sim.registry`.
        config: what varies with the seed; the task's own by default.
        control_hz: actions per second, 5 to 10; the period is rounded to 20 ms.
        latency_s: range of the random delay between an observation and the start of the motion
            that answers it, as in the live graph.
        render_mode: `rgb_array` gives all images side by side.
        stop_on_success: whether success ends the episode.

    Raises:
        UserError: the task is unknown, the rate or the latency is out of range.
    """

    metadata: ClassVar[dict[str, Any]] = {'render_modes': ['rgb_array'], 'render_fps': 5}

    def __init__(
        self,
        task: str = 'pick_place',
        config: WorldConfig | None = None,
        control_hz: float = CONTROL_HZ,
        latency_s: tuple[float, float] = (0.0, 0.06),
        render_mode: str | None = None,
        stop_on_success: bool = True,
    ) -> None:
        self.ticks = control_ticks(control_hz)
        self.dt = self.ticks * TICK_S
        if not 0.0 <= latency_s[0] <= latency_s[1] <= self.dt:
            raise UserError(f'latency_s is {latency_s}: use 0 to {self.dt:.2f} s, low first.')
        self.world: World[Any] = task_entry(task).make_world(config)
        models = [self.world.arm_model] * self.world.n_arms
        self.targets = [CartesianTarget(model) for model in models]
        self.render_mode = render_mode
        self.latency_s = latency_s
        self.stop_on_success = stop_on_success
        size = self.world.config.image_size
        spaces: dict[str, gym.Space[Any]] = {
            camera: gym.spaces.Box(0, 255, (size, size, 3), np.uint8)
            for camera in self.world.cameras
        }
        high = self._state_high()
        spaces['state'] = gym.spaces.Box(-high, high, high.shape, np.float32)
        self.observation_space = gym.spaces.Dict(spaces)
        self.action_space = gym.spaces.Box(
            np.tile(ACTION_LOW, len(models)), np.tile(ACTION_HIGH, len(models)), dtype=np.float32
        )
        self._limits = np.concatenate([model.velocity_limits for model in models])
        self._sent = np.zeros(0)

    @property
    def arm(self) -> CartesianTarget:
        """The first arm's commanded pose."""
        return self.targets[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the episode of a seed; without one, a seed is drawn from the last one's stream."""
        super().reset(seed=seed)
        self.world.reset(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._sent = self.world.start_joints.copy()
        for target, joints in zip(self.targets, self.world.split(self._sent), strict=True):
            target.reset(joints)
        return self._observe(), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Move for one control period.

        Raises:
            ValueError: the action is not seven finite numbers for each arm.
        """
        values = np.asarray(action, np.float64)
        if values.shape != self.action_space.shape or not np.isfinite(values).all():
            raise ValueError(
                f'expected {self.action_space.shape[0]} finite numbers, got {values!r}'
            )
        parts = np.clip(values, self.action_space.low, self.action_space.high).reshape(-1, 7)
        goals = [target.apply(part) for target, part in zip(self.targets, parts, strict=True)]
        ramp = JointRamp(self._sent, np.concatenate(goals), RAMP_FRACTION * self.dt, self._limits)
        delay = float(self.np_random.uniform(*self.latency_s))
        for tick in range(1, self.ticks + 1):
            self._sent = ramp.at(tick * TICK_S - delay)
            self.world.step_physics(self._sent)
        success = not self.world.blown and self.world.success()
        done = (success and self.stop_on_success) or bool(self.world.blown)
        return self._observe(), float(success), done, False, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """All cameras side by side (H, n W, 3), or None without a render mode."""
        if self.render_mode is None:
            return None
        images = self.world.images()
        return np.hstack([images[camera] for camera in self.world.cameras])

    def close(self) -> None:
        """Free the renderer."""
        self.world.close()

    def _state_high(self) -> NDArray[np.float32]:
        model = self.world.arm_model
        angles = np.maximum(-model.lower, model.upper) + _GIVE
        joints = np.append(angles, _FINGER_HIGH)
        parts = [joints] * self.world.n_arms
        if self.world.n_arms == 1:
            parts.append(np.full(9, _POSE_HIGH))
        return np.concatenate(parts).astype(np.float32)

    def _observe(self) -> Observation:
        return {**self.world.images(), 'state': self.world.state()}

    def _info(self) -> dict[str, Any]:
        info = {
            'success': not self.world.blown and self.world.success(),
            'instruction': self.world.instruction,
            'time': self.world.time,
            **self.world.facts(),
        }
        if self.world.blown:
            info['error'] = self.world.blown
        return info
