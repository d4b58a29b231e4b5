# SPDX-License-Identifier: Apache-2.0
"""Behaviour cloning of action chunks from images and proprioception.

A regression of the next `horizon` clean actions: spatial softmax per camera (arXiv 1504.00702),
chunks (arXiv 2304.13705), smooth L1. Wants demonstrations whose actions follow from what is seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vvf_models.encoders.observation import Normaliser
from vvf_models.encoders.small import SpatialSoftmaxEncoder
from vvf_models.model_config import ObservationConfig, TrainingConfig, require

_STATE_LATENT = 64
_HUBER_BETA = 0.1  # in scaled actions: below it the loss is quadratic


@dataclass(frozen=True)
class BcConfig(TrainingConfig, ObservationConfig):
    """Everything needed to rebuild and to train a policy.

    The last entry of an action is the gripper in [0, 1] (1 open); `action_scale` belongs to the
    entries before it, and one scaled unit should be a large but usual action.
    """

    # Action.
    action_dim: int = 7
    horizon: int = 6
    action_scale: tuple[float, ...] = (0.045, 0.045, 0.045, 0.3, 0.3, 0.3)  # m and rad
    dt: float = 0.2  # seconds per step of a chunk
    # Network.
    width: int = 32
    hidden: int = 256
    # Training.
    learning_rate: float = 1e-3
    gradient_clip: float = 5.0
    ema_decay: float = 0.998
    hold: float = 0.0
    held_out_fraction: float = 0.05
    evaluate_every: int = 500  # steps
    successes_only: bool = True
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
        require(
            len(self.action_scale) == self.action_dim - 1,
            f'"action_scale" must have {self.action_dim - 1} entries, one for each entry of an '
            'action but the gripper',
        )
        require(
            min(self.action_scale, default=1.0) > 0, 'every entry of "action_scale" must be above 0'
        )


class BcPolicy(nn.Module):
    """The policy network."""

    action_scale: Tensor

    def __init__(self, config: BcConfig) -> None:
        """Builds the network."""
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleList(
            SpatialSoftmaxEncoder(config.image_size, config.width) for _ in config.cameras
        )
        size = sum(3 * config.width for _ in config.cameras)
        self.state: nn.Module | None = None
        if config.state_dim:
            self.state = nn.Sequential(nn.Linear(config.state_dim, _STATE_LATENT), nn.ReLU())
            size += _STATE_LATENT
        self.head = nn.Sequential(
            nn.Linear(size, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.horizon * config.action_dim),
        )
        self.normalise = Normaliser(config)
        self.register_buffer('action_scale', torch.tensor(config.action_scale), persistent=False)

    def forward(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """Predicts scaled chunks.

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) normalised, or None for a model of images only.
            hide_state: (B,) bool, where the state's latent is set to zero.

        Returns:
            (B, horizon, action_dim), each entry about [-1, 1].
        """
        parts = [encode(image) for encode, image in zip(self.encoders, images, strict=True)]
        if self.state is not None:
            if state is None:
                raise ValueError('this model needs a state')
            latent = self.state(state)
            if hide_state is not None:
                latent = latent * (~hide_state)[:, None]
            parts.append(latent)
        chunk: Tensor = self.head(torch.cat(parts, -1)).float()
        return chunk.view(-1, self.config.horizon, self.config.action_dim)

    def actions(self, chunk: Tensor) -> Tensor:
        """Scaled chunks to actions in SI units, the gripper in [0, 1]."""
        gripper = ((chunk[..., -1:] + 1) / 2).clamp(0, 1)
        return torch.cat([chunk[..., :-1] * self.action_scale, gripper], -1)


def chunk_targets(
    actions: NDArray[np.float32],
    last: NDArray[np.int64],
    horizon: int,
    action_scale: Sequence[float],
) -> NDArray[np.float32]:
    """The scaled chunk that starts at each frame.

    Beyond the end of an episode nothing moves and the gripper stays as it was.

    Args:
        actions: (N, A), SI units, gripper in [0, 1].
        last: (N,) last frame of each frame's episode.
        horizon: Actions per chunk.
        action_scale: (A - 1,) what a scaled unit is, of all entries but the gripper.

    Returns:
        (N, horizon, A).
    """
    index = np.arange(len(actions))[:, None] + np.arange(horizon)
    beyond = index > last[:, None]
    chunks: NDArray[np.float32] = actions[np.minimum(index, last[:, None])]
    chunks[..., :-1][beyond] = 0
    chunks[..., :-1] /= np.array(action_scale, np.float32)
    chunks[..., -1] = chunks[..., -1] * 2 - 1
    return chunks


def bc_loss(prediction: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Smooth L1 between scaled chunks.

    Args:
        prediction: (B, horizon, A), with gradient.
        target: The same shape.

    Returns:
        The mean loss, and it, the error of the motion and that of the gripper for logging.
    """
    error = functional.smooth_l1_loss(prediction, target, beta=_HUBER_BETA, reduction='none')
    loss = error.mean()
    difference = (prediction.detach() - target).abs()
    return loss, {
        'loss': loss.detach(),
        'motion_error': difference[..., :-1].mean(),
        'gripper_error': difference[..., -1].mean() / 2,
    }
