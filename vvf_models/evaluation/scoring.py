# SPDX-License-Identifier: Apache-2.0
"""Values of an ICVF over the frames of a store."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.data.augment import to_float
from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.values.icvf import Icvf

Indices = NDArray[np.int64]


@torch.inference_mode()
def encode_frames(model: Icvf, store: FrameStore, frames: Indices, batch: int = 256) -> Tensor:
    """Latents (n, L) of some frames, without augmentation."""
    latents = []
    for start in range(0, len(frames), batch):
        chosen = frames[start : start + batch]
        images = [
            to_float(torch.from_numpy(store.images[camera][chosen]))
            for camera in model.config.cameras
        ]
        state = None
        if model.config.state_dim:
            assert store.state is not None
            state = model.encoder.normalise(torch.from_numpy(store.state[chosen]))
        latents.append(model.encoder(images, state))
    return torch.cat(latents)


@torch.inference_mode()
def episode_values(
    model: Icvf, store: FrameStore, episodes: Indices, goals: Tensor | None
) -> list[NDArray[np.float32]]:
    """V per frame of some episodes, the mean over heads and goals.

    Args:
        model: The value function.
        store: The frames.
        episodes: Which episodes.
        goals: (G, L) latents, or None to take each episode's own last frame, which is all that
            clips of unfinished tasks offer.
    """
    result = []
    latents = encode_frames(model, store, store.frames_of(episodes))
    ends = np.cumsum(store.lengths[episodes])
    for end, length in zip(ends, store.lengths[episodes], strict=True):
        part = latents[end - length : end]
        targets = part[-1:] if goals is None else goals
        values = model.pairwise_values(part, targets).mean((0, 2))
        result.append(values.float().numpy())
    return result


def outcomes(store: FrameStore, episodes: Indices) -> list[bool | None]:
    """True, False or None (unlabelled) per episode."""
    names = {SUCCESS: True, FAILURE: False}
    return [names.get(int(store.outcome[e])) for e in episodes]
