# SPDX-License-Identifier: Apache-2.0
"""Behaviour cloning of action chunks from images and proprioception.

A regression of the next `horizon` clean actions: spatial softmax per camera (arXiv 1504.00702),
chunks (arXiv 2304.13705), smooth L1. Wants demonstrations whose actions follow from what is seen.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vvf_models.policies.chunks import mean_errors
from vvf_models.policies.small import SmallPolicy, SmallPolicyConfig

_HUBER_BETA = 0.1  # in scaled actions: below it the loss is quadratic


@dataclass(frozen=True)
class BcConfig(SmallPolicyConfig):
    """Everything needed to rebuild and to train a policy."""

    hidden: int = 256
    successes_only: bool = True


class BcPolicy(SmallPolicy):
    """The policy network."""

    def __init__(self, config: BcConfig) -> None:
        """Builds the network."""
        super().__init__(config)
        self.config = config
        self.head = nn.Sequential(
            nn.Linear(self.seen_dim, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.horizon * config.action_dim),
        )

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
        parts = self.seen(images, state, hide_state)
        chunk: Tensor = self.head(torch.cat(parts, -1)).float()
        return chunk.view(-1, self.config.horizon, self.config.action_dim)


def bc_loss(prediction: Tensor, target: Tensor, grips: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Smooth L1 between scaled chunks.

    Args:
        prediction: (B, horizon, A), with gradient.
        target: The same shape.
        grips: (A,) bool, which entries are grippers.

    Returns:
        The mean loss, and it, the error of the motion and that of the gripper for logging.
    """
    error = functional.smooth_l1_loss(prediction, target, beta=_HUBER_BETA, reduction='none')
    loss = error.mean()
    motion, gripper = mean_errors(prediction, target, grips)
    return loss, {'loss': loss.detach(), 'motion_error': motion, 'gripper_error': gripper}


def lookahead_loss(
    prediction: Tensor, target: Tensor, grips: Tensor, horizon: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """`bc_loss` of the first actions of a chunk, and of those after them as much again.

    Args:
        prediction: (B, horizon + lookahead, A), with gradient.
        target: The same shape.
        grips: (A,) bool, which entries are grippers.
        horizon: How many actions are for execution; the later ones are only learned.

    Returns:
        The sum of both means, and what `bc_loss` logs of the first, with the later ones' loss.
    """
    loss, info = bc_loss(prediction[:, :horizon], target[:, :horizon], grips)
    if target.shape[1] > horizon:
        later, _ = bc_loss(prediction[:, horizon:], target[:, horizon:], grips)
        loss = loss + later
        info |= {'loss': loss.detach(), 'later_loss': later.detach()}
    return loss, info
