# SPDX-License-Identifier: Apache-2.0
"""Values of any value model over the frames of a store: each frame is encoded once."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.data.augment import to_float
from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.values.base import Goal, GoalSet, ValueModel

Indices = NDArray[np.int64]
Values = NDArray[np.float32]

_BATCH = 256


@torch.inference_mode()
def encode_frames(
    model: ValueModel, store: FrameStore, frames: Indices, batch: int = _BATCH
) -> Tensor:
    """Latents (n, L) of some frames, without augmentation, on the model's device."""
    latents = []
    for start in range(0, len(frames), batch):
        chosen = frames[start : start + batch]
        images = [
            to_float(torch.from_numpy(store.images[camera][chosen]).to(model.device))
            for camera in model.config.cameras
        ]
        state = None
        if model.config.state_dim:
            assert store.state is not None
            state = model.normalise(torch.from_numpy(store.state[chosen]).to(model.device))
        latents.append(model.encode(images, state))
    return torch.cat(latents)


def encode_episodes(model: ValueModel, store: FrameStore, episodes: Indices) -> list[Tensor]:
    """Per episode, the latents (T, L) of its frames."""
    latents = encode_frames(model, store, store.frames_of(episodes))
    return list(torch.split(latents, [int(length) for length in store.lengths[episodes]]))


@torch.inference_mode()
def latent_values(model: ValueModel, latents: Tensor, goal: Goal) -> Values:
    """Values (T,) of latents (T, L), in batches."""
    parts = [model.estimate(part, goal)[0].float() for part in torch.split(latents, _BATCH)]
    return np.asarray(torch.cat(parts).cpu().numpy())


@torch.inference_mode()
def goals_of(
    model: ValueModel,
    latents: Sequence[Tensor],
    instructions: Sequence[str],
    goals: GoalSet | None = None,
) -> list[Goal]:
    """What to measure episodes against; see `episode_values`."""
    distinct = sorted(set(instructions))
    texts = model.embed(distinct) if distinct else None
    result = []
    for part, instruction in zip(latents, instructions, strict=True):
        targets = None
        if model.takes_goal:
            targets = part[-1:] if goals is None else goals.of(instruction)
        text = None if texts is None else texts[distinct.index(instruction)]
        result.append(Goal(targets, text).to(model.device))
    return result


def episode_values(
    model: ValueModel,
    store: FrameStore,
    episodes: Indices,
    goals: GoalSet | None = None,
    *,
    smooth: int = 1,
    latents: Sequence[Tensor] | None = None,
) -> list[Values]:
    """V per frame of some episodes, each against the goals and the instruction that are its own.

    Args:
        model: The value function.
        store: The frames.
        episodes: Which episodes.
        goals: For a model that takes goals; None to take each episode's own last frame, which is
            all that clips of unfinished tasks offer.
        smooth: Frames of a causal mean over the values.
        latents: Per episode, what `encode_episodes` gave; None to encode now.
    """
    latents = encode_episodes(model, store, episodes) if latents is None else latents
    against = goals_of(model, latents, [store.instructions[e] for e in episodes], goals)
    return [
        causal_mean(latent_values(model, part, goal), smooth)
        for part, goal in zip(latents, against, strict=True)
    ]


def causal_mean(values: Values, frames: int) -> Values:
    """The mean of each value and those before it, `frames` in all; fewer at the start.

    It lifts models that see one frame at a time, and delays what they notice.

    Raises:
        ValueError: There is less than one frame to take.
    """
    if frames < 1:
        raise ValueError(f'a mean needs at least one frame, not {frames}')
    if frames == 1:
        return values
    # Not by differences of sums: those leave the rounding of large values in small ones.
    padded = np.concatenate([np.full(frames - 1, np.nan), values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, frames)
    return np.asarray(np.nanmean(windows, 1), np.float32)


def outcomes(store: FrameStore, episodes: Indices) -> list[bool | None]:
    """True, False or None (unlabelled) per episode."""
    names = {SUCCESS: True, FAILURE: False}
    return [names.get(int(store.outcome[e])) for e in episodes]
