# SPDX-License-Identifier: Apache-2.0
"""What policies that fit a CPU see with: a spatial softmax of each camera, and the state."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vvf_models.encoders.observation import Normaliser, state_latent
from vvf_models.encoders.small import SpatialSoftmaxEncoder
from vvf_models.model_config import ObservationConfig, TrainingConfig, require
from vvf_models.policies.chunks import ChunkConfig, ChunkScale

_STATE_LATENT = 64


@dataclass(frozen=True)
class SmallPolicyConfig(TrainingConfig, ChunkConfig, ObservationConfig):
    """What policies on a spatial softmax of each camera share: its width and their training."""

    width: int = 32  # channels
    learning_rate: float = 1e-3
    gradient_clip: float = 5.0
    ema_decay: float = 0.998
    hold: float = 0.0
    held_out_fraction: float = 0.05
    evaluate_every: int = 500  # steps
    shift: int = 2  # pixels
    contrast: float = 0.1
    brightness: float = 0.08
    state_noise: float = 0.0  # of each entry's standard deviation

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        self.check_training()
        require(self.image_size % 4 == 0, '"image_size" must be a multiple of 4')
        self.check_chunks()


class SmallPolicy(nn.Module):
    """Encoders, normaliser and units; a subclass adds what acts on `seen`.

    Attributes:
        seen_dim: Length of what is seen.
    """

    def __init__(self, config: SmallPolicyConfig) -> None:
        """Builds the encoders."""
        super().__init__()
        self.encoders = nn.ModuleList(
            SpatialSoftmaxEncoder(config.image_size, config.width) for _ in config.cameras
        )
        self.seen_dim = sum(3 * config.width for _ in config.cameras)
        self.state: nn.Module | None = None
        if config.state_dim:
            self.state = nn.Sequential(nn.Linear(config.state_dim, _STATE_LATENT), nn.ReLU())
            self.seen_dim += _STATE_LATENT
        self.normalise = Normaliser(config)
        self.actions = ChunkScale(config)

    def seen(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> list[Tensor]:
        """Latents of each camera, and of the state, (B, .) each.

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) normalised, or None for a model of images only.
            hide_state: (B,) bool, where the state's latent is set to zero.

        Raises:
            ValueError: There is no state, and the model needs one.
        """
        # A fifth faster on a CPU than the images' own layout, whatever the weights' is.
        laid_out = [image.contiguous(memory_format=torch.channels_last) for image in images]
        parts = [encode(image) for encode, image in zip(self.encoders, laid_out, strict=True)]
        if self.state is not None:
            parts.append(state_latent(self.state, state, hide_state))
        return parts
