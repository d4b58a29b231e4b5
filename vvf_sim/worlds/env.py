# SPDX-License-Identifier: Apache-2.0
"""The pick-and-place world as a Gymnasium environment, `vvf/PickPlace-v0`."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from vvf_sim.controllers import RAMP_FRACTION, CartesianTarget, JointRamp
from vvf_sim.errors import UserError
from vvf_sim.robots.widowx import JOINT_LOWER, JOINT_UPPER
from vvf_sim.worlds.layout import PickPlaceConfig
from vvf_sim.worlds.pick_place import TICK_S, TICK_SUBSTEPS, PickPlaceWorld

Observation = dict[str, NDArray[Any]]

ACTION_LOW = np.array([-0.05] * 3 + [-0.6] * 3 + [0.0], np.float32)
ACTION_HIGH = np.array([0.05] * 3 + [0.6] * 3 + [1.0], np.float32)
# A joint pushed against its stop gives way a little.
_JOINTS_HIGH = np.append(np.maximum(-JOINT_LOWER, JOINT_UPPER) + 0.1, 0.05)
STATE_HIGH = np.concatenate([_JOINTS_HIGH, np.full(9, 1.01)]).astype(np.float32)
STATE_LOW = -STATE_HIGH


class PickPlaceEnv(gym.Env[Observation, NDArray[np.float32]]):  # type: ignore[misc]
    """Pick the target and place it in the container.

    Observation: `shoulder` and `wrist` images (H, W, 3) uint8, `state` (16,) float32: six joint
    angles in rad, left finger in m, tip position in m, two columns of the tip's rotation.
    Action (7,) float32, V-PTR's: translation in m and rotation vector in rad added to the
    commanded tip (base frame), then the gripper, above .5 open. Reward 1 at success, else 0;
    success ends the episode.

    Args:
        config: what varies with the seed.
        control_hz: actions per second, 5 to 10; the period is rounded to 20 ms.
        latency_s: range of the random delay between an observation and the start of the motion
            that answers it, as in the live graph.
        render_mode: `rgb_array` gives both images side by side.
        stop_on_success: whether success ends the episode.

    Raises:
        UserError: the rate or the latency is out of range.
    """

    metadata: ClassVar[dict[str, Any]] = {'render_modes': ['rgb_array'], 'render_fps': 5}

    def __init__(
        self,
        config: PickPlaceConfig | None = None,
        control_hz: float = 5.0,
        latency_s: tuple[float, float] = (0.0, 0.06),
        render_mode: str | None = None,
        stop_on_success: bool = True,
    ) -> None:
        if not 5.0 <= control_hz <= 10.0:
            raise UserError(f'control_hz is {control_hz}: use 5 to 10.')
        self.ticks = round(1.0 / control_hz / TICK_S)
        self.dt = self.ticks * TICK_S
        if not 0.0 <= latency_s[0] <= latency_s[1] <= self.dt:
            raise UserError(f'latency_s is {latency_s}: use 0 to {self.dt:.2f} s, low first.')
        self.world = PickPlaceWorld(config)
        self.arm = CartesianTarget(self.world.kinematics)
        self.render_mode = render_mode
        self.latency_s = latency_s
        self.stop_on_success = stop_on_success
        size = self.world.config.image_size
        image = gym.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.observation_space = gym.spaces.Dict(
            {
                'shoulder': image,
                'wrist': gym.spaces.Box(0, 255, (size, size, 3), np.uint8),
                'state': gym.spaces.Box(STATE_LOW, STATE_HIGH, (16,), np.float32),
            }
        )
        self.action_space = gym.spaces.Box(ACTION_LOW, ACTION_HIGH, (7,), np.float32)
        self._sent = np.zeros(7)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the episode of a seed; without one, a seed is drawn from the last one's stream."""
        super().reset(seed=seed)
        self.world.reset(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._sent = self.world.start_joints.copy()
        self.arm.reset(self._sent)
        return self._observe(), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Move for one control period.

        Raises:
            ValueError: the action is not seven finite numbers.
        """
        values = np.asarray(action, np.float64)
        if values.shape != (7,) or not np.isfinite(values).all():
            raise ValueError(f'expected 7 finite numbers, got {values!r}')
        goal = self.arm.apply(np.clip(values, ACTION_LOW, ACTION_HIGH))
        ramp = JointRamp(self._sent, goal, RAMP_FRACTION * self.dt)
        delay = float(self.np_random.uniform(*self.latency_s))
        for tick in range(1, self.ticks + 1):
            self._sent = ramp.at(tick * TICK_S - delay)
            self.world.step_physics(self._sent, TICK_SUBSTEPS)
        success = self.world.success()
        done = success and self.stop_on_success
        return self._observe(), float(success), done, False, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """Both cameras side by side (H, 2 W, 3), or None without a render mode."""
        if self.render_mode is None:
            return None
        images = self.world.images()
        return np.hstack([images['shoulder'], images['wrist']])

    def close(self) -> None:
        """Free the renderer."""
        self.world.close()

    def _observe(self) -> Observation:
        return {**self.world.images(), 'state': self.world.state()}

    def _info(self) -> dict[str, Any]:
        return {
            'success': self.world.success(),
            'target': self.world.target,
            'container': self.world.layout.container,
            'time': self.world.time,
        }
