# SPDX-License-Identifier: Apache-2.0
"""Collections of episodes that are read when they are asked for."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import overload

from vvf_models.data.episode import Episode


class LazyEpisodes(Sequence[Episode]):
    """A collection that says how long it is and how one episode is read."""

    @abstractmethod
    def read(self, number: int) -> Episode:
        """Reads episode `number`, from 0 to the length less one.

        Several threads may read at once, so what a reader keeps open has to be one thread's own.

        Raises:
            UserError: The file cannot be read; the message names it.
        """

    def source(self, number: int) -> str:
        """Where episode `number` comes from, for messages; '' if its name says it."""
        return ''

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the episodes do; for caches."""

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> list[Episode]: ...
    def __getitem__(self, index: int | slice) -> Episode | list[Episode]:
        """Reads one episode, or several."""
        if isinstance(index, slice):
            return [self.read(number) for number in range(len(self))[index]]
        return self.read(range(len(self))[index])


class ChainedEpisodes(LazyEpisodes):
    """Episodes of several collections, one collection after the other."""

    def __init__(self, parts: Sequence[Sequence[Episode]]) -> None:
        """Keeps the parts; nothing is read."""
        self._parts = list(parts)
        self._ends = list(accumulate(len(part) for part in self._parts))

    def __len__(self) -> int:
        """Episodes in all."""
        return self._ends[-1] if self._ends else 0

    def fingerprint(self) -> str:
        """Changes when a part does."""
        return ' '.join(fingerprint(part) for part in self._parts)

    def read(self, number: int) -> Episode:
        """Reads an episode of the part that holds it."""
        part, number = self._find(number)
        return part[number]

    def source(self, number: int) -> str:
        """What the part says of it."""
        return source(*self._find(number))

    def _find(self, number: int) -> tuple[Sequence[Episode], int]:
        part = bisect_right(self._ends, number)
        start = self._ends[part - 1] if part else 0
        return self._parts[part], number - start


def source(episodes: Sequence[Episode], number: int) -> str:
    """Where an episode comes from, for messages; '' if its name says it."""
    return episodes.source(number) if isinstance(episodes, LazyEpisodes) else ''


def fingerprint(episodes: Sequence[Episode]) -> str:
    """Tells one collection from another, without reading its images where the collection can."""
    if isinstance(episodes, LazyEpisodes):
        return episodes.fingerprint()
    return ' '.join(f'{episode.episode_id} {len(episode)}' for episode in episodes)


def files_fingerprint(files: Iterable[Path]) -> str:
    """Changes when a file is added, removed or written anew."""
    stats = [(file.name, file.stat()) for file in files]
    return ' '.join(f'{name} {stat.st_size} {stat.st_mtime_ns}' for name, stat in stats)
