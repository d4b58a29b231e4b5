# SPDX-License-Identifier: Apache-2.0
"""Reward-weighted regression with VIP's dense reward: V-PTR's baseline "VIP_reward".

Ma et al., "VIP", arXiv 2210.00030, sec. 5.2: actions are cloned with the weight exp(τ R), R(o_t,
o_{t+1}; g) = V(o_{t+1}; g) - V(o_t; g), V being minus the distance to the goal's embedding. It is a
baseline of Bhateja et al., arXiv 2309.13041, sec. 5, on the encoder of that VIP.

Where this differs from the paper: a reward is divided by its standard deviation over the data
first, since a distance has no unit, so τ counts standard deviations; weights are cut, and scaled to
a mean of 1. The goals are final frames of training successes with the same instruction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.model_config import require
from vvf_models.policies.bc_task import BcTaskConfig, BcTaskPolicy

_LEAST_STD = 1e-6  # of rewards: below it they tell nothing


@dataclass(frozen=True)
class RwrConfig(BcTaskConfig):
    """Everything needed to rebuild and to train a policy."""

    vip: str = ''  # checkpoint of the VIP that rewards; used once
    reward_temperature: float = 1.0  # the τ, per standard deviation of the reward
    largest_weight: float = 20.0
    n_goals: int = 8  # for each instruction

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        require(self.reward_temperature >= 0, '"reward_temperature" must not be negative')
        require(self.largest_weight >= 1, '"largest_weight" must be at least 1')
        require(self.n_goals >= 1, '"n_goals" must be at least 1')


class RwrPolicy(BcTaskPolicy):
    """A cloned policy; only how it is trained differs."""


def reward_weights(
    rewards: NDArray[np.float32], temperature: float, largest: float
) -> NDArray[np.float32]:
    """The weights (N,) of the actions that brought N rewards; their mean is 1."""
    spread = max(float(rewards.std()), _LEAST_STD)
    exponents = temperature * (rewards - rewards.mean()) / spread
    weights = np.exp(np.minimum(exponents, np.log(largest)))
    return np.asarray(weights / weights.mean(), np.float32)


def rwr_loss(error: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted mean of errors (B, horizon, A), weights (B,), and what is worth logging."""
    each = error.mean((1, 2))
    loss = (weight * each).mean()
    return loss, {
        'loss': loss.detach(),
        'unweighted': each.detach().mean(),
        'largest_weight': weight.max(),
    }
