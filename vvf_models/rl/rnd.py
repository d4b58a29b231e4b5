# SPDX-License-Identifier: Apache-2.0
"""Random network distillation: a bonus for pairs (s, a) unlike those that were seen online.

Burda, Edwards, Storkey, Klimov, arXiv 1810.12894. As Dashora7/rlpd_subgoals and its source
(arXiv 2311.05067) have it: on state and action, hidden 256 x 256, Adam 3e-4, the predictor is
trained on the newest transitions and the bonus added when a batch is drawn, to offline rows, too:
what only the data know is new. There is no normalisation by running statistics, as in theirs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from vvf_models.rl.stacked import StackedMlp
from vvf_models.training.loop import load_optimizer, load_prefixed, optimizer_tensors, prefixed

_FEATURES = 64


def novelty(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error over features, (S, B) of (S, B, F)."""
    return (predicted - wanted).square().mean(-1)


class Rnd:
    """A random network and one that learns to predict it, for each seed."""

    def __init__(
        self,
        rngs: Sequence[np.random.Generator],
        inputs: int,
        hidden: Sequence[int],
        learning_rate: float = 3e-4,
    ) -> None:
        """Draws the networks.

        Args:
            rngs: One for each of S seeds.
            inputs: Length of state and action together.
            hidden: Sizes of the layers.
            learning_rate: Of the predictor.
        """
        sizes = (inputs, *hidden, _FEATURES)
        self.random = StackedMlp(rngs, 1, sizes).requires_grad_(False)
        self.predictor = StackedMlp(rngs, 1, sizes)
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), learning_rate)

    def bonus(self, observation: Tensor, action: Tensor) -> Tensor:
        """Novelty (S, B) of (S, B, D) states and (S, B, A) actions."""
        with torch.no_grad():
            return self._error(observation, action)

    def update(self, observation: Tensor, action: Tensor) -> None:
        """One step towards predicting the random network where the agent has been."""
        loss = self._error(observation, action).mean(1).sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _error(self, observation: Tensor, action: Tensor) -> Tensor:
        both = torch.cat([observation, action], -1)
        return novelty(self.predictor(both)[:, 0], self.random(both)[:, 0])

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs."""
        networks = {**prefixed(self.random, 'random'), **prefixed(self.predictor, 'predictor')}
        return {**networks, **optimizer_tensors(self.optimizer)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        load_prefixed(self.random, tensors, 'random')
        load_prefixed(self.predictor, tensors, 'predictor')
        load_optimizer(self.optimizer, tensors)
