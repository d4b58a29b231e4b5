# SPDX-License-Identifier: Apache-2.0
"""Images of every camera, and proprioception if there is any, to one latent."""

from typing import cast

import torch
from torch import Tensor, nn

from vvf_models.encoders.registry import build_encoder
from vvf_models.model_config import EncodedObservationConfig, ObservationConfig

STATE_LIMIT = 5.0  # standard deviations; what lies beyond is a fault or a foreign robot


class Normaliser(nn.Module):
    """A state in SI units to about [-5, 5], by mean and standard deviation of the training data."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ObservationConfig) -> None:
        """Takes the statistics; 0 and 1 where there are none yet."""
        super().__init__()
        mean = config.state_mean or (0.0,) * config.state_dim
        std = config.state_std or (1.0,) * config.state_dim
        # In the configuration already, so not in the weights.
        self.register_buffer('mean', torch.tensor(mean), persistent=False)
        self.register_buffer('std', torch.tensor(std), persistent=False)

    def forward(self, state: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        return ((state - self.mean) / self.std).clamp(-STATE_LIMIT, STATE_LIMIT)


def state_latent(layers: nn.Module, state: Tensor | None, hide_state: Tensor | None) -> Tensor:
    """The latent (B, L) of a normalised state (B, D), zero where `hide_state` (B,) is true.

    Raises:
        ValueError: There is no state, and the model needs one.
    """
    if state is None:
        raise ValueError('this model needs a state')
    latent: Tensor = layers(state)
    return latent if hide_state is None else latent * (~hide_state)[:, None]


class ObservationEncoder(nn.Module):
    """One image encoder per camera and one layer for the state; the latents are concatenated."""

    def __init__(self, config: EncodedObservationConfig) -> None:
        """Builds the encoders.

        Raises:
            UserError: There is no encoder of that name.
        """
        super().__init__()
        self.cameras = nn.ModuleList(
            build_encoder(
                config.encoder,
                config.image_size,
                config.latent_dim,
                width=config.width,
                fine=config.fine,
            )
            for _ in config.cameras
        )
        self.output_dim: int = sum(cast(int, encoder.output_dim) for encoder in self.cameras)
        self.state: nn.Module | None = None
        if config.state_dim:
            self.state = nn.Sequential(
                nn.Linear(config.state_dim, config.state_latent_dim),
                nn.LayerNorm(config.state_latent_dim),
                nn.Tanh(),
            )
            self.output_dim += config.state_latent_dim

    def forward(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """Encodes observations.

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) normalised, or None for a model of images only.
            hide_state: (B,) bool, where the state's latent is set to zero.

        Returns:
            (B, L) float32 latents.

        Raises:
            ValueError: The model needs a state and none is given, or cameras are missing.
        """
        parts = [encode(image) for encode, image in zip(self.cameras, images, strict=True)]
        if self.state is not None:
            parts.append(state_latent(self.state, state, hide_state))
        return torch.cat([part.float() for part in parts], -1)
