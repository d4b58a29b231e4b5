# SPDX-License-Identifier: Apache-2.0
"""Value-implicit pre-training (VIP): minus the distance of embeddings to the goal's.

Ma et al., "VIP: Towards Universal Visual Reward and Representation via Value-Implicit
Pre-Training", arXiv 2210.00030, eq. 5; authors' code: facebookresearch/vip (CC BY-NC 4.0),
vip/trainer.py and vip/utils/data_loaders.py. The object-aware VIP fine-tunes it with temporal
cycles (tcc.py), copies of the videos without the robot, and another law of the first frame
(clip_sampling.py): see config/models/vip_object_aware.yaml.

The unit of a value is a distance in the embedding, not a step. The objective is the dual of
reaching the goal at -1 per step, so V = -(discounted steps) is what it *means*, but nothing ties
its scale: a distance is 0 at the goal whatever the scale, no value is regressed on a return, and on
clips shorter than 1/(1 - γ) steps only negatives and penalties keep the embedding from growing. So
the scale is measured after training and kept in the configuration: `step_gain`, the mean of
γ V(o') - V(o) over the steps of training successes, is the model's `step_cost`. An advantage,
-step_cost + γ V(o') - V(o), is then 0 for the demonstrations' mean step; it is V / step_gain that
counts discounted steps.

Where this differs from the authors' code:
- several cameras: one encoder sees them all, and a value is the mean over cameras (each against the
  goal as that camera sees it) and over goals; their wrapper takes the best camera;
- goals across layouts with `p_task`, see clip_sampling.py. Negatives and such goals pull against
  each other: a negative is a frame of another layout, which is held to be far from the goal for
  good, so layouts drift apart until a value tells which layout it is and little else;
- a log-sum-exp without their ε = 1e-8, which a 32-bit exponential overflows before it matters;
- images at the configuration's size; their network scales to 256 px and crops to 224 px;
- AdamW with warm-up and cosine, a moving average of the weights where `ema_decay` asks for one.
As in the paper it sees images only: `state_dim` is set to 0 when it is trained.
"""

import math
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.encoders.registry import build_encoder
from vvf_models.model_config import require
from vvf_models.values import clip_sampling, tcc
from vvf_models.values.base import Goal, ValueConfig, ValueModel

Values = TypeVar('Values', Tensor, NDArray[np.floating])


@dataclass(frozen=True)
class VipConfig(ValueConfig):
    """Everything needed to rebuild and to train a VIP."""

    state_dim: int = 0
    # Network.
    embedding_dim: int = 64  # a linear layer on the encoder's latent; 0: the latent itself
    # Objective.
    discount: float = 0.98
    negatives: int = 3  # shuffles of the batch's neighbours against its goals
    l1: float = 0.0  # weight of the embeddings' norms
    l2: float = 0.0
    # Clips.
    views: tuple[str, ...] = ()  # more camera streams to learn from, such as robot-removed copies
    same_disturbance: bool = True  # of a clip's frames: "rctraj"; otherwise "rc"
    first_frame: str = 'uniform'  # or 'exponential' or 'beta', on normalised time
    first_frame_rate: float = 5.0  # above 0: late frames are likelier; below 0: early ones
    first_frame_alpha: float = 2.0
    first_frame_beta: float = 2.0
    p_task: float = 0.0  # goals of other episodes; better without negatives
    # Temporal cycles.
    tcc_weight: float = 0.0
    tcc_loss: str = 'regression_mse_var'
    tcc_videos: int = 4
    tcc_frames: int = 20  # of each video; fewer where a video is shorter
    tcc_cycles: int = 20  # 0: all pairs of videos from every frame, the deterministic mode
    tcc_cycle_length: int = 4  # videos that a random cycle goes through
    tcc_similarity: str = 'l2'  # or 'cosine'
    tcc_temperature: float = 0.1
    tcc_variance_weight: float = 0.001
    tcc_label_smoothing: float = 0.1
    tcc_huber_delta: float = 0.1
    # Found in training, in the unit of the value.
    d_max: float = 0.0  # distance that counts as progress 0
    d_min: float = 0.0  # distance that counts as progress 1
    step_gain: float = 1.0

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        require(0 < self.discount < 1, '"discount" must lie between 0 and 1')
        require(0 <= self.p_task <= 1, '"p_task" must lie in [0, 1]')
        for name in ('embedding_dim', 'negatives', 'l1', 'l2', 'tcc_weight', 'tcc_cycles'):
            require(getattr(self, name) >= 0, f'"{name}" must not be negative')
        for name in ('first_frame_alpha', 'first_frame_beta', 'tcc_temperature', 'step_gain'):
            require(getattr(self, name) > 0, f'"{name}" must be above 0')
        for name, known in (
            ('first_frame', clip_sampling.LAWS),
            ('tcc_loss', tcc.LOSSES),
            ('tcc_similarity', tcc.SIMILARITIES),
        ):
            require(getattr(self, name) in known, f'"{name}" must be one of {", ".join(known)}')
        require(self.tcc_frames >= 2, '"tcc_frames" must be at least 2')
        require(
            2 <= self.tcc_cycle_length <= self.tcc_videos,
            '"tcc_cycle_length" must be at least 2 and at most "tcc_videos"',
        )
        require(
            not (self.freeze_encoder and self.embedding_dim == 0),
            '"freeze_encoder" leaves nothing to train; set "embedding_dim" above 0',
        )


class Vip(ValueModel):
    """One image encoder for all cameras, and a linear layer to the embedding."""

    kind = 'vip'
    takes_goal = True
    config: VipConfig

    def __init__(self, config: VipConfig) -> None:
        """Builds the network.

        Raises:
            UserError: There is no encoder of that name.
        """
        super().__init__(replace(config, state_dim=0, state_mean=(), state_std=()))
        self.encoder = build_encoder(
            config.encoder,
            config.image_size,
            config.latent_dim,
            width=config.width,
            fine=config.fine,
        )
        features = cast(int, self.encoder.output_dim)
        self.project: nn.Module = nn.Identity()
        if config.embedding_dim:
            self.project = nn.Linear(features, config.embedding_dim)
        self.embedding_size = config.embedding_dim or features

    def embed_images(self, images: Tensor) -> Tensor:
        """φ(o), (B, D) float32, of (B, 3, S, S) in [-1, 1] from any camera."""
        features = self.encoder(images).float()
        # Neighbouring frames differ by less than the embedding's bfloat16 has digits for.
        with torch.autocast(features.device.type, enabled=False):
            embeddings: Tensor = self.project(features)
        return embeddings

    def encode(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """Embeddings of every camera in turn, (B, cameras D); the state is not looked at."""
        return torch.cat([self.embed_images(image) for image in images], 1)

    @property
    def latent_size(self) -> int:
        """Length of an observation's latent."""
        return self.embedding_size * len(self.config.cameras)

    def values(self, latents: Tensor, goal: Goal) -> Tensor:
        """Minus the distance to the goal, the mean over cameras and goals: (1, B).

        Raises:
            ValueError: The goal has no latents.
        """
        if goal.latents is None:
            raise ValueError('a VIP needs goal observations')
        here, there = (
            part.view(len(part), -1, self.embedding_size).transpose(0, 1)
            for part in (latents, goal.latents)
        )
        # By differences: by products, the distance of two near frames would be rounding.
        distances = torch.cdist(here, there, compute_mode='donot_use_mm_for_euclid_dist')
        return -distances.mean((0, 2))[None]

    def progress(self, value: Tensor) -> Tensor:
        """1 at a distance of `d_min` or less, 0 at `d_max` or more, linear between."""
        span = max(self.config.d_max - self.config.d_min, 1e-6)
        return ((self.config.d_max + value) / span).clamp(0, 1)

    @property
    def discount(self) -> float:
        """γ."""
        return self.config.discount

    @property
    def step_cost(self) -> float:
        """What a step of the training successes gains, in embedding distance."""
        return self.config.step_gain


def difference_reward(values: Values) -> Values:
    """The reward at use, V(o_{t+1}) - V(o_t) (the paper's section 4.3): (T,) to (T - 1,)."""
    return values[1:] - values[:-1]


def vip_loss(
    first: Tensor,
    goal: Tensor,
    here: Tensor,
    following: Tensor,
    shuffles: Tensor,
    config: VipConfig,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The VIP loss of a batch of clips; gradients flow through every embedding.

    With V(o) = -|φ(o) - φ(g)| and r = -1:
    (1 - γ) mean(-V(o_0)) + log mean exp(-(r + γ V(o_{k+1}) - V(o_k))), and the second term again
    over all shuffled pairs (o_k, o_{k+1}) against the goals in place.

    Args:
        first: φ(o_0), (B, D).
        goal: φ(g), (B, D).
        here: φ(o_k), (B, D).
        following: φ(o_{k+1}), (B, D).
        shuffles: (m, B) int64 permutations of the batch, one for each negative; m may be 0.
        config: Discount and penalties.

    Returns:
        The loss, and what is worth logging.
    """

    def value(embedding: Tensor) -> Tensor:
        distance: Tensor = torch.linalg.vector_norm(embedding - goal, dim=-1)
        return -distance

    def surprise(now: Tensor, then: Tensor) -> Tensor:
        return 1 - config.discount * value(then) + value(now)

    start = value(first)
    gain = surprise(here, following)
    attraction = (1 - config.discount) * -start.mean()
    loss = attraction + _log_mean_exp(gain)
    info = {
        'value_start': start.detach().mean(),
        'step_up': (value(following) > value(here)).float().mean(),
        'attraction': attraction.detach(),
        'repulsion': (loss - attraction).detach(),
    }
    if len(shuffles):
        other = torch.cat([surprise(here[order], following[order]) for order in shuffles])
        negative = _log_mean_exp(other)
        loss = loss + negative
        info['negatives'] = negative.detach()
    if config.l1 or config.l2:
        every = torch.cat([first, goal, here, following])
        for order, weight in ((1, config.l1), (2, config.l2)):
            loss = loss + weight * torch.linalg.vector_norm(every, ord=order, dim=-1).mean()
    return loss, {'loss': loss.detach(), **info}


def _log_mean_exp(values: Tensor) -> Tensor:
    return values.logsumexp(0) - math.log(len(values))
