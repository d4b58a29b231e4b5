# SPDX-License-Identifier: Apache-2.0
"""Many small networks of one shape, computed at once: ensembles, and all seeds of an experiment.

A network of two layers of 64 spends most of its time between its operations; one batched matrix
product does the work of all members for the price of one call. Members do not see each other, so
what one learns does not depend on how many are beside it. `torch.func.vmap` over stacked modules
would do the same through a dispatcher that costs more than these products.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_EPSILON = 1e-6  # of LayerNorm, as in Flax


class StackedLinear(nn.Module):
    """N layers (inputs to outputs), member by member."""

    def __init__(
        self, rngs: Sequence[np.random.Generator], copies: int, inputs: int, outputs: int
    ) -> None:
        """Draws Xavier-uniform weights, as RLPD's authors do, each seed's from its own generator.

        Args:
            rngs: One for each of S seeds.
            copies: Members per seed; N = S times copies, a seed's members side by side.
            inputs: Of each layer.
            outputs: Of each layer.
        """
        super().__init__()
        limit = (6 / (inputs + outputs)) ** 0.5
        drawn = [rng.uniform(-limit, limit, (copies, inputs, outputs)) for rng in rngs]
        self.weight = nn.Parameter(torch.from_numpy(np.concatenate(drawn)).float())
        self.bias = nn.Parameter(torch.zeros(len(self.weight), 1, outputs))

    def forward(self, inputs: Tensor, members: Tensor | None = None) -> Tensor:
        """(N, B, inputs) to (N, B, outputs); or of some members (M,) only, (M, B, ...)."""
        if members is None:
            return torch.baddbmm(self.bias, inputs, self.weight)
        return torch.baddbmm(self.bias[members], inputs, self.weight[members])


class StackedMlp(nn.Module):
    """N networks: Dense, LayerNorm if wanted, ReLU for each hidden layer; then a Dense.

    Attributes:
        seeds: S.
        copies: Members per seed.
    """

    def __init__(
        self,
        rngs: Sequence[np.random.Generator],
        copies: int,
        sizes: Sequence[int],
        *,
        layer_norm: bool = False,
    ) -> None:
        """Builds the layers.

        Args:
            rngs: One for each of S seeds.
            copies: Members per seed.
            sizes: Of the input, the hidden layers and the output.
            layer_norm: Whether hidden layers are normalised before their ReLU.
        """
        super().__init__()
        self.seeds, self.copies = len(rngs), copies
        self.layers = nn.ModuleList(
            StackedLinear(rngs, copies, inputs, outputs) for inputs, outputs in pairwise(sizes)
        )
        count = self.seeds * copies
        hidden = sizes[1:-1] if layer_norm else ()
        self.scales = nn.ParameterList(torch.ones(count, 1, size) for size in hidden)
        self.shifts = nn.ParameterList(torch.zeros(count, 1, size) for size in hidden)

    def forward(self, inputs: Tensor, members: Tensor | None = None) -> Tensor:
        """Outputs (S, copies, B, O) of (S, B, I).

        Args:
            inputs: What all members of a seed get.
            members: (S, M) which of each seed's members answer, (S, M, B, O); None: all.
        """
        seeds, batch, size = inputs.shape
        count = self.copies if members is None else members.shape[1]
        chosen = None
        if members is not None:
            chosen = (members + self.copies * torch.arange(seeds)[:, None]).flatten()
        hidden = inputs[:, None].expand(seeds, count, batch, size).reshape(-1, batch, size)
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden, chosen)
            if number == last:
                break
            if len(self.scales):
                scale, shift = self.scales[number], self.shifts[number]
                if chosen is not None:
                    scale, shift = scale[chosen], shift[chosen]
                normal = F.layer_norm(hidden, hidden.shape[-1:], eps=_EPSILON)
                hidden = torch.addcmul(shift, normal, scale)
            hidden = F.relu(hidden)
        return hidden.view(seeds, count, batch, -1)
