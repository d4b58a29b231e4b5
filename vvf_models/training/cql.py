# SPDX-License-Identifier: Apache-2.0
"""Trains a policy by CQL: its steps, its delayed critics, batches of prior and target data."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from vvf_models.data.frames import FAILURE, SUCCESS, UNKNOWN, FrameStore
from vvf_models.errors import UserError
from vvf_models.policies.bc import lookahead_loss
from vvf_models.policies.chunks import next_actions
from vvf_models.policies.cql import Cql, CqlConfig, check_one_arm, scale_of, scaled_actions
from vvf_models.policies.cql_actions import (
    ActionDistribution,
    expected_q,
    shut_or_open,
    soft_q,
    with_grips,
)
from vvf_models.policies.cql_losses import (
    actor_loss,
    backup_target,
    cloning_loss,
    conservative_loss,
    critic_loss,
    temperature_loss,
)
from vvf_models.policies.cql_networks import Critic
from vvf_models.training.actions import check_actions, with_meaning_of
from vvf_models.training.common import with_state_statistics
from vvf_models.training.learner import Batch, Draw, Indices, Learner
from vvf_models.training.phases import ToldTasks, draw_mixed, prior_and_target, with_tasks
from vvf_models.training.transitions import transitions
from vvf_models.values.icvf import update_target

_INSIDE = 0.98  # of an action that is cloned: tanh reaches 1 only at infinity


class CqlLearner(Learner):
    """A policy, its critics, their delayed copies, and the steps of all episodes."""

    kind = 'cql'
    title = 'Policy and Q functions, by conservative Q-learning'
    model: Cql
    config: CqlConfig
    task_vectors: Tensor
    updates: Tensor

    def __init__(
        self,
        model: Cql,
        config: CqlConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Labels the steps and scales the actions."""
        super().__init__(model, config, store, episodes, seed)
        assert store.actions is not None
        self.target = copy.deepcopy(model.critic).requires_grad_(False).eval()
        self.actions = torch.from_numpy(scaled_actions(store.actions, config))
        if config.binary_gripper:
            self.actions = shut_or_open(self.actions)
        self._grips = torch.arange(config.action_dim) == config.action_dim - 1
        found = transitions(store, config)
        self.label = torch.from_numpy(found.label)
        self.last = store.last
        self.told = ToldTasks(store, config)
        self.episode_of = store.episode_of
        self.ends = store.ends
        self.register_buffer('task_vectors', model.embed(self.told.names), persistent=False)
        of_splits = {
            split: found.frames[np.isin(self.episode_of[found.frames], chosen)]
            for split, chosen in zip(('training', 'held_out'), episodes, strict=True)
        }
        self.frames = {s: prior_and_target(store, frames) for s, frames in of_splits.items()}
        self.cloned = {
            split: prior_and_target(store, good)
            for split, frames in of_splits.items()
            if len(good := frames[store.outcome[self.episode_of[frames]] != FAILURE])
        }
        self.register_buffer('updates', torch.zeros((), dtype=torch.int64))

    @classmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'CqlLearner':
        """Splits the labelled episodes and builds the networks; see `Learner.create`.

        Raises:
            UserError: There is no action, no success to be rewarded, an action of two arms or of
                another length, or a task too many for the one-hot vector of the checkpoint to start
                from.
        """
        if store.actions is not None:
            check_one_arm(store.actions.shape[1])
        check_actions(store, config)
        assert store.actions is not None
        rewarded = store.outcome == SUCCESS
        known = rewarded | (store.outcome == FAILURE)
        if config.unlabelled_as_success:
            rewarded = rewarded | (store.outcome == UNKNOWN)
            known = np.ones_like(known)
        usable = np.flatnonzero(known)
        training, held_out = (
            np.intersect1d(part, usable) for part in store.split(config.held_out_fraction, seed)
        )
        if not rewarded[training].any():
            raise UserError(
                'No episode is labelled as a success, so nothing is rewarded; label them, or set '
                '"unlabelled_as_success" for demonstrations.'
            )
        if store.target.any() and not store.target[training].any():
            raise UserError('No episode of the target data can be learned from; give more of them.')
        config = with_state_statistics(config, store, store.frames_of(training))
        if not config.action_scale:
            scale = scale_of(store.actions[store.frames_of(training)])
            config = replace(config, action_scale=scale)
        config = with_tasks(config, store)
        return cls(Cql(config), config, store, (training, held_out), seed)

    @classmethod
    def continued(cls, config: Any, earlier: Any) -> Any:
        """What the networks of an earlier run mean: tasks, their places, and units."""
        return with_meaning_of(config, earlier)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which episodes are left out."""
        unlabelled = int((self.store.outcome == UNKNOWN).sum())
        if not unlabelled or self.config.unlabelled_as_success:
            return ()
        return (f'{unlabelled} episodes without a label are left out',)

    @property
    def stochastic(self) -> bool:
        """True: actions are drawn in `forward`."""
        return True

    def train(self, mode: bool = True) -> 'CqlLearner':
        """The delayed critics never count batches: BatchNorm gives them what it has learned."""
        super().train(mode)
        self.target.eval()
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Critics, actor and temperature, each with its learning rate."""
        config, model = self.config, self.model
        rates: list[tuple[list[nn.Parameter], float]] = [
            (list(model.critic.parameters()), config.learning_rate),
            (list(model.actor.parameters()), config.actor_learning_rate),
            ([model.log_temperature], config.temperature_learning_rate),
        ]
        return [
            {'params': [p for p in some if p.requires_grad], 'scale': rate / config.learning_rate}
            for some, rate in rates
        ]

    def weights_loaded(self) -> None:
        """The delayed critics begin as copies."""
        self.target.load_state_dict(self.model.critic.state_dict())

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """Steps, as [s, s'] frames: so many of prior data, the others of target data.

        As many frames more where successes alone are cloned, which are few among the others.
        """
        config = self.config
        frames = draw_mixed(rng, *self.frames[split], count, config.mixing_ratio)
        label = self.label[torch.from_numpy(frames)]
        data = {
            'action': self.actions[torch.from_numpy(frames)],
            'reward': config.reward_scale * label + config.reward_shift,
            'mask': 1 - label,
            'task': self.told.draw(rng, frames),
        }
        # Past the last frame there is none, and no step needs one.
        needed = [frames, np.minimum(frames + 1, self.last[frames])]
        cloned = frames
        if config.cloning_steps and config.cloned == 'successes' and split in self.cloned:
            cloned = draw_mixed(rng, *self.cloned[split], count, config.mixing_ratio)
            data |= {
                'cloned_action': self.actions[torch.from_numpy(cloned)],
                'cloned_task': self.told.draw(rng, cloned),
            }
            needed.append(cloned)
        if config.cloning_steps and config.lookahead:
            data['later'] = self._later(cloned)
        return Draw(np.concatenate(needed), data=data)

    def _later(self, frames: Indices) -> Tensor:
        """The scaled actions after those of some frames, (B, lookahead, A)."""
        ends = self.ends[self.episode_of[frames]]
        stops = ~self._grips.numpy() & self.config.displacements
        actions = next_actions(self.actions.numpy(), frames, ends, 1 + self.config.lookahead, stops)
        return torch.from_numpy(actions[:, 1:])

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The losses of critics, actor and temperature, which share no weight, in one sum."""
        model, config, data = cast(Cql, self.active), self.config, batch.data
        # An evaluation is of what the step before it has done.
        done = max(0, int(self.updates) - (not self.training))
        cloning = done < config.cloning_steps
        apart = cloning and 'cloned_action' in data
        seen = self._see(batch, apart=apart)
        task = self.task_vectors[data['task']]
        policy = model.policy(seen.actor, task)
        of_critic, info = self._of_critic(seen, policy, task, data)
        drawn = policy.drawn.rsample()
        log_prob = policy.drawn.log_prob(drawn)
        temperature = model.log_temperature.exp()
        of_temperature, more = temperature_loss(
            temperature, -log_prob.mean(), -config.target_entropy_factor * config.drawn_dim
        )
        info |= more
        if cloning or config.deviation:
            of_temperature = 0 * of_temperature  # nothing heeds it, and it would run away
        if cloning:
            cloned = ('cloned_action', 'cloned_task') if apart else ('action', 'task')
            action, told = (data[name] for name in cloned)
            of_actor, more = self._of_clone(seen.cloned, action, told, data.get('later'))
            more['entropy'] = -log_prob.detach().mean()
        else:
            actions = with_grips(drawn, binary=config.binary_gripper)
            q = q_of_action(model.critic, seen.critic.detach(), task, actions)
            of_actor, more = actor_loss(q, log_prob, policy.grip_log_prob, temperature.detach())
        loss = of_critic + of_actor + of_temperature
        return loss, {'loss': loss.detach(), **info, **more}

    def _see(self, batch: Batch, *, apart: bool) -> '_Seen':
        """What the encoders make of a batch.

        Args:
            batch: [s, s'] frames, and those that the actor clones where they are apart.
            apart: Whether it clones them now; it then learns nothing from s.
        """
        model, config = cast(Cql, self.active), self.config
        count = len(batch.data['action'])
        if config.bfloat16:  # once, instead of by autocast in every encoder
            batch = replace(batch, images=[image.bfloat16() for image in batch.images])
        here, there, cloned = (slice(i * count, (i + 1) * count) for i in range(3))
        device = batch.images[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=config.bfloat16):
            with torch.no_grad():
                next_critic = self.target.encoder(_images(batch, there), None)
                next_actor = model.actor.encoder(*_part(batch, there))
            with torch.set_grad_enabled(torch.is_grad_enabled() and not apart):
                actor = model.actor.encoder(*_part(batch, here))
            return _Seen(
                critic=model.critic.encoder(_images(batch, here), None),
                actor=actor,
                next_critic=next_critic,
                next_actor=next_actor,
                cloned=model.actor.encoder(*_part(batch, cloned)) if apart else actor,
            )

    def _of_critic(
        self, seen: '_Seen', policy: ActionDistribution, task: Tensor, data: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, config = cast(Cql, self.active), self.config
        n, binary, version = config.n_actions, config.binary_gripper, config.min_q_version
        with torch.no_grad():
            following = model.policy(seen.next_actor, task)
            next_actions = with_grips(following.drawn.sample((n,)), binary=binary)
            next_q = self.target.heads(seen.next_critic, task, next_actions).amin(0)
            target = backup_target(
                data['reward'],
                data['mask'],
                expected_q(next_q, following.grip_log_prob)[None],
                config.discount,
                max_backup=config.max_backup,
            )
            proposed = policy.drawn.sample((n,))
            log_prob = policy.drawn.log_prob(proposed)
            random = 2 * torch.rand_like(proposed) - 1
            judged = with_grips(torch.cat([proposed, random]), binary=binary)
        candidates = torch.cat([data['action'][None], judged.flatten(0, 1)])
        q = model.critic.heads(seen.critic, task, candidates)
        data_q, (policy_q, random_q) = q[:, 0], q[:, 1:].unflatten(1, (-1, 2, n)).unbind(2)
        grips = policy.grip_log_prob.detach()
        evenly = torch.full_like(grips, -math.log(len(grips)))
        conservative, info = conservative_loss(
            data_q,
            soft_q(policy_q, grips, version),
            log_prob,
            soft_q(random_q, evenly, version),
            config.drawn_dim,
            version,
        )
        info['q_policy'] = expected_q(policy_q.detach(), grips).mean()
        info['q_random'] = random_q.detach().mean()
        loss, more = critic_loss(data_q, target, conservative, config.alpha)
        return loss, info | more

    def _of_clone(
        self, latent: Tensor, action: Tensor, task: Tensor, later: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, told = cast(Cql, self.active), self.task_vectors[task]
        if self.config.cloning == 'likelihood':
            return cloning_loss(model.policy(latent, told).log_prob(self._inside(action)))
        said, wanted = model.usual(latent, told)[:, None], action[:, None]
        if later is not None:
            said = torch.cat([said, model.actor.say_later(latent, told)], 1)
            wanted = torch.cat([wanted, later], 1)
        loss, info = lookahead_loss(said, wanted, self._grips, 1)
        info['actor_loss'] = info.pop('loss')
        return loss, info

    def _inside(self, action: Tensor) -> Tensor:
        """Actions that the policy's density is finite at."""
        inside = action.clamp(-_INSIDE, _INSIDE)
        return shut_or_open(inside) if self.config.binary_gripper else inside

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        """Moves the average, and the delayed critics towards what they follow."""
        super().after_update(step)
        update_target(self.target, self.model.critic, self.config.target_rate)
        for kept, buffer in zip(self.target.buffers(), self.model.critic.buffers(), strict=True):
            kept.copy_(buffer)
        self.updates.fill_(step + 1)

    def score(self, metrics: Mapping[str, float]) -> float:
        """Endless, which keeps the last weights: no number of episodes held out tells a policy."""
        return math.inf


@dataclass(frozen=True)
class _Seen:
    """Latents (B, L) of critics and actor in s and s', and the actor's of what it clones."""

    critic: Tensor
    actor: Tensor
    next_critic: Tensor
    next_actor: Tensor
    cloned: Tensor


def _images(batch: Batch, rows: slice) -> list[Tensor]:
    return [image[rows] for image in batch.images]


def _part(batch: Batch, rows: slice) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
    return (
        _images(batch, rows),
        None if batch.state is None else batch.state[rows],
        None if batch.hide_state is None else batch.hide_state[rows],
    )


def q_of_action(critic: Critic, latent: Tensor, task: Tensor, action: Tensor) -> Tensor:
    """Q with gradients to the action only."""
    weights = {name: weight.detach() for name, weight in critic.heads.named_parameters()}
    q: Tensor = functional_call(critic.heads, weights, (latent, task, action))
    return q
