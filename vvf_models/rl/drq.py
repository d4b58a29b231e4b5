# SPDX-License-Identifier: Apache-2.0
"""DrQ in RLPD's form: soft actor-critic from images, with random crops.

Yarats, Kostrikov, Fergus, arXiv 2004.13649; Ball et al. (RLPD), arXiv 2302.02948, appendix on
pixels. Authors' code: ikostrikov/rlpd (MIT), rlpd/agents/drq/drq_learner.py, rlpd/networks/
(D4PG's encoder) and configs/rlpd_pixels_config.py. Losses and order of steps are those of sac.py.

The encoder is learned by the critics alone; the actor looks through it with a stop-gradient and has
its own layer behind it. Observations and what follows them are cropped independently, at random,
after padding by 4 pixels with their own edge. No frames are stacked: states of these tasks show in
one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from vvf_models.data.augment import shift_images
from vvf_models.model_config import require
from vvf_models.rl.rlpd import Batch
from vvf_models.rl.sac import AgentConfig, SoftActorCritic
from vvf_models.rl.stacked import StackedMlp


@dataclass(frozen=True)
class DrqConfig(AgentConfig):
    """The defaults are those of RLPD for pixels, as ViVa-ICVF's authors use them."""

    num_min_qs: int = 1
    backup_entropy: bool = False
    initial_temperature: float = 0.1
    utd: int = 1
    features: tuple[int, ...] = (32, 64, 128, 256)
    latent_dim: int = 50
    crop_padding: int = 4  # pixels

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        require(min(self.features, default=0) >= 1, '"features" must have sizes of at least 1')
        require(self.latent_dim >= 1, '"latent_dim" must be at least 1')
        require(self.crop_padding >= 0, '"crop_padding" must not be negative')


class D4pgEncoder(nn.Sequential):
    """Convolutions of 3 x 3, stride 2, no padding, ReLU; flattened. Input uint8 (B, C, H, W)."""

    def __init__(self, channels: int, features: Sequence[int]) -> None:
        """Builds the layers."""
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((channels, *features)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2), nn.ReLU()]
        super().__init__(*layers, nn.Flatten())
        for part in self:
            if isinstance(part, nn.Conv2d):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(cast(Tensor, part.bias))

    def forward(self, input: Tensor) -> Tensor:
        """Features (B, F)."""
        features = input.float() / 255
        for layer in self:
            features = layer(features)
        return features


def random_crop(images: Tensor, padding: int, rng: np.random.Generator) -> Tensor:
    """Each of (B, C, H, W) moved by up to `padding` pixels either way; its edge fills the rest."""
    offsets = rng.integers(-padding, padding + 1, (len(images), 2))
    return shift_images(images, torch.from_numpy(offsets))


class _Networks(nn.Module):
    """An encoder, the layer behind it, and what stands on that."""

    def __init__(
        self, encoder: nn.Module | None, features: int, latent: int, head: nn.Module
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.project = nn.Sequential(nn.Linear(features, latent), nn.LayerNorm(latent), nn.Tanh())
        self.head = head
        nn.init.xavier_uniform_(cast(nn.Linear, self.project[0]).weight)


class Drq(SoftActorCritic):
    """One agent that learns from images; everything has a leading axis of 1, as of one seed."""

    config: DrqConfig
    actor: _Networks
    critic: _Networks

    def __init__(
        self,
        config: DrqConfig,
        rngs: Sequence[np.random.Generator],
        shape: tuple[int, ...],
        action_dim: int,
    ) -> None:
        """Draws the networks.

        Args:
            config: Sizes and rates.
            rngs: The seed's generator, alone.
            shape: (C, H, W) of an observation.
            action_dim: Length of an action.

        Raises:
            ValueError: There are several seeds.
        """
        if len(rngs) != 1:
            raise ValueError('images are learned from by one seed at a time')
        torch.manual_seed(int(rngs[0].integers(2**31)))
        encoder = D4pgEncoder(shape[0], config.features)
        with torch.no_grad():
            features = encoder(torch.zeros(1, *shape)).shape[1]
        latent, hidden = config.latent_dim, config.hidden
        heads = StackedMlp(
            rngs,
            config.num_qs,
            (latent + action_dim, *hidden, 1),
            layer_norm=config.critic_layer_norm,
        )
        body = StackedMlp(rngs, 1, (latent, *hidden, 2 * action_dim))
        critic = _Networks(encoder, features, latent, heads)
        super().__init__(config, 1, action_dim, _Networks(None, features, latent, body), critic)

    def prepare(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> Batch:
        """The same with its images cropped."""
        cropped = {
            name: random_crop(batch[name][0], self.config.crop_padding, rngs[0])[None]
            for name in ('observation', 'next_observation')
        }
        return {**batch, **cropped}

    def look(self, observation: Tensor, critic: nn.Module) -> Tensor:
        """Features (1, B, F) of (1, B, C, H, W) uint8."""
        encoder = cast(_Networks, critic).encoder
        assert encoder is not None
        return cast(Tensor, encoder(observation[0]))[None]

    def policy(self, features: Tensor) -> Tensor:
        """Mean and log deviation; what the encoder gave is taken as given."""
        out: Tensor = self.actor.head(self.actor.project(features.detach()))
        return out[:, 0]

    def q(
        self, features: Tensor, action: Tensor, critic: nn.Module, members: Tensor | None = None
    ) -> Tensor:
        """Q of features and actions."""
        networks = cast(_Networks, critic)
        out: Tensor = networks.head(torch.cat([networks.project(features), action], -1), members)
        return out.squeeze(-1)
