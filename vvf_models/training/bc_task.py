# SPDX-License-Identifier: Apache-2.0
"""Trains a policy of several tasks by behaviour cloning, in phases as CQL's."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from vvf_models.data.frames import FrameStore
from vvf_models.policies.bc import lookahead_loss
from vvf_models.policies.bc_task import BcTaskConfig, BcTaskPolicy
from vvf_models.policies.chunks import chunk_targets
from vvf_models.training.actions import check_actions, split_of_successes, with_meaning_of
from vvf_models.training.common import with_state_statistics
from vvf_models.training.learner import Batch, Draw, Indices, Learner
from vvf_models.training.phases import ToldTasks, draw_mixed, prior_and_target, with_tasks


class BcTaskLearner(Learner):
    """A policy and the action chunks that it should give.

    As for CQL, an episode ends with its success: what comes after it is never judged.
    """

    kind = 'bc_task'
    title = 'Behaviour-cloned policy of several tasks'
    model: BcTaskPolicy
    config: BcTaskConfig
    task_vectors: Tensor

    def __init__(
        self,
        model: BcTaskPolicy,
        config: BcTaskConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Scales the targets."""
        super().__init__(model, config, store, episodes, seed)
        assert store.actions is not None
        self.episode_of = store.episode_of
        ends = store.ends[self.episode_of]
        said = replace(config, horizon=config.horizon + config.lookahead)
        self.targets = torch.from_numpy(chunk_targets(store.actions, ends, said))
        self.told = ToldTasks(store, config)
        self.register_buffer('task_vectors', model.embed(self.told.names), persistent=False)
        self.frames = {
            split: prior_and_target(store, store.frames_of(chosen, to_success=True))
            for split, chosen in zip(('training', 'held_out'), episodes, strict=True)
        }

    @classmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'BcTaskLearner':
        """Splits the episodes and builds the network.

        Raises:
            UserError: There is no action, no success, an action of another length, or a task too
                many for the one-hot vector of the checkpoint to start from.
        """
        check_actions(store, config)
        training, held_out = split_of_successes(store, config, seed)
        config = with_state_statistics(config, store, store.frames_of(training))
        config = with_tasks(config, store)
        return cls(cls.network(config), config, store, (training, held_out), seed)

    @classmethod
    def network(cls, config: Any) -> BcTaskPolicy:
        """The network of a configuration."""
        return BcTaskPolicy(config)

    @classmethod
    def continued(cls, config: Any, earlier: Any) -> Any:
        """What the network of an earlier run means: tasks, their places, and units."""
        return with_meaning_of(config, earlier)

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """Frames of prior and target data, and the chunks that start there."""
        frames = draw_mixed(rng, *self.frames[split], count, self.config.mixing_ratio)
        data = {
            'target': self.targets[torch.from_numpy(frames)],
            'task': self.told.draw(rng, frames),
        }
        return Draw(frames, data=data)

    def predict(self, batch: Batch) -> Tensor:
        """The chunks of a batch, and what follows them (B, horizon + lookahead, A)."""
        model, data = cast(BcTaskPolicy, self.active), batch.data
        task = self.task_vectors[data['task']]
        device = batch.images[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.config.bfloat16):
            chunk: Tensor = model.foresee(batch.images, batch.state, task, batch.hide_state)
        return chunk

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the chunks."""
        said, grips = self.predict(batch), self.model.actions.grips
        return lookahead_loss(said, batch.data['target'], grips, self.config.horizon)

    def score(self, metrics: Mapping[str, float]) -> float:
        """Endless, which keeps the last weights; but the loss where it may end training."""
        return super().score(metrics) if self.config.patience else math.inf
