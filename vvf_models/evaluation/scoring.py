# SPDX-License-Identifier: Apache-2.0
"""Values of any value model over the frames of a store."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.data.augment import to_float
from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.values.base import Goal, GoalSet, ValueModel

Indices = NDArray[np.int64]


@torch.inference_mode()
def encode_frames(
    model: ValueModel, store: FrameStore, frames: Indices, batch: int = 256
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


@torch.inference_mode()
def episode_values(
    model: ValueModel, store: FrameStore, episodes: Indices, goals: GoalSet | None = None
) -> list[NDArray[np.float32]]:
    """V per frame of some episodes, each against the goals and the instruction that are its own.

    Args:
        model: The value function.
        store: The frames.
        episodes: Which episodes.
        goals: For a model that takes goals; None to take each episode's own last frame, which is
            all that clips of unfinished tasks offer.
    """
    latents = encode_frames(model, store, store.frames_of(episodes))
    ends = np.cumsum(store.lengths[episodes])
    texts = model.embed([store.instructions[e] for e in episodes])
    result = []
    for number, (end, episode) in enumerate(zip(ends, episodes, strict=True)):
        part = latents[end - store.lengths[episode] : end]
        targets = None
        if model.takes_goal:
            targets = part[-1:] if goals is None else goals.of(store.instructions[episode])
        value, _ = model.estimate(part, Goal(targets, None if texts is None else texts[number]))
        result.append(value.float().cpu().numpy())
    return result


def outcomes(store: FrameStore, episodes: Indices) -> list[bool | None]:
    """True, False or None (unlabelled) per episode."""
    names = {SUCCESS: True, FAILURE: False}
    return [names.get(int(store.outcome[e])) for e in episodes]
