# SPDX-License-Identifier: Apache-2.0
"""Trains RECAP's policy: flow matching on every action, told which of them improve."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from vvf_models.data.frames import FAILURE, FrameStore
from vvf_models.errors import UserError
from vvf_models.policies.chunks import chunk_targets, counted_steps
from vvf_models.policies.flow import draw_time, flow_loss, interpolate
from vvf_models.policies.recap import DROPPED, POSITIVE, RecapConfig, RecapPolicy
from vvf_models.training.actions import check_actions, with_meaning_of
from vvf_models.training.common import with_state_statistics
from vvf_models.training.learner import Batch, Draw, Indices, Learner
from vvf_models.training.phases import with_tasks


class RecapLearner(Learner):
    """A policy, the action chunks of all frames, and which of them improve."""

    kind = 'recap'
    title = 'Advantage-conditioned policy'
    model: RecapPolicy
    config: RecapConfig
    task_vectors: Tensor

    def __init__(
        self,
        model: RecapPolicy,
        config: RecapConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Scales the targets."""
        super().__init__(model, config, store, episodes, seed)
        assert store.actions is not None
        self.targets = torch.from_numpy(chunk_targets(store.actions, store.last, config))
        failed = (store.outcome == FAILURE)[store.episode_of]
        steps = counted_steps(store.interventions, store.last, failed, config.horizon)
        self.counted = torch.from_numpy(steps)
        # Where nobody said, there is no indicator to be told.
        known = np.where(store.improving < 0, DROPPED, store.improving)
        self.improving = torch.from_numpy(known.astype(np.int64))
        names = sorted(set(store.instructions))
        self.task = np.array([names.index(text) for text in store.instructions])
        self.episode_of = store.episode_of
        self.register_buffer('task_vectors', model.embed(names), persistent=False)
        self.frames = {
            split: usable_frames(store, config, chosen)
            for split, chosen in zip(('training', 'held_out'), episodes, strict=True)
        }

    @classmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'RecapLearner':
        """Splits the episodes and builds the network.

        Raises:
            UserError: There is no action, nothing to learn from, actions of another length, or no
                indicator for a policy that is told one.
        """
        check_actions(store, config)
        unknown = bool((store.improving < 0).all())
        if unknown and config.learn_from == 'successes':
            config = replace(config, indicator_dropout=1.0)  # there is nothing to be told
        if unknown and (config.is_told or config.learn_from == 'positive'):
            raise UserError(
                'Nobody said which actions improve: give a value model with --value, or train '
                'without the indicator by --set indicator_dropout=1.'
            )
        # Episodes of which nothing is learned have nothing to judge by, either.
        training, held_out = (
            np.unique(store.episode_of[usable_frames(store, config, episodes)])
            for episodes in store.split(config.held_out_fraction, seed)
        )
        usable = usable_frames(store, config, training)
        if not len(usable):
            raise UserError(
                f'Nothing is left to learn from with "learn_from" {config.learn_from}; give '
                'episodes that succeed.'
            )
        if not config.state_mean:
            config = with_state_statistics(config, store, usable)
        config = with_tasks(config, store)
        return cls(RecapPolicy(config), config, store, (training, held_out), seed)

    @classmethod
    def continued(cls, config: Any, earlier: Any) -> Any:
        """What the network of an earlier run means: tasks, their places, and units."""
        return with_meaning_of(config, earlier)

    @property
    def notes(self) -> tuple[str, ...]:
        """How many of the actions count as improvement."""
        frames = torch.from_numpy(self.frames['training'])
        if not self.config.is_told or not len(frames):
            return ()
        chosen = self.improving[frames]
        share = float((chosen == POSITIVE).float().mean())
        notes = [f'{share:.1%} of the actions that are learned from count as improvement']
        unknown = float((chosen == DROPPED).float().mean())
        if unknown:
            notes.append(f'of {unknown:.1%} nobody said whether they do: they have no indicator')
        return tuple(notes)

    @property
    def stochastic(self) -> bool:
        """True: noise and times are drawn in `forward`."""
        return True

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """Frames, the chunks that start there, their tasks and indicators."""
        frames = rng.choice(self.frames[split], count)
        rows = torch.from_numpy(frames)
        indicator = self.improving[rows] if self.config.is_told else torch.full((count,), DROPPED)
        draws = self.config.flow_draws
        dropped = torch.from_numpy(rng.random((count, draws)) < self.config.indicator_dropout)
        data = {
            'target': self.targets[rows],
            'counted': self.counted[rows],
            'indicator': torch.where(dropped, DROPPED, indicator[:, None]),
            'task': torch.from_numpy(self.task[self.episode_of[frames]]),
        }
        return Draw(frames, data=data)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the velocities at random times."""
        model = cast(RecapPolicy, self.active)
        indicator = batch.data['indicator'].T  # (draws, B)
        target = batch.data['target'].expand(len(indicator), -1, -1, -1)
        noise = torch.randn_like(target)
        time = draw_time(indicator.numel()).view(indicator.shape).to(target.device)
        task = self.task_vectors[batch.data['task']]
        device = target.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.config.bfloat16):
            context = model.context(batch.images, batch.state, task, batch.hide_state)
            noisy = interpolate(noise, target, time)
            velocity = model.velocity(context, noisy, time, indicator)
        loss = flow_loss(velocity, noise, target, batch.data['counted'])
        return loss, {'loss': loss.detach()}

    def score(self, metrics: Mapping[str, float]) -> float:
        """Endless, which keeps the last weights: no held-out loss tells the better policy."""
        return math.inf


def usable_frames(store: FrameStore, config: RecapConfig, episodes: Indices) -> Indices:
    """Frames that are learned from: all, those that improve, or those of episodes not failed.

    Those after a success, too, as of `bc`.
    """
    if config.learn_from == 'successes':
        episodes = episodes[store.outcome[episodes] != FAILURE]
    frames = store.frames_of(episodes)
    return frames[store.improving[frames] == 1] if config.learn_from == 'positive' else frames
