# SPDX-License-Identifier: Apache-2.0
"""Several collections of episodes as one."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import overload

from vvf_models.data.episode import Episode


class ChainedEpisodes(Sequence[Episode]):
    """Episodes of several collections, one collection after the other, read lazily."""

    def __init__(self, parts: Sequence[Sequence[Episode]]) -> None:
        """Keeps the parts; nothing is read."""
        self._parts = list(parts)
        self._ends = list(accumulate(len(part) for part in self._parts))

    def __len__(self) -> int:
        """Episodes in all."""
        return self._ends[-1] if self._ends else 0

    def fingerprint(self) -> str:
        """Changes when a part does; for caches."""
        return ' '.join(fingerprint(part) for part in self._parts)

    @overload
    def __getitem__(self, index: int) -> Episode: ...

    @overload
    def __getitem__(self, index: slice) -> list[Episode]: ...

    def __getitem__(self, index: int | slice) -> Episode | list[Episode]:
        """One episode, or a list of them."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f'episode {index} of {len(self)}')
        part = bisect_right(self._ends, position)
        start = self._ends[part - 1] if part else 0
        return self._parts[part][position - start]


def fingerprint(episodes: Sequence[Episode]) -> str:
    """Tells one collection from another, without reading its images where the collection can."""
    own = getattr(episodes, 'fingerprint', None)
    if own is not None:
        return str(own())
    return ' '.join(f'{episode.episode_id} {len(episode)}' for episode in episodes)
