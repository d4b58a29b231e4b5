# SPDX-License-Identifier: Apache-2.0
"""Simulated robots, worlds and scripted experts on MuJoCo; knows neither ROS nor torch.

Importing the package registers ``vvf/PickPlace-v0`` with Gymnasium. MuJoCo itself is loaded
only when a world is made.
"""

import gymnasium

ENV_ID = 'vvf/PickPlace-v0'


def register_envs() -> None:
    """Register the environments with Gymnasium; a second call does nothing."""
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(
            id=ENV_ID,
            entry_point='vvf_sim.worlds.env:PickPlaceEnv',
            max_episode_steps=60,
        )


register_envs()
