# SPDX-License-Identifier: Apache-2.0
"""Rewards with a frozen value in them: ViVa's bonus, potentials, or nothing.

Dashora, Ghosh, Levine, "ViVa: Video-Trained Value Functions for Guiding Online RL", arXiv
2503.18210: r + V(s', g), V the mean over the ICVF's heads, at or below zero: a penalty for being
far from the goal. Authors' code: Dashora7/rlpd_subgoals, train_cog.py, final_train_script.py: the
bonus is 0.001 V(s', g), the reward 0 or 1, and the learner sees 1 (r + bonus) - 1 with images and
10 (r + bonus) - 1 in AntMaze. Potentials: Ng, Harada, Russell (1999), scale (gamma V(s') - V(s));
the authors' is 0.1 (V(s') - V(s)), without gamma, which no longer keeps optimal policies.

Ng's potential of a terminal state must be zero; V(g, g) is that without being told.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_models.model_config import require

Array = NDArray[np.floating]
REWARDS = ('viva', 'potential', 'rnd', 'none')


@dataclass(frozen=True)
class RewardConfig:
    """What is added to the environment's reward, and how the sum is scaled."""

    viva_scale: float = 1e-3
    potential_scale: float = 0.1
    potential_discounted: bool = True  # False: the authors' difference without gamma
    rnd_scale: float = 0.1
    reward_scale: float = 1.0  # the authors' AntMaze: 10
    reward_shift: float = -1.0

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            UserError: A scale is not positive.
        """
        for name in ('viva_scale', 'potential_scale', 'rnd_scale', 'reward_scale'):
            require(getattr(self, name) > 0, f'"{name}" must be above 0')


def viva_bonus(next_value: Array, scale: float) -> Array:
    """ViVa's: scale V(s', g)."""
    return scale * next_value


def potential_bonus(value: Array, next_value: Array, scale: float, discount: float) -> Array:
    """A potential's: scale (gamma V(s') - V(s)); with a discount of 1 the authors' variant."""
    return scale * (discount * next_value - value)


def bonus(
    kind: str, value: Array, next_value: Array, config: RewardConfig, discount: float
) -> Array:
    """What a frozen value adds to the reward of some transitions; nothing for `none` and `rnd`.

    Args:
        kind: One of `REWARDS`.
        value: V(s, g).
        next_value: V(s', g), of the same shape.
        config: Scales.
        discount: Of the learner.
    """
    if kind == 'viva':
        return viva_bonus(next_value, config.viva_scale)
    if kind == 'potential':
        gamma = discount if config.potential_discounted else 1.0
        return potential_bonus(value, next_value, config.potential_scale, gamma)
    return np.zeros_like(next_value)


def learner_reward(reward: Array, added: Array, config: RewardConfig) -> Array:
    """reward_scale (r + bonus) + reward_shift, which is what the learner sees."""
    return config.reward_scale * (reward + added) + config.reward_shift
