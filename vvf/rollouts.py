# SPDX-License-Identifier: Apache-2.0
"""Tries a policy in simulation, faster than real time and without ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vvf_sim.worlds.env import TaskEnv
from vvf_sim.worlds.world import WorldConfig


@dataclass(frozen=True)
class Rollout:
    """How one episode went."""

    seed: int
    success: bool
    steps: int
    failure_kind: str


@dataclass(frozen=True)
class RolloutJob:
    """One episode to try; small enough to send to another process."""

    policy: Path
    task: str
    config: WorldConfig
    seed: int
    max_steps: int
    execute: int = 1


_loaded: dict[Path, Any] = {}


def roll_out(job: RolloutJob) -> Rollout:
    """Run one episode; the policy stays loaded for the next one in the same process."""
    from vvf_models.runtime import load_policy

    if job.policy not in _loaded:
        _loaded[job.policy] = load_policy(job.policy)
    policy = _loaded[job.policy]
    env = TaskEnv(job.task, job.config)
    try:
        observation, _ = env.reset(seed=job.seed)
        policy.set_instruction(env.world.instruction)
        steps = 0
        while steps < job.max_steps:
            images = {camera: observation[camera] for camera in policy.cameras}
            chunk = policy.act(images, observation['state'] if policy.state_dim else None)
            for action in chunk[: job.execute]:
                clipped = np.clip(action, env.action_space.low, env.action_space.high)
                observation, _, done, _, _ = env.step(clipped.astype(np.float32))
                steps += 1
                if done or steps >= job.max_steps:
                    break
            if done and not env.world.blown:
                return Rollout(job.seed, True, steps, '')
        return Rollout(job.seed, False, steps, env.world.blown or env.world.failure_kind())
    finally:
        env.close()


def wilson(successes: int, episodes: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a success rate, 95 % by default; (0, 1) without episodes."""
    if episodes == 0:
        return 0.0, 1.0
    p = successes / episodes
    scale = 1.0 + z * z / episodes
    middle = (p + z * z / (2 * episodes)) / scale
    half = z * math.sqrt(p * (1 - p) / episodes + z * z / (4 * episodes**2)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)
