# SPDX-License-Identifier: Apache-2.0
"""Simulated tasks for online RL from images: DrQ, with a value checkpoint in the reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from vvf.errors import UserError
from vvf.online.trainer import ValueFunction
from vvf_models.runtime import load_value
from vvf_sim.registry import TASKS

Pixels = npt.NDArray[np.uint8]


class PixelTask(gym.Env[Pixels, npt.NDArray[np.float32]]):  # type: ignore[misc]
    """A task environment whose observation is its cameras' images, one behind the other.

    Observation (3 C, S, S) uint8; actions in [-1, 1], scaled to those of the task.

    Args:
        env_id: such as `vvf/WindowOpen-v0`.
        cameras: which of the world's.
        image_size: S, in pixels.

    Raises:
        UserError: there is no such task or camera.
    """

    metadata: ClassVar[dict[str, Any]] = {'render_modes': []}

    def __init__(self, env_id: str, cameras: Sequence[str], image_size: int) -> None:
        self.env = make_world(env_id, image_size)
        known = [name for name in self.env.observation_space.spaces if name != 'state']
        if missing := [camera for camera in cameras if camera not in known]:
            raise UserError(f'{env_id} has no camera {missing[0]!r}, only {", ".join(known)}.')
        self.cameras = tuple(cameras)
        shape = (3 * len(self.cameras), image_size, image_size)
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        low, high = self.env.action_space.low, self.env.action_space.high
        self._middle, self._half = (high + low) / 2, (high - low) / 2
        self.action_space = gym.spaces.Box(-1.0, 1.0, low.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        seen, info = self.env.reset(seed=int(self.np_random.integers(2**31)))
        return self._images(seen), {'success': info['success']}

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[Pixels, float, bool, bool, dict[str, Any]]:
        """Act for one control period.

        Where the physics fails, the episode is cut off in its last good state: were that an end, it
        would cost less than to go on, and agents would learn to break the simulator.
        """
        seen, reward, ended, cut, info = self.env.step(self._middle + self._half * action)
        failed = 'error' in info
        done = {'success': info['success']}
        return self._images(seen), float(reward), ended and not failed, cut or failed, done

    @property
    def instruction(self) -> str:
        """What the running episode asks for."""
        return str(self.env.world.instruction)

    def close(self) -> None:
        """Free the renderer."""
        self.env.close()

    def _images(self, seen: dict[str, Any]) -> Pixels:
        return np.concatenate([seen[camera].transpose(2, 0, 1) for camera in self.cameras])


def make_world(env_id: str, image_size: int) -> Any:
    """The task's environment with images of a size.

    Raises:
        UserError: there is no such task.
    """
    entry = next((entry for entry in TASKS.values() if entry.env_id == env_id), None)
    if entry is None:
        known = ', '.join(entry.env_id for entry in TASKS.values())
        raise UserError(f'there is no task {env_id!r}; there are {known}, and the mazes.')
    return gym.make(f'vvf_sim:{env_id}', config=entry.make_config(image_size=image_size)).unwrapped


def pixel_value(
    checkpoint: Path, cameras: Sequence[str], instruction: str
) -> tuple[ValueFunction, float]:
    """V(s, g) of images against the checkpoint's goals of an instruction, and its discount.

    Args:
        checkpoint: of a value that looks at images alone, at these cameras.
        cameras: in the order of the observation.
        instruction: of the task.

    Raises:
        UserError: the checkpoint is no ICVF, needs a state, other cameras, or has no goals.
    """
    runtime = load_value(checkpoint)
    if runtime.kind != 'icvf':
        raise UserError(
            f'{checkpoint} is of kind "{runtime.kind}", whose values are no steps to a goal: train '
            'one with `vvf train icvf --no-state`.'
        )
    if runtime.state_dim:
        raise UserError(
            f'{checkpoint} looks at the state, too, which an agent of images does not have: '
            'train one with `vvf train icvf --no-state`.'
        )
    if set(runtime.cameras) - set(cameras):
        needed = ', '.join(runtime.cameras)
        raise UserError(f'{checkpoint} looks at {needed}: use --cameras {needed}.')
    if not runtime.ready:
        raise UserError(f'{checkpoint} has no goals to measure against: train it on successes.')
    runtime.set_instruction(instruction)

    def value(observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        *batch, channels, height, width = observations.shape
        flat = observations.reshape(-1, channels // 3, 3, height, width).transpose(0, 1, 3, 4, 2)
        images = {camera: flat[:, number] for number, camera in enumerate(cameras)}
        return runtime.value(runtime.encode(images)).value.reshape(batch)

    return value, runtime.model.discount
