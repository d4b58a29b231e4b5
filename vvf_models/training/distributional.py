# SPDX-License-Identifier: Apache-2.0
"""Trains a distributional value: its targets, its instructions, and what it finds in the data."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vvf_models.data.frames import FAILURE, SUCCESS, UNKNOWN, FrameStore
from vvf_models.errors import UserError
from vvf_models.training.common import with_state_statistics
from vvf_models.training.learner import Batch, Draw, Indices, ValueLearner
from vvf_models.values.distributional import (
    DistributionalConfig,
    DistributionalValue,
    distributional_loss,
)
from vvf_models.values.returns import is_known_wrong, normalised_return, steps_left

_NAMED = 5  # episodes that a message names
_PERCENTILES = (1.0, 99.0)  # of the state, that the bins of a prompt span


class DistributionalLearner(ValueLearner):
    """A distributional value, the targets of all frames and the instructions of all episodes."""

    kind = 'distributional'
    title = 'Distributional value function'
    model: DistributionalValue
    config: DistributionalConfig
    texts: Tensor

    def __init__(
        self,
        model: DistributionalValue,
        config: DistributionalConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Computes the targets, and which instructions are wrong for which episodes."""
        super().__init__(model, config, store, episodes, seed)
        self.frames = {
            split: store.frames_of(chosen)
            for split, chosen in zip(('training', 'held_out'), episodes, strict=True)
        }
        different = sorted(set(store.instructions))
        self.longest = np.array([config.longest(text) for text in different])
        of_episode = np.array([different.index(text) for text in store.instructions])
        self.instruction = np.repeat(of_episode, store.lengths)
        self.failed = np.repeat(store.outcome != SUCCESS, store.lengths)
        self.left = np.concatenate(
            [
                steps_left(int(length), int(index) if outcome == SUCCESS else -1)
                for length, index, outcome in zip(
                    store.lengths, store.success_index, store.outcome, strict=True
                )
            ]
        )
        self.last = store.last
        self.wrong = [
            np.array([n for n, other in enumerate(different) if is_known_wrong(text, other)], int)
            for text in different
        ]
        self.register_buffer('texts', model.embed(different), persistent=False)

    @classmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'DistributionalLearner':
        """Splits the labelled episodes and builds the network; see `Learner.create`.

        Raises:
            UserError: No episode is labelled as a success or a failure, or the vision-language
                models cannot be read.
        """
        labelled = np.flatnonzero(store.outcome != UNKNOWN)
        if not len(labelled):
            raise UserError(
                'No episode says whether it succeeded, and without labels there is no return to '
                'learn from; label them, or train an icvf or a vip.'
            )
        training, held_out = (
            np.intersect1d(part, labelled) for part in store.split(config.held_out_fraction, seed)
        )
        config = with_state_statistics(config, store, store.frames_of(training))
        if config.backbone == 'siglip-gemma':
            config = _with_state_percentiles(config, store, store.frames_of(training))
        config = with_task_lengths(config, store, training)
        return cls(DistributionalValue(config), config, store, (training, held_out), seed)

    @classmethod
    def continued(cls, config: Any, earlier: Any) -> Any:
        """Units of the state, and lengths of the tasks known then: the unit of its values."""
        config = super().continued(config, earlier)
        if config.per_task != earlier.per_task:
            return config
        return replace(config, tasks=earlier.tasks, task_lengths=earlier.task_lengths)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which episodes are left out, and what cannot be learned from the others."""
        notes = []
        if not (self.store.outcome[self.train_episodes] == FAILURE).any():
            notes.append('No episode failed, so the values will not tell failures from successes')
        unlabelled = np.flatnonzero(self.store.outcome == UNKNOWN)
        if len(unlabelled):
            names = [self.store.episode_ids[e] for e in unlabelled[:_NAMED]]
            more = ', ...' if len(unlabelled) > _NAMED else ''
            notes.append(
                f'{len(unlabelled)} episodes without a label are left out: {", ".join(names)}{more}'
            )
        if self.config.wrong_instruction_share and not any(map(len, self.wrong)):
            notes.append(
                'No two instructions name different objects, so none could be shown as wrong, and '
                'the values need not depend on the instruction'
            )
        return tuple(notes)

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """Frames, their targets and instructions; some of successes with a wrong instruction."""
        frames = rng.choice(self.frames[split], count)
        left, failed = self.left[frames], self.failed[frames]
        instruction = self.instruction[frames]
        swap = rng.random(count) < self.config.wrong_instruction_share
        place = rng.random(count)
        for row in np.flatnonzero(swap & ~failed):
            others = self.wrong[instruction[row]]
            if len(others):
                instruction[row] = others[int(place[row] * len(others))]
                left[row], failed[row] = self.last[frames[row]] - frames[row], True
        longest = self.longest[instruction]
        data = {
            'target': normalised_return(left, failed, longest, self.config.c_fail_coef),
            'instruction': instruction,
        }
        return Draw(frames, data={name: torch.from_numpy(v) for name, v in data.items()})

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of some frames."""
        model = self.active
        assert isinstance(model, DistributionalValue)
        device = batch.images[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.config.bfloat16):
            latents = model.encode(batch.images, batch.state, batch.hide_state)
        logits = model.logits(latents.float(), self.texts[batch.data['instruction']])
        return distributional_loss(logits.float(), batch.data['target'])

    def score(self, metrics: Mapping[str, float]) -> float:
        """Minus the cross-entropy of held-out episodes, or of those seen where none are."""
        return -metrics.get('loss', math.inf)


def with_task_lengths(
    config: DistributionalConfig, store: FrameStore, episodes: Indices
) -> DistributionalConfig:
    """The configuration with the longest of some episodes, for each instruction or for all.

    Lengths that it has already stay: with others, what a fine-tuned value learned before would be
    in another unit. Returns of episodes that are longer still are cut off at -1.
    """
    known = dict(zip(config.tasks or ('',), config.task_lengths, strict=False))
    lengths = dict(known)
    for episode in episodes:
        text = store.instructions[episode] if config.per_task else ''
        if text not in known:
            lengths[text] = max(lengths.get(text, 0), int(store.lengths[episode]))
    tasks = tuple(sorted(lengths))
    return replace(
        config,
        tasks=tasks if config.per_task else (),
        task_lengths=tuple(lengths[text] for text in tasks),
    )


def _with_state_percentiles(
    config: DistributionalConfig, store: FrameStore, frames: Indices
) -> DistributionalConfig:
    """The configuration with statistics that map the state's percentiles to -1 and 1."""
    if not config.state_dim:
        return config
    assert store.state is not None
    low, high = np.percentile(store.state[frames].astype(np.float64), _PERCENTILES, axis=0)
    half = np.maximum((high - low) / 2, np.array(config.state_std) * 1e-3)
    return replace(
        config,
        state_mean=tuple(float(middle) for middle in (low + high) / 2),
        state_std=tuple(float(width) for width in half),
    )
