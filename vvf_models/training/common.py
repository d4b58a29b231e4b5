# SPDX-License-Identifier: Apache-2.0
"""What training a value function and a policy have in common: data, statistics, the card."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

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
from vvf_models.policies.bc import BcConfig
from vvf_models.values.icvf import IcvfConfig

Data = Sequence[Episode] | FrameStore
Config = TypeVar('Config', IcvfConfig, BcConfig)

# Below this a state entry counts as constant: 2 mm or .1 degrees, about the noise of real arms.
_MIN_STD = 2e-3


def as_store(
    data: Data, config: IcvfConfig | BcConfig, *, cache: Path | str | None, progress: bool
) -> FrameStore:
    """The frames at the model's size.

    Raises:
        UserError: A ready store has another size or lacks a camera; the episodes lack a camera;
            or the state has another length than the configuration says.
    """
    if isinstance(data, FrameStore):
        store = data
        missing = [camera for camera in config.cameras if camera not in store.images]
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
                config.cameras,
                config.image_size,
                cache=cache,
                on_episode=lambda count: bar.update(task, completed=count),
            )
    if config.state_dim and store.state_dim != config.state_dim:
        raise UserError(
            f'The episodes have a state of {store.state_dim} numbers, the configuration says '
            f'{config.state_dim}; set "state_dim" to {store.state_dim}.'
        )
    return store


def with_state_statistics(config: Config, store: FrameStore, frames: NDArray[np.int64]) -> Config:
    """The configuration with mean and standard deviation of the training frames' state."""
    if not config.state_dim:
        return config
    assert store.state is not None
    state = store.state[frames].astype(np.float64)
    return replace(
        config,
        state_mean=tuple(float(value) for value in state.mean(0)),
        state_std=tuple(float(max(value, _MIN_STD)) for value in state.std(0)),
    )


def memory_format(config: IcvfConfig | BcConfig) -> torch.memory_format:
    """The faster layout of images and weights on a CPU: measured, not reasoned."""
    return torch.contiguous_format if config.bfloat16 else torch.channels_last


class Batches:
    """Augmented images and noisy normalised states of chosen frames."""

    def __init__(self, store: FrameStore, config: IcvfConfig | BcConfig) -> None:
        """Wraps the arrays as tensors, without copying images."""
        self.images = [torch.from_numpy(store.images[camera]) for camera in config.cameras]
        self.config = config
        self.how = Augmentation(config.shift, config.contrast, config.brightness, config.colour)
        self.state: Tensor | None = None
        if config.state_dim:
            assert store.state is not None
            mean, std = torch.tensor(config.state_mean), torch.tensor(config.state_std)
            self.state = ((torch.from_numpy(store.state) - mean) / std).clamp(-5, 5)

    def take(
        self, frames: Tensor, generator: torch.Generator | None
    ) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
        """Images per camera, state and which states to hide; as they are without a generator."""
        still = Augmentation()
        source = generator or torch.Generator().manual_seed(0)
        how = still if generator is None else self.how
        layout = memory_format(self.config)
        images = [
            augment(camera[frames], how, source).contiguous(memory_format=layout)
            for camera in self.images
        ]
        if self.state is None:
            return images, None, None
        state = self.state[frames]
        if generator is None:
            return images, state, None
        state = state + self.config.state_noise * torch.randn(state.shape, generator=generator)
        hide = torch.rand(len(state), generator=generator) < self.config.state_dropout
        return images, state, hide


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
) -> str:
    """The text of card.md."""
    versions = f'torch {torch.__version__}, Python {platform.python_version()}'
    lines = [f'# {title}', '', f'Seed {seed}; {versions}.', '', 'Command:', '']
    lines += [f'    {command or "(called from Python)"}', '', '## Data', '']
    lines += _table(data)
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
