# SPDX-License-Identifier: Apache-2.0
"""What was experienced: a ring of transitions for each seed, and offline data that all seeds share.

Rows are `observation`, `action`, `reward`, `mask` (0 where the episode ended for good, 1 elsewhere,
also where only its time was up) and `next_observation`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.rl.rlpd import Rows

NAMES = ('observation', 'action', 'reward', 'mask', 'next_observation')


class Replay:
    """A ring of transitions for each of S seeds.

    Args:
        seeds: S.
        capacity: Transitions per seed; the oldest go first.
    """

    def __init__(self, seeds: int, capacity: int) -> None:
        self.seeds, self.capacity = seeds, capacity
        self.size = self._next = 0
        self._rows: Rows = {}

    def insert(self, rows: Mapping[str, NDArray[np.generic]]) -> None:
        """Adds n transitions to each seed's: arrays (S, n, ...) of `NAMES`."""
        count = rows['reward'].shape[1]
        if not self._rows:
            self._rows = {
                name: np.zeros((self.seeds, self.capacity, *rows[name].shape[2:]), rows[name].dtype)
                for name in NAMES
            }
        places = (self._next + np.arange(count)) % self.capacity
        for name, array in self._rows.items():
            array[:, places] = rows[name]
        self._next = (self._next + count) % self.capacity
        self.size = min(self.size + count, self.capacity)

    def sample(self, rngs: Sequence[np.random.Generator], count: int) -> Rows:
        """`count` rows for each seed, (S, count, ...), drawn by its own generator."""
        chosen = np.stack([rng.integers(self.size, size=count) for rng in rngs])
        seeds = np.arange(self.seeds)[:, None]
        return {name: array[seeds, chosen] for name, array in self._rows.items()}

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs."""
        filled = {n: torch.from_numpy(a[:, : self.size].copy()) for n, a in self._rows.items()}
        return {**filled, 'next': torch.tensor(self._next)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        self.size = self._next = 0
        self._rows = {}
        if NAMES[0] in tensors:
            self.insert({name: tensors[name].numpy() for name in NAMES})
        self._next = int(tensors['next'])


class OfflineData:
    """N transitions that all seeds draw from; arrays (N, ...) of `NAMES`."""

    def __init__(self, rows: Mapping[str, NDArray[np.generic]]) -> None:
        self.rows = {name: rows[name] for name in NAMES}
        self.size = len(rows['reward'])

    def sample(self, rngs: Sequence[np.random.Generator], count: int) -> Rows:
        """`count` rows for each seed, (S, count, ...), drawn by its own generator."""
        chosen = np.stack([rng.integers(self.size, size=count) for rng in rngs])
        return {name: array[chosen] for name, array in self.rows.items()}
