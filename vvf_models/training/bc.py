# SPDX-License-Identifier: Apache-2.0
"""Trains a policy by behaviour cloning and keeps the average of its weights."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vvf_models.data.frames import FrameStore
from vvf_models.policies.bc import BcConfig, BcPolicy, bc_loss
from vvf_models.policies.chunks import chunk_targets
from vvf_models.training.actions import check_actions, split_of_successes
from vvf_models.training.common import with_state_statistics
from vvf_models.training.learner import Batch, Draw, Indices, Learner


class BcLearner(Learner):
    """A policy and the action chunks that it should give.

    Episodes are cloned to their last frame, past their success: on an arm that nobody stops there,
    going away from what is done is part of the task.
    """

    kind = 'bc'
    title = 'Behaviour-cloned policy'
    model: BcPolicy
    config: BcConfig

    def __init__(
        self,
        model: BcPolicy,
        config: BcConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Scales the targets."""
        super().__init__(model, config, store, episodes, seed)
        assert store.actions is not None
        self.targets = torch.from_numpy(chunk_targets(store.actions, store.last, config))
        names = ('training', 'held_out')
        self.frames = {n: store.frames_of(e) for n, e in zip(names, episodes, strict=True)}

    @classmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'BcLearner':
        """Splits the episodes and builds the network.

        Raises:
            UserError: There is no action, no success, or actions of another length.
        """
        check_actions(store, config)
        training, held_out = split_of_successes(store, config, seed)
        config = with_state_statistics(config, store, store.frames_of(training))
        return cls(BcPolicy(config), config, store, (training, held_out), seed)

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """Frames, and the chunks that start there."""
        frames = rng.choice(self.frames[split], count)
        return Draw(frames, data={'target': self.targets[torch.from_numpy(frames)]})

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the chunks."""
        device = batch.images[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.config.bfloat16):
            prediction = self.active(batch.images, batch.state, batch.hide_state)
        return bc_loss(prediction, batch.data['target'], self.model.actions.grips)
