# SPDX-License-Identifier: Apache-2.0
"""Simulated robots, worlds and scripted experts on MuJoCo; knows neither ROS nor torch.

Importing the package registers its tasks with Gymnasium, `vvf/PickPlace-v0` and the others of
`vvf_sim.registry`. MuJoCo itself is loaded only when a world is made.
"""

import gymnasium

from vvf_sim.registry import TASKS


def register_envs() -> None:
    """Register the environments with Gymnasium; a second call does nothing."""
    for entry in TASKS.values():
        if entry.env_id not in gymnasium.registry:
            gymnasium.register(
                id=entry.env_id,
                entry_point='vvf_sim.worlds.env:TaskEnv',
                max_episode_steps=entry.max_steps,
                kwargs={'task': entry.name},
            )


register_envs()
