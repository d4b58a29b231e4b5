# SPDX-License-Identifier: Apache-2.0
"""What training a value function and a policy have in common: data, statistics, the card."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from vvf_models.config import to_mapping
from vvf_models.data.augment import Augmentation, augment
from vvf_models.data.episode import Episode
from vvf_models.data.frames import FAILURE, SUCCESS, UNKNOWN, FrameStore
from vvf_models.errors import UserError
from vvf_models.model_config import ObservationConfig
from vvf_models.training.learner import Batch, Draw, Learner

Data = Sequence[Episode] | FrameStore
Config = TypeVar('Config', bound=ObservationConfig)

# Below this a state entry counts as constant: 2 mm or .1 degrees, about the noise of real arms.
_MIN_STD = 2e-3


def as_store(
    data: Data,
    config: ObservationConfig,
    streams: Sequence[str],
    *,
    cache: Path | str | None,
    progress: bool,
    skip_bad: Callable[[str], None] | None = None,
) -> FrameStore:
    """The frames at the model's size.

    Args:
        data: Episodes, or frames that are ready.
        config: The observation's size.
        streams: Which cameras to keep.
        cache: A folder for the frames; None for memory.
        progress: Whether to show a bar.
        skip_bad: Told of every episode that cannot be used, which is then left out; without it the
            first one is an error.

    Raises:
        UserError: A ready store has another size or lacks a camera; an episode cannot be used; or
            the state has another length than the configuration says.
    """
    if isinstance(data, FrameStore):
        store = data
        missing = [camera for camera in streams if camera not in store.images]
        if missing:
            raise UserError(
                f'The data have no camera "{missing[0]}"; theirs are {", ".join(store.images)}.'
            )
        if store.image_size != config.image_size:
            raise UserError(
                f'The frames are {store.image_size} px, the configuration says '
                f'{config.image_size} px; make both equal.'
            )
    else:
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task('reading episodes', total=len(data))
            store = FrameStore.from_episodes(
                data,
                streams,
                config.image_size,
                cache=cache,
                on_episode=lambda count: bar.update(task, completed=count),
                skip_bad=skip_bad,
                use_state=bool(config.state_dim),
            )
    if config.state_dim and store.state_dim != config.state_dim:
        raise UserError(
            f'The episodes have a state of {store.state_dim} numbers, the configuration says '
            f'{config.state_dim}; set "state_dim" to {store.state_dim}.'
        )
    return store


def with_state_statistics(config: Config, store: FrameStore, frames: NDArray[np.int64]) -> Config:
    """The configuration with mean and deviation of the training frames' state, if it has none."""
    if not config.state_dim or config.state_mean:
        return config
    assert store.state is not None
    state = store.state[frames].astype(np.float64)
    return replace(
        config,
        state_mean=tuple(float(value) for value in state.mean(0)),
        state_std=tuple(float(max(value, _MIN_STD)) for value in state.std(0)),
    )


def memory_format(learner: Learner) -> torch.memory_format:
    """The faster layout of images and weights on a CPU: measured, not reasoned."""
    plain = learner.config.bfloat16 or not learner.of_images
    return torch.contiguous_format if plain else torch.channels_last


class Batches:
    """Loads what a draw asks for: augmented images and noisy normalised states."""

    def __init__(self, learner: Learner) -> None:
        """Wraps the store's arrays as tensors, without copying images."""
        store, config = learner.store, learner.config
        self.images = [torch.from_numpy(store.images[name]) for name in learner.streams]
        self.config = config
        self.layout = memory_format(learner)
        self.how = Augmentation(
            **{field.name: getattr(config, field.name) for field in fields(Augmentation)}
        )
        self.state: Tensor | None = None
        if config.state_dim:
            assert store.state is not None
            normalise = cast(Callable[[Tensor], Tensor], learner.model.normalise)
            self.state = normalise(torch.from_numpy(store.state))
            # Whatever the model normalises by, its training data's deviation is the unit of noise.
            training = torch.from_numpy(store.frames_of(learner.train_episodes))
            self.noise = config.state_noise * self.state[training].std(0, correction=0)

    def take(self, draw: Draw, generator: torch.Generator | None) -> Batch:
        """Loads a draw; as the frames are, without a generator."""
        how = Augmentation() if generator is None else self.how
        source = generator or torch.Generator().manual_seed(0)
        frames = torch.from_numpy(draw.frames)
        groups = None if draw.groups is None else torch.from_numpy(draw.groups)
        layout = self.layout
        images = [
            augment(raw, how, source, groups).contiguous(memory_format=layout)
            for raw in self._raw(draw, frames)
        ]
        if self.state is None:
            return Batch(images, None, None, draw.data)
        state = self.state[frames]
        if generator is None:
            return Batch(images, state, None, draw.data)
        state = state + self.noise * torch.randn(state.shape, generator=generator)
        hide = None
        if self.config.state_dropout:
            hide = torch.rand(len(state), generator=generator) < self.config.state_dropout
        return Batch(images, state, hide, draw.data)

    def _raw(self, draw: Draw, frames: Tensor) -> list[Tensor]:
        if not len(frames):
            return []
        if draw.camera is None:
            return [camera[frames] for camera in self.images]
        chosen = self.images[0][frames]
        for number, stream in enumerate(self.images[1:], 1):
            here = torch.from_numpy(draw.camera == number)
            chosen[here] = stream[frames[here]]
        return [chosen]


def describe_data(store: FrameStore, training: int, held_out: int) -> dict[str, Any]:
    """Counts for the card."""
    return {
        'episodes': store.n_episodes,
        'frames': store.n_frames,
        'successes': int((store.outcome == SUCCESS).sum()),
        'failures': int((store.outcome == FAILURE).sum()),
        'unlabelled': int((store.outcome == UNKNOWN).sum()),
        'training_episodes': training,
        'held_out_episodes': held_out,
    }


def write_card(
    title: str,
    command: str,
    seed: int,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    config: Any,
    notes: Sequence[str] = (),
) -> str:
    """The text of card.md."""
    versions = f'torch {torch.__version__}, Python {platform.python_version()}'
    lines = [f'# {title}', '', f'Seed {seed}; {versions}.', '', 'Command:', '']
    lines += [f'    {command or "(called from Python)"}', '', '## Data', '']
    lines += _table(data)
    if notes:
        lines += ['', *(f'- {note}.' for note in notes)]
    lines += [
        '',
        '## Metrics',
        '',
        'Of the weights kept, on held-out episodes of the same data.',
        '',
    ]
    lines += _table(metrics)
    lines += ['', '## Configuration', '']
    lines += _table(to_mapping(config))
    return '\n'.join(lines) + '\n'


def _table(values: Mapping[str, Any]) -> list[str]:
    rows = ['| key | value |', '|---|---|']
    return rows + [f'| {key} | {_show(value)} |' for key, value in values.items()]


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.5g}'
    if isinstance(value, list):
        return ', '.join(_show(item) for item in value)
    return str(value)
