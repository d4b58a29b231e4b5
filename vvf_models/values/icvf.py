# SPDX-License-Identifier: Apache-2.0
"""Intention-conditioned value functions (ICVF): minus the discounted steps from a state to a goal.

Ghosh, Bhateja, Levine, "Reinforcement Learning from Passive Data via Latent Intentions", arXiv
2304.04782, eq. 4 to 6; the monolithic form with LayerNorm is that of ViVa, arXiv 2503.18210.
Authors' code: dibyaghosh/icvf_release (MIT), src/icvf_learner.py and src/icvf_networks.py. Phase 1
of V-PTR (arXiv 2309.13041: video, multilinear) and ViVa's pre-training on video are configurations
of it: see config/models/icvf_vptr.yaml and config/models/icvf_viva.yaml.

Where this differs from the authors' code:
- goals across layouts, see goal_sampling.py;
- an observation is several cameras and, if wanted, proprioception, each with its own encoder whose
  latents are concatenated; goals are whole observations too;
- the heads' output is multiplied by `value_scale`, which lets a small network reach -1/(1-γ) early;
- the last layer starts at a tenth of its size;
- with `n_step` above 1 the backup is over several steps of the data, for budgets of minutes;
- an episode that is known to succeed may rest in its last frame, and every frame in which the task
  is done counts as the goal in any other such frame of the episode;
- with `no_intent`, latents of z are set to one, not its pixels;
- AdamW at 5e-4 with ε = 1e-8, warm-up and cosine instead of Adam at 5e-5 with ε = 3.125e-4 for a
  million steps, γ = .98 for episodes of some 30 steps; random shifts and colour jitter drawn anew
  for s, s', g and z, but once where g is z.
"""

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from vvf_models.encoders.observation import ObservationEncoder
from vvf_models.model_config import require
from vvf_models.values.base import Goal, ValueConfig, ValueModel


@dataclass(frozen=True)
class IcvfConfig(ValueConfig):
    """Everything needed to rebuild and to train an ICVF."""

    # Network.
    head: str = 'monolithic'  # or 'multilinear'
    hidden: tuple[int, ...] = (256, 256)
    ensemble: int = 2
    layer_norm: bool = True
    dropout: float = 0.0  # behind each hidden layer of the heads; V-PTR has it
    value_scale: float = 10.0
    # Objective.
    discount: float = 0.98
    expectile: float = 0.9
    n_step: int = 1  # steps from s to s'; more spread news of the goal faster
    reward_scale: float = 1.0
    reward_shift: float = -1.0
    target_rate: float = 0.005
    periodic_target: bool = False  # copy the weights every 1 / target_rate steps instead
    min_heads: bool = True  # the advantage uses the smaller head for the next state
    no_intent: bool = False  # z is all ones and weights do not depend on it: an ablation
    # Goals.
    p_random: float = 0.3
    p_trajectory: float = 0.5
    p_current: float = 0.2
    p_same_goal: float = 0.5
    p_task: float = 0.4
    intent_same_trajectory: bool = False
    max_distance: int = 0  # steps from s to a goal of its own trajectory; 0: any
    goal_shift: int = 0  # frames from the goal that is reached to the one that is shown
    # Found in training.
    d_max: float = 0.0  # steps to the goal that count as progress 0

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        require(self.head in HEADS, f'"head" must be one of {", ".join(HEADS)}')
        require(0 < self.discount < 1, '"discount" must lie between 0 and 1')
        require(0 < self.expectile < 1, '"expectile" must lie between 0 and 1')
        total = self.p_random + self.p_trajectory + self.p_current
        require(abs(total - 1) < 1e-6, '"p_random", "p_trajectory" and "p_current" must sum to 1')
        require(0 <= self.dropout < 1, '"dropout" must lie in [0, 1)')
        require(self.n_step >= 1, '"n_step" must be at least 1')
        require(self.ensemble >= 1, '"ensemble" must be at least 1')
        require(self.max_distance >= 0, '"max_distance" must not be negative')


def _mlp(sizes: tuple[int, ...], *, layer_norm: bool, dropout: float) -> nn.Sequential:
    """Dense, GELU, LayerNorm as in the authors' LayerNormMLP; without it Dense and ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers.append(nn.Linear(inputs, outputs))
        layers += [nn.GELU(), nn.LayerNorm(outputs)] if layer_norm else [nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def _xavier(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)


class MonolithicHead(nn.Module):
    """MLP on [s, g, z]."""

    def __init__(
        self, latent_dim: int, hidden: tuple[int, ...], *, layer_norm: bool, dropout: float = 0.0
    ) -> None:
        """Builds the layers, with Xavier-uniform weights as the authors do."""
        super().__init__()
        self.latent_dim = latent_dim
        layers = _mlp((3 * latent_dim, *hidden), layer_norm=layer_norm, dropout=dropout)
        self.first = cast(nn.Linear, layers[0])
        self.rest = nn.Sequential(*list(layers)[1:], nn.Linear(hidden[-1], 1))
        _xavier(self)
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


class MultilinearHead(nn.Module):
    """phi(s), psi(g) and T(psi(z)), bound by two linear maps: eq. 6, in the authors' gated form.

    V = sum_k [A(t * p)]_k [B(t * q)]_k with p = phi(s), q = psi(g), t = T(psi(z)); psi is shared.
    """

    def __init__(
        self, latent_dim: int, hidden: tuple[int, ...], *, layer_norm: bool, dropout: float = 0.0
    ) -> None:
        """Builds the three networks and the two maps."""
        super().__init__()
        self.state = _mlp((latent_dim, *hidden), layer_norm=layer_norm, dropout=dropout)
        self.goal = _mlp((latent_dim, *hidden), layer_norm=layer_norm, dropout=dropout)
        self.intent = _mlp((hidden[-1], *hidden), layer_norm=layer_norm, dropout=dropout)
        self.left = nn.Linear(hidden[-1], hidden[-1])
        self.right = nn.Linear(hidden[-1], hidden[-1])
        _xavier(self)
        with torch.no_grad():  # as in the monolithic head; two maps share the tenth
            for linear in (self.left, self.right):
                linear.weight.mul_(0.1**0.5)

    def forward(self, state: Tensor, goal: Tensor, intent: Tensor) -> Tensor:
        """Values (B,) of (B, L) latents."""
        gate = self.intent(self.goal(intent))
        value: Tensor = self.left(gate * self.state(state)) * self.right(gate * self.goal(goal))
        return value.sum(-1)

    def pairwise(self, state: Tensor, goal: Tensor) -> Tensor:
        """V(s, g, g) of every state (B, L) against every goal (G, L), as (B, G)."""
        shown = self.goal(goal)
        gate = self.intent(shown)
        right = self.right(gate * shown)  # (G, K)
        left = self.left(gate[None] * self.state(state)[:, None])  # (B, G, K)
        value: Tensor = (left * right).sum(-1)
        return value


HEADS: dict[str, type[MonolithicHead] | type[MultilinearHead]] = {
    'monolithic': MonolithicHead,
    'multilinear': MultilinearHead,
}


class Icvf(ValueModel):
    """The value network: one observation encoder and an ensemble of heads."""

    kind = 'icvf'
    takes_goal = True
    config: IcvfConfig

    def __init__(self, config: IcvfConfig) -> None:
        """Builds the network."""
        super().__init__(config)
        self.encoder = ObservationEncoder(config)
        make = HEADS[config.head]
        self.heads = nn.ModuleList(
            make(
                self.encoder.output_dim,
                config.hidden,
                layer_norm=config.layer_norm,
                dropout=config.dropout,
            )
            for _ in range(config.ensemble)
        )

    def encode(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """Latents (B, L) of observations; see `ValueModel.encode`."""
        latents: Tensor = self.encoder(images, state, hide_state)
        return latents

    @property
    def latent_size(self) -> int:
        """Length of an observation's latent."""
        return self.encoder.output_dim

    def intent_values(self, state: Tensor, goal: Tensor, intent: Tensor) -> Tensor:
        """V(s, g, z) of (B, L) latents, per head: (E, B)."""
        if self.config.no_intent:
            intent = torch.ones_like(intent)
        heads = [head(state, goal, intent) for head in self.heads]
        return torch.stack(heads) * self.config.value_scale

    def pairwise_values(self, state: Tensor, goal: Tensor) -> Tensor:
        """V(s, g, g) of (B, L) states against (G, L) goals, per head: (E, B, G)."""
        if self.config.no_intent:
            size = len(state), len(goal)
            goals = goal.repeat(size[0], 1)
            values = self.intent_values(state.repeat_interleave(size[1], 0), goals, goals)
            return values.view(-1, *size)
        heads = [
            head.pairwise(state, goal)
            for head in self.heads
            if isinstance(head, MonolithicHead | MultilinearHead)
        ]
        return torch.stack(heads) * self.config.value_scale

    def values(self, latents: Tensor, goal: Goal) -> Tensor:
        """V(s, g, g), the mean over goals, per head: (E, B).

        Raises:
            ValueError: The goal has no latents.
        """
        if goal.latents is None:
            raise ValueError('an ICVF needs goal observations')
        return self.pairwise_values(latents, goal.latents).mean(-1)

    def progress(self, value: Tensor) -> Tensor:
        """1 at the goal, 0 at `d_max` steps or beyond."""
        return progress_from_value(value, self.config)

    @property
    def discount(self) -> float:
        """γ."""
        return self.config.discount

    @property
    def step_cost(self) -> float:
        """A value counts steps."""
        return -self.config.reward_shift


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
