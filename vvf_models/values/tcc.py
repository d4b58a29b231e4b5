# SPDX-License-Identifier: Apache-2.0
"""Temporal cycle consistency (TCC): frames of videos of one task find each other.

Dwibedi et al., "Temporal Cycle-Consistency Learning", arXiv 1904.07846; authors' code: tcc/ of
google-research (Apache-2.0), losses.py, deterministic_alignment.py, stochastic_alignment.py. From a
frame of one video go to its soft nearest neighbour in the next video, and so on, and back to the
first: the loss is how far from the frame one arrives. The object-aware VIP states it with an argmax
over frames, which has no gradient; the soft neighbour is TCC's own.

Where this differs from the authors' code:
- time runs over [0, 1] in each video, where theirs are frame numbers over the video's length;
- σ² of the returned time gets a floor, see `time_variance_floor`: without one, log σ² has no lower
  bound and a sure answer that is off by one frame costs without limit;
- both modes are one function of cycles that the caller draws.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]

LOSSES = ('regression_mse_var', 'regression_mse', 'regression_huber', 'classification')
SIMILARITIES = ('l2', 'cosine')


def all_cycles(videos: int, frames: int) -> tuple[Indices, Indices]:
    """The deterministic mode: every frame of every video, to each other video and back.

    Returns:
        Cycles (K, 3), as the numbers of the videos visited, and starts (K,), the frame that each
        sets out from; K = videos (videos - 1) frames.
    """
    pairs = [(u, v, u) for u in range(videos) for v in range(videos) if u != v]
    cycles = np.repeat(np.array(pairs, np.int64).reshape(-1, 3), frames, axis=0)
    return cycles, np.tile(np.arange(frames), len(pairs))


def random_cycles(
    rng: np.random.Generator, count: int, videos: int, frames: int, length: int
) -> tuple[Indices, Indices]:
    """The stochastic mode: random frames, each through `length` different videos and back.

    Returns:
        Cycles (count, length + 1), whose last entry is the first, and starts (count,).

    Raises:
        ValueError: There are not so many videos.
    """
    if not 2 <= length <= videos:
        raise ValueError(f'a cycle goes through 2 to {videos} videos, not {length}')
    chosen = rng.permuted(np.tile(np.arange(videos), (count, 1)), axis=1)[:, :length]
    return np.concatenate([chosen, chosen[:, :1]], 1), rng.integers(0, frames, count)


def cycle_back(
    embeddings: Tensor,
    cycles: Tensor,
    starts: Tensor,
    *,
    similarity: str = 'l2',
    temperature: float = 0.1,
) -> Tensor:
    """Goes each cycle by soft nearest neighbours.

    Args:
        embeddings: (T, N, D), N frames of each of T videos.
        cycles: (K, C) int64, the videos visited; the last is the first.
        starts: (K,) int64, the frame of the first video to set out from.
        similarity: 'l2', minus the squared distance, or 'cosine', the dot product (which is the
            cosine for unit vectors only, as in the authors' code); both are divided by D.
        temperature: Divides the similarity; the lower, the harder the choice.

    Returns:
        (K, N) logits of the frames that each cycle comes back to.

    Raises:
        ValueError: There is no such similarity.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f'the similarity is one of {", ".join(SIMILARITIES)}, not "{similarity}"')
    query = embeddings[cycles[:, 0], starts]
    scale = embeddings.shape[-1] * temperature
    logits = query.new_empty(0)
    for video in cycles[:, 1:].unbind(1):
        candidates = embeddings[video]
        if similarity == 'l2':
            logits = -(query[:, None] - candidates).square().sum(-1) / scale
        else:
            logits = (query[:, None] * candidates).sum(-1) / scale
        query = (logits.softmax(-1)[..., None] * candidates).sum(1)
    return logits


def time_variance_floor(frames: int) -> float:
    """What is added to σ² of a time in [0, 1]: 1/(12 N²), the variance of a time within one frame.

    N frames do not tell a time better than that. A sure answer that is off by one frame then costs
    12, and -log σ² ends at about 2 log N + 2.5.
    """
    return 1 / (12 * frames**2)


def cycle_loss(
    logits: Tensor,
    starts: Tensor,
    times: Tensor,
    *,
    loss: str = 'regression_mse_var',
    variance_weight: float = 0.001,
    label_smoothing: float = 0.1,
    huber_delta: float = 0.1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """How far the cycles come back from where they set out.

    Args:
        logits: (K, N) of `cycle_back`.
        starts: (K,) int64, the frames set out from.
        times: (K, N) the frames' times in [0, 1], of the video set out from.
        loss: One of `LOSSES`: exp(-log σ²) (t - μ)² + λ log σ² with mean μ and variance σ² of the
            returned time, (t - μ)², its Huber form, or the cross-entropy of the frame.
        variance_weight: λ of the first.
        label_smoothing: Of the last.
        huber_delta: Of the third.

    Returns:
        The mean loss, and what is worth logging: the absolute error of the returned time, and the
        share of cycles whose likeliest frame is the one set out from.

    Raises:
        ValueError: There is no such loss.
    """
    weights = logits.softmax(-1)
    expected = (weights * times).sum(-1)
    true = times.gather(1, starts[:, None])[:, 0]
    if loss == 'classification':
        result = F.cross_entropy(logits, starts, label_smoothing=label_smoothing)
    elif loss == 'regression_mse':
        result = F.mse_loss(expected, true)
    elif loss == 'regression_huber':
        result = F.huber_loss(expected, true, delta=huber_delta)
    elif loss == 'regression_mse_var':
        variance = (weights * (times - expected[:, None]).square()).sum(-1)
        variance = variance + time_variance_floor(logits.shape[1])
        error = (true - expected).square()
        result = (error / variance + variance_weight * variance.log()).mean()
    else:
        raise ValueError(f'the loss is one of {", ".join(LOSSES)}, not "{loss}"')
    with torch.no_grad():
        info = {
            'tcc_error': (expected - true).abs().mean(),
            'tcc_accuracy': (logits.argmax(-1) == starts).float().mean(),
        }
    return result, info
