# SPDX-License-Identifier: Apache-2.0
"""RLPD's batches: offline rows between online rows, and many critic steps to one of the actor.

Ball, Smith, Kostrikov, Levine, "Efficient Online Reinforcement Learning with Offline Data", arXiv
2302.02948, algorithm 1; authors' code: ikostrikov/rlpd (MIT), train_finetuning.py (`combine`) and
rlpd/agents/sac/sac_learner.py (`update`). Theirs interleaves at a ratio of one half and fails at
any other; here other ratios are spread as evenly as they go.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = dict[str, NDArray[np.generic]]
Batch = dict[str, Tensor]


def offline_rows(count: int, ratio: float) -> NDArray[np.bool_]:
    """Which of `count` rows are offline ones: even rows at one half, floor(ratio count) in all."""
    index = np.arange(count)
    share = int(ratio * count) / count if count else 0.0
    return np.asarray(np.ceil((index + 1) * share - 1e-9) > np.ceil(index * share - 1e-9))


def interleave(offline: Rows, online: Rows, ratio: float) -> Rows:
    """One batch of both.

    Args:
        offline: Arrays (S, F, ...).
        online: Arrays (S, N, ...) of the same names.
        ratio: Share of offline rows; F must be what `offline_rows` says of F + N rows.

    Raises:
        ValueError: The numbers of rows do not make that ratio.
    """
    result = {}
    for name, ours in online.items():
        theirs = offline[name]
        count = ours.shape[1] + theirs.shape[1]
        chosen = offline_rows(count, ratio)
        if chosen.sum() != theirs.shape[1]:
            raise ValueError(f'{theirs.shape[1]} of {count} rows are not a share of {ratio}')
        both = np.empty((ours.shape[0], count, *ours.shape[2:]), ours.dtype)
        both[:, chosen] = theirs
        both[:, ~chosen] = ours
        result[name] = both
    return result


def to_tensors(rows: Rows) -> Batch:
    """The same as tensors."""
    return {name: torch.from_numpy(array) for name, array in rows.items()}


def minibatches(batch: Mapping[str, Tensor], count: int) -> Iterator[Batch]:
    """Cuts a batch (S, utd B, ...) into `count` runs of B rows, one for each critic step.

    Raises:
        ValueError: The rows cannot be divided so.
    """
    rows = next(iter(batch.values())).shape[1]
    if rows % count:
        raise ValueError(f'{rows} rows cannot be cut into {count} minibatches')
    size = rows // count
    for start in range(0, rows, size):
        yield {name: tensor[:, start : start + size] for name, tensor in batch.items()}
