# SPDX-License-Identifier: Apache-2.0
"""Rewards with a frozen value in them: ViVa's bonus, potentials, or nothing.

Dashora, Ghosh, Levine, "ViVa: Video-Trained Value Functions for Guiding Online RL", arXiv
2503.18210: r + V(s', g), V the mean over the ICVF's heads, at or below zero: a penalty for being
far from the goal. Authors' code: Dashora7/rlpd_subgoals, train_cog.py, final_train_script.py: the
bonus is 0.001 V(s', g), the reward 0 or 1, and the learner sees 1 (r + bonus) - 1 with images and
10 (r + bonus) - 1 in AntMaze. Potentials: Ng, Harada, Russell (1999), Phi(s) = scale V(s) and the
bonus gamma Phi(s') - Phi(s); the authors' is 0.1 (V(s') - V(s)), without gamma, which no longer
keeps optimal policies. Ng's potential of a terminal state must be zero; V(g, g) is that without
being told.

With a shift of -1, what was never tried looks better than all that does not reach the goal: critics
begin near 0, and a life without the goal is worth -1 / (1 - gamma). A potential takes that away
where Phi lies below -1 / (1 - gamma): at rest its bonus (gamma - 1) Phi is then above 1, and
standing still is worth more than the unknown. So V is first given the learner's discount
(`rediscounted`), which keeps the steps that it says and bounds it by -1 / (1 - gamma). As long as
reward_scale potential_scale is at most -reward_shift, no policy that never reaches the goal is
worth more than 0; where both are equal, as in AntMaze's 10, 0.1 and -1, and V is exact, a step of
the shortest way costs nothing and every other less than nothing. To begin the critics at -Phi is no
way out: that is the same as no potential at all (Wiewiora, "Potential-Based Shaping and Q-Value
Initialization are Equivalent", JAIR 19, 2003).
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


def rediscounted(value: Array, theirs: float, ours: float) -> Array:
    """What a value would be with another discount: -(1 - ours^d) / (1 - ours) of d steps.

    Args:
        value: -(1 - theirs^d) / (1 - theirs), or -d with a discount of 1; what lies outside is
            taken for the nearest that can be.
        theirs: Its discount.
        ours: The wanted one, below 1.

    Returns:
        Between -1 / (1 - ours) and 0.
    """
    if theirs == 1.0:
        kept = ours ** np.maximum(-value, 0.0)
    else:
        left = np.clip(1.0 + (1.0 - theirs) * value, 0.0, 1.0)
        kept = left ** (np.log(ours) / np.log(theirs))
    return np.asarray((kept - 1.0) / (1.0 - ours))


def bonus(
    kind: str,
    value: Array,
    next_value: Array,
    config: RewardConfig,
    discount: float,
    value_discount: float,
) -> Array:
    """What a frozen value adds to the reward of some transitions; nothing for `none` and `rnd`.

    Args:
        kind: One of `REWARDS`.
        value: V(s, g).
        next_value: V(s', g), of the same shape.
        config: Scales.
        discount: Of the learner.
        value_discount: Of the value.
    """
    if kind == 'viva':
        return viva_bonus(next_value, config.viva_scale)
    if kind == 'potential':
        if not config.potential_discounted:
            return potential_bonus(value, next_value, config.potential_scale, 1.0)
        here, there = (rediscounted(v, value_discount, discount) for v in (value, next_value))
        return potential_bonus(here, there, config.potential_scale, discount)
    return np.zeros_like(next_value)


def learner_reward(reward: Array, added: Array, config: RewardConfig) -> Array:
    """reward_scale (r + bonus) + reward_shift, which is what the learner sees."""
    return config.reward_scale * (reward + added) + config.reward_shift
