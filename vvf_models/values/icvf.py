# SPDX-License-Identifier: Apache-2.0
"""Intention-conditioned value functions (ICVF): minus the discounted steps from a state to a goal.

Ghosh, Bhateja, Levine, "Reinforcement Learning from Passive Data via Latent Intentions", arXiv
2304.04782, eq. 4 to 6; the monolithic form with LayerNorm is that of ViVa, arXiv 2503.18210.
Authors' code: dibyaghosh/icvf_release (MIT), src/icvf_learner.py and src/icvf_networks.py.

Where this differs from the authors' code:
- goals across layouts, see goal_sampling.py;
- an observation is several cameras and, if wanted, proprioception, each with its own encoder whose
  latents are concatenated; goals are whole observations too;
- the heads' output is multiplied by `value_scale`, which lets a small network reach -1/(1-γ) early;
- the last layer starts at a tenth of its size;
- with `n_step` above 1 the backup is over several steps of the data, for budgets of minutes;
- AdamW at 5e-4 with warm-up and cosine instead of Adam at 5e-5 for a million steps, γ = .98 for
  episodes of some 30 steps; random shifts and colour jitter drawn anew for s, s', g and z.
"""

import copy
import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from vvf_models.encoders.small import FlattenEncoder
from vvf_models.errors import UserError


@dataclass(frozen=True)
class IcvfConfig:
    """Everything needed to rebuild and to train an ICVF."""

    # Observation.
    cameras: tuple[str, ...] = ('shoulder', 'wrist')
    image_size: int = 64  # pixels
    state_dim: int = 16  # 0: images only
    state_mean: tuple[float, ...] = ()  # from the training data
    state_std: tuple[float, ...] = ()
    # Network.
    latent_dim: int = 256  # per camera
    width: int = 32  # channels of the first convolution
    fine: bool = False  # a finer, slower first layer
    state_latent_dim: int = 64
    hidden: tuple[int, ...] = (256, 256)
    ensemble: int = 2
    layer_norm: bool = True
    value_scale: float = 10.0
    # Objective.
    discount: float = 0.98
    expectile: float = 0.9
    n_step: int = 1  # steps from s to s'; more spread news of the goal faster
    reward_scale: float = 1.0
    reward_shift: float = -1.0
    target_rate: float = 0.005
    min_heads: bool = True  # the advantage uses the smaller head for the next state
    no_intent: bool = False
    # Goals.
    p_random: float = 0.3
    p_trajectory: float = 0.5
    p_current: float = 0.2
    p_same_goal: float = 0.5
    p_task: float = 0.4
    n_goals: int = 16  # goal observations kept in the checkpoint
    # Training.
    batch_size: int = 64
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    held_out_fraction: float = 0.1
    evaluate_every: int = 200  # steps
    shift: int = 4  # pixels
    contrast: float = 0.15
    brightness: float = 0.1
    colour: float = 0.06
    state_noise: float = 0.02  # of each entry's standard deviation
    state_dropout: float = 0.0  # probability of hiding the state, so that images must do
    bfloat16: bool = True  # in the image encoders, while training
    # Found in training.
    d_max: float = 0.0  # steps to the goal that count as progress 0

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        if not self.cameras:
            raise UserError('icvf: "cameras" is empty; name at least one.')
        if self.state_mean and not len(self.state_mean) == len(self.state_std) == self.state_dim:
            raise UserError('icvf: "state_mean" and "state_std" must have "state_dim" entries.')
        if not 0 < self.discount < 1:
            raise UserError('icvf: "discount" must lie between 0 and 1.')
        if not 0 < self.expectile < 1:
            raise UserError('icvf: "expectile" must lie between 0 and 1.')
        if abs(self.p_random + self.p_trajectory + self.p_current - 1) > 1e-6:
            raise UserError('icvf: "p_random", "p_trajectory" and "p_current" must sum to 1.')
        if self.n_step < 1:
            raise UserError('icvf: "n_step" must be at least 1.')
        if self.ensemble < 1:
            raise UserError('icvf: "ensemble" must be at least 1.')


class ObservationEncoder(nn.Module):
    """Images of every camera, and the state if there is one, to one latent."""

    state_mean: Tensor
    state_std: Tensor

    def __init__(self, config: IcvfConfig) -> None:
        """Builds one encoder per camera and one layer for the state."""
        super().__init__()
        self.cameras = nn.ModuleList(
            FlattenEncoder(config.image_size, config.latent_dim, config.width, fine=config.fine)
            for _ in config.cameras
        )
        self.state: nn.Module | None = None
        self.output_dim = config.latent_dim * len(config.cameras)
        if config.state_dim:
            self.state = nn.Sequential(
                nn.Linear(config.state_dim, config.state_latent_dim),
                nn.LayerNorm(config.state_latent_dim),
                nn.Tanh(),
            )
            self.output_dim += config.state_latent_dim
        mean = config.state_mean or (0.0,) * config.state_dim
        std = config.state_std or (1.0,) * config.state_dim
        self.register_buffer('state_mean', torch.tensor(mean), persistent=False)
        self.register_buffer('state_std', torch.tensor(std), persistent=False)

    def normalise(self, state: Tensor) -> Tensor:
        """(B, D) SI units to about [-5, 5]."""
        return ((state - self.state_mean) / self.state_std).clamp(-5, 5)

    def forward(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """Encodes observations.

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) normalised, or None for a model of images only.
            hide_state: (B,) bool, where the state's latent is set to zero.

        Returns:
            (B, L) latents.
        """
        parts = [encode(image) for encode, image in zip(self.cameras, images, strict=True)]
        if self.state is not None:
            if state is None:
                raise ValueError('this model needs a state')
            latent = self.state(state)
            if hide_state is not None:
                latent = latent * (~hide_state)[:, None]
            parts.append(latent)
        return torch.cat([part.float() for part in parts], -1)


class MonolithicHead(nn.Module):
    """MLP on [s, g, z]; Dense, GELU, LayerNorm as in the authors' LayerNormMLP."""

    def __init__(self, latent_dim: int, hidden: tuple[int, ...], *, layer_norm: bool) -> None:
        """Builds the layers, with Xavier-uniform weights as the authors do."""
        super().__init__()
        self.latent_dim = latent_dim
        sizes = (3 * latent_dim, *hidden)
        self.first = nn.Linear(sizes[0], sizes[1])
        layers: list[nn.Module] = []
        for index, size in enumerate(hidden):
            if index:
                layers.append(nn.Linear(sizes[index], size))
            layers += [nn.GELU(), nn.LayerNorm(size)] if layer_norm else [nn.ReLU()]
        self.rest = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        # Small first values: the first targets are then rewards, not the network's own noise.
        with torch.no_grad():
            cast(nn.Linear, self.rest[-1]).weight.mul_(0.1)

    def forward(self, state: Tensor, goal: Tensor, intent: Tensor) -> Tensor:
        """Values (B,) of (B, L) latents."""
        first = self.first(torch.cat([state, goal, intent], -1))
        value: Tensor = self.rest(first)
        return value.squeeze(-1)

    def pairwise(self, state: Tensor, goal: Tensor) -> Tensor:
        """V(s, g, g) of every state (B, L) against every goal (G, L), as (B, G).

        The first layer is linear, so its part for s and its part for g are computed once each.
        """
        size = self.latent_dim
        weight = self.first.weight
        from_state = state @ weight[:, :size].T
        from_goal = goal @ (weight[:, size : 2 * size] + weight[:, 2 * size :]).T + self.first.bias
        value: Tensor = self.rest(from_state[:, None] + from_goal[None])
        return value.squeeze(-1)


class Icvf(nn.Module):
    """The value network: one observation encoder and an ensemble of heads."""

    def __init__(self, config: IcvfConfig) -> None:
        """Builds the network."""
        super().__init__()
        self.config = config
        self.encoder = ObservationEncoder(config)
        self.heads = nn.ModuleList(
            MonolithicHead(self.encoder.output_dim, config.hidden, layer_norm=config.layer_norm)
            for _ in range(config.ensemble)
        )

    def values(self, state: Tensor, goal: Tensor, intent: Tensor) -> Tensor:
        """V(s, g, z) of (B, L) latents, per head: (E, B)."""
        heads = [head(state, goal, intent) for head in self.heads]
        return torch.stack(heads) * self.config.value_scale

    def pairwise_values(self, state: Tensor, goal: Tensor) -> Tensor:
        """V(s, g, g) of (B, L) states against (G, L) goals, per head: (E, B, G)."""
        heads = [
            head.pairwise(state, goal) for head in self.heads if isinstance(head, MonolithicHead)
        ]
        return torch.stack(heads) * self.config.value_scale


def make_target(model: Icvf) -> Icvf:
    """A copy that is never trained, to be moved by `update_target`."""
    return copy.deepcopy(model).requires_grad_(False).eval()


@torch.no_grad()
def update_target(target: nn.Module, model: nn.Module, rate: float) -> None:
    """Polyak: target <- (1 - rate) target + rate model.

    The authors call it before the gradient step, so the target lags by one step.
    """
    torch._foreach_lerp_(list(target.parameters()), list(model.parameters()), rate)


def rewards_and_discounts(
    reached: Tensor, steps: Tensor, config: IcvfConfig
) -> tuple[Tensor, Tensor]:
    """Discounted reward on the way, and the discount of the value at its end.

    For one step as in the authors' code: by the *current* state, 0 and 0 at the goal, -1 and γ
    elsewhere.

    Args:
        reached: (B,) whether the goal is reached on the way.
        steps: (B,) until then, or to the end of the way.
        config: Discount and rewards.
    """
    arrived = reached.float()
    discount = config.discount ** steps.float()
    reward = config.reward_shift * (1 - discount) / (1 - config.discount)
    reward = reward + arrived * discount * (config.reward_scale + config.reward_shift)
    return reward, (1 - arrived) * discount


def icvf_loss(
    value: Tensor,
    next_value_goal: Tensor,
    next_value_intent: Tensor,
    value_intent: Tensor,
    goal_reached: Tensor,
    intent_reached: Tensor,
    config: IcvfConfig,
    goal_steps: Tensor | None = None,
    intent_steps: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The ICVF loss of a batch.

    Args:
        value: V_i(s, g, z), (E, B), with gradient.
        next_value_goal: V̄_i(s', g, z) of the target network, (E, B).
        next_value_intent: V̄_i(s', z, z) of the target network, (E, B).
        value_intent: V̄_i(s, z, z) of the target network, (E, B).
        goal_reached: (B,) whether s is at the goal.
        intent_reached: (B,) whether s is where the intent leads.
        config: Discount, expectile and rewards.
        goal_steps: (B,) steps until the goal is reached, or from s to s'; by default 0 where it is
            reached and 1 elsewhere.
        intent_steps: (B,) the same for the intent.

    Returns:
        The loss, summed over heads and averaged over the batch, and what is worth logging.
    """
    goal_steps = ~goal_reached if goal_steps is None else goal_steps
    intent_steps = ~intent_reached if intent_steps is None else intent_steps
    goal_reward, goal_discount = rewards_and_discounts(goal_reached, goal_steps, config)
    intent_reward, intent_discount = rewards_and_discounts(intent_reached, intent_steps, config)
    backup = goal_reward + goal_discount * next_value_goal
    next_intent = next_value_intent.amin(0) if config.min_heads else next_value_intent.mean(0)
    advantage = intent_reward + intent_discount * next_intent - value_intent.mean(0)
    if config.no_intent:
        advantage = torch.zeros_like(advantage)
    weight = expectile_weight(advantage, config.expectile)
    error = (backup.detach() - value) ** 2
    per_sample = (weight.detach() * error).sum(0)
    loss = per_sample.mean()
    info = {
        'loss': loss.detach(),
        'value_mean': value.detach().mean(),
        'value_min': value.detach().min(),
        'value_max': value.detach().max(),
        'advantage_mean': advantage.mean(),
        'advantage_abs': advantage.abs().mean(),
        'accept_probability': (advantage >= 0).float().mean(),
        'loss_reached': _masked_mean(per_sample.detach(), goal_reached),
        'loss_not_reached': _masked_mean(per_sample.detach(), ~goal_reached),
    }
    return loss, info


def expectile_weight(advantage: Tensor, expectile: float) -> Tensor:
    """The expectile where the advantage is not negative, one minus it elsewhere."""
    return torch.where(advantage >= 0, expectile, 1 - expectile)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def steps_to_goal(value: Tensor, discount: float) -> Tensor:
    """Steps d such that V = -(1 - γ^d)/(1 - γ): the fixed point's inverse, 0 for values above 0."""
    remaining = (1 + (1 - discount) * value).clamp(min=1e-4, max=1.0)
    return remaining.log() / math.log(discount)


def progress_from_value(value: Tensor, config: IcvfConfig) -> Tensor:
    """The monotone map of a value to [0, 1]: 1 at the goal, 0 at `d_max` steps or beyond."""
    return 1 - (steps_to_goal(value, config.discount) / max(config.d_max, 1e-6)).clamp(0, 1)
