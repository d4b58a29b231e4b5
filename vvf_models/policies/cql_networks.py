# SPDX-License-Identifier: Apache-2.0
"""Networks of CQL: an MLP that is told its inputs at every layer, two critics, and an actor.

PTR's "action_sep" and "pixel_sep" (Asap7772/PTR, jaxrl2/networks), with the task vector at every
layer, too, as V-PTR has it (arXiv 2309.13041, sec. 4.4).
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from vvf_models.encoders.observation import ObservationEncoder

LOG_STD_LIMITS = (-20.0, 2.0)
_LAST_LAYER_SCALE = 1e-2


class ToldMlp(nn.Module):
    """Hidden layers ReLU(W [context, told, what the layer before gave] + b).

    The context is the same for many rows of `told`, so its part of each product is computed once.
    """

    def __init__(
        self,
        context: int,
        told: int,
        first: int,
        hidden: Sequence[int],
        *,
        layer_norm: bool = False,
    ) -> None:
        """Builds the layers.

        Args:
            context: Size of what every layer is told, one for each observation.
            told: Size of what every layer is told, several for each observation; may be 0.
            first: Size of what only the first layer gets; may be 0.
            hidden: Sizes of the layers.
            layer_norm: Whether each product is normalised before its ReLU.
        """
        super().__init__()
        self.context = context
        self.layers = nn.ModuleList(
            nn.Linear(context + told + inputs, outputs)
            for inputs, outputs in pairwise((first, *hidden))
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(size) if layer_norm else nn.Identity() for size in hidden
        )
        xavier(self)

    def forward(self, context: Tensor, told: Tensor | None, first: Tensor | None) -> Tensor:
        """Features (..., B, H) of a context (B, C), (..., B, T) and (B, F)."""
        features = first
        for layer, norm in zip(self.layers, self.norms, strict=True):
            linear = cast(nn.Linear, layer)
            common, own = linear.weight.tensor_split((self.context,), 1)
            inputs = [part for part in (told, features) if part is not None]
            product = F.linear(context, common, linear.bias)
            features = F.relu(norm(product + F.linear(torch.cat(inputs, -1), own)))
        assert features is not None
        return features

    @torch.no_grad()
    def begin_as_mean(self, known: int, places: int) -> None:
        """Let places of a one-hot vector that ends the context begin as the mean of the first.

        Args:
            known: how many of its places have been trained.
            places: how many it has.
        """
        for layer in self.layers:
            of_places = cast(nn.Linear, layer).weight[:, self.context - places : self.context]
            of_places[:, known:] = of_places[:, :known].mean(1, keepdim=True)


class Heads(nn.Module):
    """Q functions that share nothing but what they are told."""

    def __init__(
        self,
        latent: int,
        task: int,
        action: int,
        hidden: Sequence[int],
        count: int,
        *,
        layer_norm: bool = False,
    ) -> None:
        """Builds `count` of them."""
        super().__init__()
        self.bodies = nn.ModuleList(
            ToldMlp(latent + task, action, 0, hidden, layer_norm=layer_norm) for _ in range(count)
        )
        self.lasts = nn.ModuleList(_last(hidden[-1], 1) for _ in range(count))

    def forward(self, latent: Tensor, task: Tensor, action: Tensor) -> Tensor:
        """Q of (B, L) latents, (B, T) tasks and (..., B, A) actions: (E, ..., B)."""
        context = torch.cat([latent, task], -1)
        values = [
            last(body(context, action, None)).squeeze(-1)
            for body, last in zip(self.bodies, self.lasts, strict=True)
        ]
        return torch.stack(values)


class Critic(nn.Module):
    """An encoder and the Q functions that stand on it."""

    def __init__(self, encoder: ObservationEncoder, heads: Heads) -> None:
        """Puts them together."""
        super().__init__()
        self.encoder = encoder
        self.heads = heads


class Actor(nn.Module):
    """An encoder of its own and a Gaussian that a tanh squeezes into [-1, 1].

    A binary gripper is apart from the Gaussian, see `cql_actions`.
    """

    def __init__(
        self,
        encoder: ObservationEncoder,
        task: int,
        action: int,
        hidden: Sequence[int],
        *,
        binary_gripper: bool = False,
        deviation: float = 0.0,
        layer_norm: bool = False,
        lookahead: int = 0,
    ) -> None:
        """Builds the layers; one for the deviation of the Gaussian only where none is given."""
        super().__init__()
        self.encoder = encoder
        self._deviation = deviation
        self.body = ToldMlp(task, 0, encoder.output_dim, hidden, layer_norm=layer_norm)
        drawn = action - binary_gripper
        self.mean = _last(hidden[-1], drawn)
        self.log_std = None if deviation else _last(hidden[-1], drawn)
        self.gripper = _last(hidden[-1], 1) if binary_gripper else None
        self._action = action
        self.later = _last(hidden[-1], lookahead * action) if lookahead else None

    def forward(self, latent: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What is done, of (B, L) latents and (B, T) tasks.

        Returns:
            Mean and logarithm of the deviation before the tanh, (B, D) each, and (B,) log odds of
            an open gripper, or None where the gripper is the last of the D.
        """
        features = self.body(task, None, latent)
        mean = self.mean(features)
        if self.log_std is None:
            log_std = torch.full_like(mean, math.log(self._deviation))
        else:
            log_std = self.log_std(features).clamp(*LOG_STD_LIMITS)
        logit = None if self.gripper is None else self.gripper(features)[:, 0]
        return mean, log_std, logit

    def say_later(self, latent: Tensor, task: Tensor) -> Tensor:
        """The scaled actions after this one, (B, lookahead, A), which nothing but training heeds.

        Args:
            latent: (B, L).
            task: (B, T).
        """
        assert self.later is not None
        later: Tensor = self.later(self.body(task, None, latent))
        return later.view(len(later), -1, self._action)


def tanh_gaussian(mean: Tensor, log_std: Tensor) -> Distribution:
    """The distribution of tanh(x), x of a diagonal Gaussian; (B,) of actions (B, A).

    It remembers the x of its last sample, so that the density is exact where tanh saturates.
    """
    normal = Normal(mean, log_std.exp(), validate_args=False)
    squeezed = TransformedDistribution(normal, [TanhTransform(cache_size=1)], validate_args=False)
    return Independent(squeezed, 1, validate_args=False)


def xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and no bias, as the authors begin."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)


def _last(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    xavier(layer)
    with torch.no_grad():
        layer.weight.mul_(_LAST_LAYER_SCALE)
    return layer
