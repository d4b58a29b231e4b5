# SPDX-License-Identifier: Apache-2.0
"""Random network distillation: a bonus for pairs (s, a) unlike those that were seen online.

Burda, Edwards, Storkey, Klimov, arXiv 1810.12894, as Dashora7/rlpd_subgoals has it for states
(rnd_tools.py, final_train_script.py): state and action, normalised by the mean and deviation of the
data, go through three dense layers of 256, the last of which gives the features; the bonus is the
mean squared error over features, divided by the deviation of all errors so far; Adam 3e-4; the
predictor takes a step on the newest transition, and the bonus is added when a batch is drawn, to
offline rows, too: what only the data know is new.

Theirs differs in:

- They divide the mean over features by the deviation of the sum over features, so that their bonus
  is 1/256 of this one; their multiplier is 1, which here is reward_scale rnd_scale.
- Their layers are Dense, GELU, LayerNorm; here those of the critics: Dense, LayerNorm, ReLU.
- An input that never changes is divided by 1e-8 there, by 1 here.
- The deviation begins with 1e-4 of an error of zero, here with a whole one: a bonus right after the
  first error would else be 100.
- Their statistics are those of D4RL's data, written in the code; here those of the offline data,
  or without such of the random actions at the beginning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vvf_models.model_config import require
from vvf_models.rl.stacked import StackedMlp
from vvf_models.training.state_tensors import (
    load_optimizer,
    load_prefixed,
    optimizer_tensors,
    prefixed,
)

_STILL = 1e-6  # the deviation of an input up to which it counts as constant


@dataclass(frozen=True)
class RndConfig:
    """Both networks, and how the predictor learns."""

    layers: tuple[int, ...] = (256, 256, 256)  # the last gives the features
    learning_rate: float = 3e-4

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            UserError: A layer has no units, or the rate is not positive.
        """
        require(min(self.layers, default=0) >= 1, '"layers" must be one or more sizes above 0')
        require(self.learning_rate > 0, '"learning_rate" must be above 0')


def novelty(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error over features, (S, B) of (S, B, F)."""
    return (predicted - wanted).square().mean(-1)


class RunningDeviation:
    """Standard deviation of all numbers so far, for each of S seeds.

    It begins with one number, 0: so it is above 0 from the first other number on.
    """

    def __init__(self, seeds: int) -> None:
        self.count = torch.ones(seeds, 1)
        self.mean, self.variance = torch.zeros(seeds, 1), torch.zeros(seeds, 1)

    def update(self, numbers: Tensor) -> None:
        """Takes in n numbers of each seed, (S, n)."""
        added = numbers.shape[1]
        difference = numbers.mean(1, keepdim=True) - self.mean
        total = self.count + added
        variance = numbers.var(1, correction=0, keepdim=True)
        between = difference.square() * self.count * added / total
        self.variance = (self.variance * self.count + variance * added + between) / total
        self.mean = self.mean + difference * added / total
        self.count = total

    @property
    def value(self) -> Tensor:
        """(S, 1); 1 where nothing but zeros were seen."""
        return torch.where(self.variance > 0, self.variance.sqrt(), 1.0)


class Rnd:
    """A random network and one that learns to predict it, for each seed.

    Attributes:
        normalised: Whether `normalise` was called, without which inputs go in as they are.
    """

    def __init__(
        self, rngs: Sequence[np.random.Generator], inputs: int, config: RndConfig | None = None
    ) -> None:
        """Draws the networks.

        Args:
            rngs: One for each of S seeds.
            inputs: Length of state and action together.
            config: Sizes and learning rate.
        """
        config = config or RndConfig()
        sizes = (inputs, *config.layers)
        self.random = StackedMlp(rngs, 1, sizes, layer_norm=True).requires_grad_(False)
        self.predictor = StackedMlp(rngs, 1, sizes, layer_norm=True)
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), config.learning_rate)
        self.errors = RunningDeviation(len(rngs))
        self.normalised = False
        self._mean, self._deviation = torch.zeros(1, 1, inputs), torch.ones(1, 1, inputs)

    def normalise(self, observation: Tensor, action: Tensor) -> None:
        """Takes mean and deviation of inputs from (S, N, D) states and (S, N, A) actions.

        An S of 1 is for all seeds.
        """
        both = torch.cat([observation, action], -1)
        deviation = both.std(1, correction=0, keepdim=True)
        self._mean = both.mean(1, keepdim=True)
        self._deviation = torch.where(deviation > _STILL, deviation, 1.0)
        self.normalised = True

    def bonus(self, observation: Tensor, action: Tensor) -> Tensor:
        """Novelty (S, B) of (S, B, D) states and (S, B, A) actions, over its running deviation."""
        with torch.no_grad():
            return self._error(observation, action) / self.errors.value

    def update(self, observation: Tensor, action: Tensor) -> None:
        """One step towards predicting the random network where the agent has been."""
        error = self._error(observation, action)
        self.errors.update(error.detach())
        self.optimizer.zero_grad()
        error.mean(1).sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _error(self, observation: Tensor, action: Tensor) -> Tensor:
        both = (torch.cat([observation, action], -1) - self._mean) / self._deviation
        return novelty(self.predictor(both)[:, 0], self.random(both)[:, 0])

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs."""
        networks = {**prefixed(self.random, 'random'), **prefixed(self.predictor, 'predictor')}
        statistics = {
            'normalised': torch.tensor(self.normalised),
            'mean': self._mean,
            'deviation': self._deviation,
            'error_count': self.errors.count,
            'error_mean': self.errors.mean,
            'error_variance': self.errors.variance,
        }
        return {**networks, **statistics, **optimizer_tensors(self.optimizer)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        load_prefixed(self.random, tensors, 'random')
        load_prefixed(self.predictor, tensors, 'predictor')
        load_optimizer(self.optimizer, tensors)
        self.normalised = bool(tensors['normalised'])
        self._mean, self._deviation = tensors['mean'], tensors['deviation']
        self.errors.count = tensors['error_count']
        self.errors.mean = tensors['error_mean']
        self.errors.variance = tensors['error_variance']
