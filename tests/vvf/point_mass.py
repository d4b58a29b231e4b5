# SPDX-License-Identifier: Apache-2.0
"""A point on a line that is to come to the right end: what online RL is tried on in seconds."""

import gymnasium as gym
import numpy as np

GOAL, STEP, LIMIT = 0.8, 0.1, 40


class PointMass(gym.Env):
    """State (1,) in [-1, 1]; reward 1 beyond the goal, which ends the episode."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1.0, -0.7)
        return self.seen(), {'success': False}

    def step(self, action):
        self.x = float(np.clip(self.x + STEP * action[0], -1.0, 1.0))
        success = self.x >= GOAL
        return self.seen(), float(success), success, False, {'success': success}

    def seen(self):
        return np.array([self.x], np.float32)


class PixelPoint(PointMass):
    """The same as a picture (3, 16, 16)."""

    observation_space = gym.spaces.Box(0, 255, (3, 16, 16), np.uint8)

    def seen(self):
        columns = np.linspace(-1, 1, 16)
        row = 255 * np.exp(-(((columns - self.x) / 0.15) ** 2))
        return np.broadcast_to(row, (3, 16, 16)).astype(np.uint8)


def steps_left(states):
    """The exact value: minus the steps to the goal."""
    return -np.clip((GOAL - states[..., 0]) / STEP, 0, None).astype(np.float32)
