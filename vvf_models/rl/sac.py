# SPDX-License-Identifier: Apache-2.0
"""Soft actor-critic in RLPD's form, for all seeds of an experiment at once.

Haarnoja et al., arXiv 1812.05905; Ball et al. (RLPD), arXiv 2302.02948, algorithm 1. Authors' code:
ikostrikov/rlpd (MIT), rlpd/agents/sac/sac_learner.py and configs/rlpd_config.py.

    y     = r + γ mask (min_{i in M} Q̄_i(s', a') [- temperature log π(a'|s')]),  M: a random subset
    L_Q   = mean_iB (Q_i(s, a) - y)²
    L_π   = mean_B [temperature log π(a|s) - mean_i Q_i(s, a)],  a ~ π(.|s)
    L_T   = temperature (entropy - target entropy)

The term in brackets is there only with `backup_entropy`. The delayed critics follow after every
critic step; the actor and the temperature take one step, on the last minibatch. Where this differs
from the authors' code: one layer gives mean and deviation, where theirs has one for each.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.model_config import require
from vvf_models.policies.cql_networks import LOG_STD_LIMITS
from vvf_models.rl.rlpd import Batch, minibatches
from vvf_models.rl.stacked import StackedMlp
from vvf_models.training.state_tensors import (
    load_optimizer,
    load_prefixed,
    optimizer_tensors,
    prefixed,
)
from vvf_models.values.icvf import update_target


@dataclass(frozen=True)
class AgentConfig:
    """What SAC and DrQ have in common; the defaults are RLPD's for states."""

    hidden: tuple[int, ...] = (256, 256)
    num_qs: int = 10
    num_min_qs: int = 2
    critic_layer_norm: bool = True
    backup_entropy: bool = True
    discount: float = 0.99
    target_rate: float = 0.005
    learning_rate: float = 3e-4  # of actor, critics and temperature
    initial_temperature: float = 1.0
    target_entropy: float = 0.0  # 0: minus half the length of an action
    batch_size: int = 256
    utd: int = 20  # critic steps for each step of the environment
    offline_ratio: float = 0.5

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        for name in ('num_qs', 'num_min_qs', 'batch_size', 'utd'):
            require(getattr(self, name) >= 1, f'"{name}" must be at least 1')
        require(self.num_min_qs <= self.num_qs, '"num_min_qs" must not be above "num_qs"')
        require(min(self.hidden, default=0) >= 1, '"hidden" must have sizes of at least 1')
        require(0 <= self.discount < 1, '"discount" must lie in [0, 1)')
        require(0 <= self.offline_ratio <= 1, '"offline_ratio" must lie in [0, 1]')
        for name in ('learning_rate', 'initial_temperature', 'target_rate'):
            require(getattr(self, name) > 0, f'"{name}" must be above 0')
        require(self.target_rate <= 1, '"target_rate" must be at most 1')

    def entropy_target(self, action_dim: int) -> float:
        """The entropy that the temperature holds."""
        return self.target_entropy or -action_dim / 2


@dataclass(frozen=True)
class Draws:
    """The random numbers of one critic step, and of the actor's if that is its turn.

    Attributes:
        members: (S, M) which delayed critics make the target.
        next_noise: (S, B, A) of the action that follows.
        noise: (S, B, A) of the actor's own.
    """

    members: Tensor
    next_noise: Tensor
    noise: Tensor

    @classmethod
    def make(
        cls, rngs: Sequence[np.random.Generator], config: AgentConfig, batch: int, action_dim: int
    ) -> 'Draws':
        """Draws them, each seed's from its own generator."""
        chosen = [rng.permutation(config.num_qs)[: config.num_min_qs] for rng in rngs]
        shape = (2, batch, action_dim)
        noise = np.stack([rng.standard_normal(shape, np.float32) for rng in rngs], 1)
        pair = torch.from_numpy(noise)
        return cls(torch.from_numpy(np.stack(chosen)), pair[0], pair[1])


def squashed(mean_and_log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions tanh(mean + std noise) (..., A) and their log densities (...)."""
    mean, log_std = mean_and_log_std.chunk(2, -1)
    log_std = log_std.clamp(*LOG_STD_LIMITS)
    before = mean + log_std.exp() * noise
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh²), exact where tanh saturates.
    slope = 2 * (math.log(2) - before - F.softplus(-2 * before))
    return before.tanh(), (gaussian - slope).sum(-1)


def critic_target(
    reward: Tensor, mask: Tensor, next_q: Tensor, discount: float, entropy: Tensor | None = None
) -> Tensor:
    """Targets y (S, B) from the chosen members' Q̄(s', a') (S, M, B).

    Args:
        reward: (S, B).
        mask: (S, B), 0 at the end of an episode.
        next_q: Of the members that were drawn; their least counts.
        discount: γ.
        entropy: (S, B) -temperature log π(a'|s'), with `backup_entropy`.
    """
    following = next_q.amin(1)
    if entropy is not None:
        following = following + entropy
    return reward + discount * mask * following


def critic_loss(q: Tensor, target: Tensor) -> Tensor:
    """(S,): mean over ensemble and batch of (Q - y)², Q (S, E, B), y (S, B)."""
    return (q - target[:, None]).square().mean((1, 2))


def actor_loss(q: Tensor, log_prob: Tensor, temperature: Tensor) -> Tensor:
    """(S,): temperature log π - the *mean* over the ensemble of Q, averaged over the batch."""
    return (temperature[:, None] * log_prob - q.mean(1)).mean(1)


def temperature_loss(temperature: Tensor, log_prob: Tensor, target_entropy: float) -> Tensor:
    """(S,): falls where the entropy, taken as given, is above its target."""
    return temperature * (-log_prob.detach().mean(1) - target_entropy)


class SoftActorCritic(ABC):
    """S agents that learn side by side; how they see is for SAC and DrQ to say.

    Networks are drawn from each seed's own generator, so company changes nothing.
    """

    def __init__(
        self, config: AgentConfig, seeds: int, action_dim: int, actor: nn.Module, critic: nn.Module
    ) -> None:
        """Adds delayed critics, temperatures and optimisers to an actor and its critics."""
        self.config, self.action_dim = config, action_dim
        self.actor, self.critic = actor, critic
        self.target = copy.deepcopy(critic).requires_grad_(False)
        start = math.log(config.initial_temperature)
        self.log_temperature = torch.full((seeds,), start, requires_grad=True)
        rate = config.learning_rate
        self.optimizers = {
            'critic': torch.optim.Adam(self.critic.parameters(), rate),
            'actor': torch.optim.Adam(self.actor.parameters(), rate),
            'temperature': torch.optim.Adam([self.log_temperature], rate),
        }

    @abstractmethod
    def look(self, observation: Tensor, critic: nn.Module) -> Tensor:
        """What the critics' encoder makes of observations (S, B, ...): (S, B, F)."""

    @abstractmethod
    def policy(self, features: Tensor) -> Tensor:
        """Mean and log deviation (S, B, 2 A) of the actor, which learns nothing of the encoder."""

    @abstractmethod
    def q(
        self, features: Tensor, action: Tensor, critic: nn.Module, members: Tensor | None = None
    ) -> Tensor:
        """Q (S, E, B) of what was looked at and actions (S, B, A); of some members, if named."""

    def prepare(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> Batch:
        """A batch before it is learned from."""
        return batch

    @torch.no_grad()
    def act(
        self, observation: NDArray[Any], noise: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Actions (S, n, A) in [-1, 1] of (S, n, ...); the mode of the policy without noise."""
        out = self.policy(self.look(torch.from_numpy(observation), self.critic))
        if noise is None:
            return np.asarray(out.chunk(2, -1)[0].tanh().numpy())
        return np.asarray(squashed(out, torch.from_numpy(noise))[0].numpy())

    def update(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> dict[str, Tensor]:
        """`utd` critic steps on a batch (S, utd B, ...), then one of actor and temperature.

        Returns:
            What is worth logging, the mean over seeds.
        """
        part, draws, info = batch, None, dict[str, Tensor]()
        for part in minibatches(self.prepare(batch, rngs), self.config.utd):
            draws = Draws.make(rngs, self.config, part['reward'].shape[1], self.action_dim)
            info = self.update_critic(part, draws)
        assert draws is not None
        return {**info, **self.update_actor(part, draws)}

    def update_critic(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """One step of the critics; the delayed ones follow."""
        config, following = self.config, batch['next_observation']
        with torch.no_grad():
            out = self.policy(self.look(following, self.critic))
            action, log_prob = squashed(out, draws.next_noise)
            features = self.look(following, self.target)
            next_q = self.q(features, action, self.target, draws.members)
            temperature = self.log_temperature.exp()[:, None]
            entropy = -temperature * log_prob if config.backup_entropy else None
            target = critic_target(batch['reward'], batch['mask'], next_q, config.discount, entropy)
        features = self.look(batch['observation'], self.critic)
        q = self.q(features, batch['action'], self.critic)
        loss = critic_loss(q, target).sum()
        self._step('critic', loss)
        update_target(self.target, self.critic, config.target_rate)
        return {'loss': loss.detach() / len(q), 'q_mean': q.detach().mean()}

    def update_actor(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """One step of the actor and one of the temperature."""
        # The critics' weights are not learned here: no gradient of theirs is computed.
        self.critic.requires_grad_(False)
        features = self.look(batch['observation'], self.critic)
        action, log_prob = squashed(self.policy(features), draws.noise)
        q = self.q(features, action, self.critic)
        self.critic.requires_grad_(True)
        self._step('actor', actor_loss(q, log_prob, self.log_temperature.exp().detach()).sum())
        temperature = self.log_temperature.exp()
        wanted = self.config.entropy_target(self.action_dim)
        self._step('temperature', temperature_loss(temperature, log_prob, wanted).sum())
        return {'entropy': -log_prob.detach().mean(), 'temperature': temperature.detach().mean()}

    def _step(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """Weights and optimisers: what a resumed run needs."""
        result = {'log_temperature': self.log_temperature.detach()}
        for name in ('actor', 'critic', 'target'):
            result |= prefixed(getattr(self, name), name)
        for name, optimizer in self.optimizers.items():
            result |= {f'{name}_{k}': v for k, v in optimizer_tensors(optimizer).items()}
        return result

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        with torch.no_grad():
            self.log_temperature.copy_(tensors['log_temperature'])
        for name in ('actor', 'critic', 'target'):
            load_prefixed(getattr(self, name), tensors, name)
        for name, optimizer in self.optimizers.items():
            start = f'{name}_'
            mine = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            load_optimizer(optimizer, mine)


class Sac(SoftActorCritic):
    """S agents that learn from states (D,)."""

    def __init__(
        self,
        config: AgentConfig,
        rngs: Sequence[np.random.Generator],
        state_dim: int,
        action_dim: int,
    ) -> None:
        """Draws the networks."""
        actor = StackedMlp(rngs, 1, (state_dim, *config.hidden, 2 * action_dim))
        critic = StackedMlp(
            rngs,
            config.num_qs,
            (state_dim + action_dim, *config.hidden, 1),
            layer_norm=config.critic_layer_norm,
        )
        super().__init__(config, len(rngs), action_dim, actor, critic)

    def look(self, observation: Tensor, critic: nn.Module) -> Tensor:
        """The states themselves."""
        return observation

    def policy(self, features: Tensor) -> Tensor:
        """Mean and log deviation."""
        out: Tensor = self.actor(features)
        return out[:, 0]

    def q(
        self, features: Tensor, action: Tensor, critic: nn.Module, members: Tensor | None = None
    ) -> Tensor:
        """Q of states and actions."""
        out: Tensor = critic(torch.cat([features, action], -1), members)
        return out.squeeze(-1)
