# SPDX-License-Identifier: Apache-2.0
"""The episodes that value models are judged by, the same ones for every model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.data import open_data
from vvf_models.data.chain import ChainedEpisodes, LazyEpisodes
from vvf_models.data.episode import Episode, Event
from vvf_models.data.frames import FrameStore
from vvf_models.data.options import ReadOptions
from vvf_models.evaluation.scoring import outcomes

Indices = npt.NDArray[np.int64]


@dataclass
class Scene:
    """The episodes that were scored, the same for every model.

    Attributes:
        numbers: Which of the data's episodes they are.
        names: Their ids.
        success: Outcome of each, None if nobody labelled it.
        success_index: First frame in which the task is done, -1 where there is none.
        failure_kinds: How each failed, '' if unknown.
        instructions: What was asked for in each.
        events: What happened in each.
        rates: Frames per second of each, NaN if unknown.
        lengths: Frames of each.
    """

    numbers: list[int]
    names: list[str]
    success: list[bool | None]
    success_index: list[int]
    failure_kinds: list[str]
    instructions: list[str]
    events: list[tuple[Event, ...]]
    rates: list[float]
    lengths: list[int]

    @property
    def labelled(self) -> bool:
        """Whether any outcome is known."""
        return any(outcome is not None for outcome in self.success)


class _Numbered(LazyEpisodes):
    """Episodes whose ids begin with their number, to be found again when bad ones are left out."""

    def __init__(self, episodes: ChainedEpisodes) -> None:
        self._episodes = episodes

    def __len__(self) -> int:
        return len(self._episodes)

    def fingerprint(self) -> str:
        return self._episodes.fingerprint()

    def source(self, number: int) -> str:
        return self._episodes.source(number)

    def read(self, number: int) -> Episode:
        episode = self._episodes.read(number)
        return replace(episode, episode_id=f'{number} {episode.episode_id}')


class Data:
    """The episodes, and their frames as each model wants them.

    Args:
        paths: Where they lie.
        task: Task file of bags that hold none.
        skip_bad: Told of every episode that cannot be used; without it, the first is an error.
        reading: How videos and frames are read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        task: str | None = None,
        skip_bad: Callable[[str], None] | None = None,
        reading: ReadOptions | None = None,
    ) -> None:
        self.paths = list(paths)
        self._task, self._skip_bad = task, skip_bad
        self._reading = reading or ReadOptions()
        self._stores: dict[tuple[Any, ...], FrameStore] = {}

    def episodes(self, options: ReadOptions | None = None) -> ChainedEpisodes:
        """The episodes, read lazily."""
        options = options or self._reading
        return ChainedEpisodes([open_data(path, self._task, options) for path in self.paths])

    def store(self, cameras: Sequence[str], size: int, *, state: bool) -> FrameStore:
        """All frames through some cameras.

        Raises:
            UserError: An episode cannot be used.
        """
        key = (tuple(cameras), size, state)
        if key not in self._stores:
            options = replace(self._reading, cameras=tuple(cameras), image_size=size)
            self._stores[key] = FrameStore.from_episodes(
                _Numbered(self.episodes(options)),
                cameras,
                size,
                skip_bad=self._skip_bad,
                use_state=state,
            )
        return self._stores[key]


def scene_of(store: FrameStore, rows: Indices) -> Scene:
    """What is known about some episodes of a store whose ids begin with their numbers."""
    parts = [store.episode_ids[e].partition(' ') for e in rows]
    return Scene(
        numbers=[int(number) for number, _, _ in parts],
        names=[name for _, _, name in parts],
        success=outcomes(store, rows),
        success_index=[int(index) for index in store.success_index[rows]],
        failure_kinds=[store.failure_kinds[e] for e in rows],
        instructions=[store.instructions[e] for e in rows],
        events=[store.events[e] for e in rows],
        rates=[float(rate) for rate in store.rates[rows]],
        lengths=[int(length) for length in store.lengths[rows]],
    )


def rows_of(store: FrameStore, scene: Scene) -> Indices:
    """Where the episodes of a scene stand in a store."""
    place = {int(name.partition(' ')[0]): row for row, name in enumerate(store.episode_ids)}
    return np.array([place[number] for number in scene.numbers], np.int64)
