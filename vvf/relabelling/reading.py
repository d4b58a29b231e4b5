# SPDX-License-Identifier: Apache-2.0
"""Reads episodes of any kind as batches of what the models want, each image decoded once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vvf.bags.frames import Frame, batches
from vvf.bags.reader import open_bag
from vvf.errors import UserError, is_user_error
from vvf.relabelling.options import RelabelOptions
from vvf.relabelling.plan import (
    Item,
    Needs,
    View,
    frames_of_bag,
    open_collection,
    task_of_bag,
    views_of_bag,
)
from vvf.relabelling.scores import EpisodeAbout, joined
from vvf.task import TaskSpec
from vvf_models.data.chain import source
from vvf_models.data.episode import Episode

_OUTCOMES = {True: 'success', False: 'failure', None: 'unlabelled'}
#: Kinds of which training takes so many frames a second as are asked for, if there are as many.
_THINNED = ('lerobot', 'videos', 'views', 'frames')
_RATE_TOLERANCE = 0.2  # by which frames may come more slowly than was asked for


@dataclass(frozen=True)
class Opening:
    """Comes first.

    Attributes:
        instruction: What the robot was asked to do.
        views: For each model, the view that each of its cameras sees.
    """

    instruction: str
    views: list[dict[str, View]]


@dataclass(frozen=True)
class Batch:
    """B frames.

    Attributes:
        images: (B, H, W, 3) uint8 RGB by view.
        state: (B, D) float32, or None.
        stamps_ns: (B,) int64.
        recorded_ns: (B,) int64.
    """

    images: dict[View, npt.NDArray[np.uint8]]
    state: npt.NDArray[np.float32] | None
    stamps_ns: npt.NDArray[np.int64]
    recorded_ns: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Closing:
    """Comes last.

    Attributes:
        about: The episode.
        intervention: (T,) bool, where a human was in control.
        seconds: What reading and decoding took, over all threads.
    """

    about: EpisodeAbout
    intervention: npt.NDArray[np.bool_]
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Instead of what would have followed: why the episode cannot be used."""

    item: Item
    reason: str


Read = Opening | Batch | Closing | Failure


def read_items(
    items: Sequence[Item], needs: Sequence[Needs], options: RelabelOptions
) -> Iterator[tuple[Item, Read]]:
    """The episodes one after the other: an opening, batches, a closing; or a failure."""
    for item in items:
        try:
            reader = _read_bag if item.kind == 'bags' else _read_collection
            for part in reader(item, needs, options):
                yield item, part
        except Exception as error:
            if not is_user_error(error):
                raise
            yield item, Failure(item, str(error))


def _read_bag(item: Item, needs: Sequence[Needs], options: RelabelOptions) -> Iterator[Read]:
    with open_bag(item.path) as reader:
        task = task_of_bag(item.path, reader, options)
        views = views_of_bag(task, needs, options.cameras)
        frames = frames_of_bag(reader, task, needs, views)
        yield Opening(reader.custom_data.get('instruction') or task.instruction, views)
        stamps: list[npt.NDArray[np.int64]] = []
        stacking = 0.0
        for some in batches(frames, options.batch):
            began = time.perf_counter()
            batch = _stacked(some)
            stamps.append(batch.stamps_ns)
            stacking += time.perf_counter() - began
            yield batch
        outcome = reader.custom_data.get('outcome', 'unlabelled')
        about = EpisodeAbout(
            name=item.name,
            task=task.name,
            episode_id=reader.episode_id,
            outcome=outcome,
            done=_done(stamps, frames.success_ns) if outcome == 'success' else -1,
            rate_hz=_rate(task, options),
            live_values=frames.live_values,
            frames_read=frames.frames_read,
            lost=dict(frames.lost),
            seconds_lost=reader.loss.seconds,
            loss=str(reader.loss) if reader.loss else '',
            source=str(item.path),
        )
    # Only now: an action comes after the frame that it answers.
    human = frames.control.human_at(joined(stamps, np.int64))
    yield Closing(about, human, frames.decode_seconds + stacking)


def _stacked(frames: Sequence[Frame]) -> Batch:
    states = [frame.state for frame in frames if frame.state is not None]
    return Batch(
        images={view: np.stack([f.images[view] for f in frames]) for view in frames[0].images},
        state=np.stack(states) if states else None,
        stamps_ns=np.array([frame.stamp_ns for frame in frames], np.int64),
        recorded_ns=np.array([frame.recorded_ns for frame in frames], np.int64),
    )


def _done(stamps: Sequence[npt.NDArray[np.int64]], success_ns: int | None) -> int:
    """The first frame at or after a success, the last one where nobody said when it was."""
    count = sum(map(len, stamps))
    if success_ns is None or not count:
        return count - 1
    return min(count - 1, int(np.searchsorted(np.concatenate(stamps), success_ns)))


def _rate(task: TaskSpec, options: RelabelOptions) -> float:
    return options.rate_hz or task.rate_hz


def _read_collection(item: Item, needs: Sequence[Needs], options: RelabelOptions) -> Iterator[Read]:
    episodes = open_collection(item.path, item.kind, needs, options)
    where = source(episodes, item.numbers[0]) or item.name
    spent, count, offset_ns = 0.0, 0, 0
    stamps: list[npt.NDArray[np.int64]] = []
    human: list[npt.NDArray[np.bool_]] = []
    first: Episode | None = None
    for number in item.numbers:
        began = time.perf_counter()
        episode = episodes[number]
        try:
            episode.check()
        except ValueError as error:
            raise UserError(f'{where}: {error}') from error
        spent += time.perf_counter() - began
        views = [views_of_episode(where, need, episode, options) for need in needs]
        if first is None:
            first = episode
            yield Opening(episode.instruction, views)
        stamps_ns = _stamps(episode, offset_ns, options)
        for start in range(0, len(episode), options.batch):
            chosen = slice(start, start + options.batch)
            batch = _cut(episode, views, stamps_ns, chosen)
            stamps.append(batch.stamps_ns)
            yield batch
        count += len(episode)
        by_hand = episode.interventions
        human.append(np.zeros(len(episode), bool) if by_hand is None else by_hand)
        # Parts of a video carry on its stamps; without stamps they are counted on.
        offset_ns = int(stamps_ns[-1]) + round(1e9 / (options.rate_hz or 1.0))
    assert first is not None  # an item has at least one number
    lerobot = item.kind == 'lerobot'
    about = EpisodeAbout(
        name=item.name,
        task=first.instruction,
        episode_id=first.episode_id if len(item.numbers) == 1 else Path(where).stem,
        outcome=_OUTCOMES[first.success],
        done=(first.success_index if first.success_index >= 0 else count - 1)
        if first.success
        else -1,
        rate_hz=_rate_of(item.kind, np.concatenate(stamps), options),
        live_values=False,
        frames_read=count,
        lost={},
        seconds_lost=0.0,
        loss='',
        source=where,
        dataset_index=int(first.episode_id.rpartition('_')[2]) if lerobot else -1,
    )
    yield Closing(about, joined(human, bool), spent)


def views_of_episode(
    where: str, need: Needs, episode: Episode, options: RelabelOptions
) -> dict[str, View]:
    """The view that each of a model's cameras sees.

    The only camera of an episode serves the only one of a model, whatever they are called.

    Raises:
        UserError: A camera is missing, or the state has another length.
    """
    views = {}
    for camera in need.cameras:
        name = options.cameras.get(camera, camera)
        if name not in episode.images:
            if len(need.cameras) > 1 or len(episode.images) > 1 or camera in options.cameras:
                raise UserError(
                    f'{where} has no camera "{name}", only {", ".join(episode.images)}: say which '
                    f'one it is with --camera {camera}=NAME'
                )
            name = next(iter(episode.images))
        views[camera] = (name, need.image_size)
    width = 0 if episode.state is None else episode.state.shape[1]
    if need.state_dim and need.state_dim != width:
        raise UserError(
            f'{need.name} wants a state of {need.state_dim} numbers, but {where} has '
            f'{width or "none"}: choose a checkpoint trained on such data'
        )
    return views


def _stamps(episode: Episode, offset_ns: int, options: RelabelOptions) -> npt.NDArray[np.int64]:
    if len(episode.stamps):
        return np.asarray(np.round(episode.stamps * 1e9), np.int64)
    return np.asarray(
        offset_ns + np.round(np.arange(len(episode)) * 1e9 / (options.rate_hz or 1.0)), np.int64
    )


def _cut(
    episode: Episode,
    views: Sequence[dict[str, View]],
    stamps_ns: npt.NDArray[np.int64],
    chosen: slice,
) -> Batch:
    return Batch(
        images={view: episode.images[view[0]][chosen] for some in views for view in some.values()},
        state=None if episode.state is None else episode.state[chosen],
        stamps_ns=stamps_ns[chosen],
        recorded_ns=stamps_ns[chosen],
    )


def _rate_of(kind: str, stamps_ns: npt.NDArray[np.int64], options: RelabelOptions) -> float:
    """Steps per second: as given, as models see such data in training, or by the stamps."""
    if options.rate_hz:
        return options.rate_hz
    gap = float(np.median(np.diff(stamps_ns))) * 1e-9 if len(stamps_ns) > 1 else 0.0
    if gap <= 0:
        return 1.0
    fps = options.reading.fps
    thinned = kind in _THINNED and 0 < fps < (1 + _RATE_TOLERANCE) / gap
    return fps if thinned else 1 / gap


__all__ = [
    'Batch',
    'Closing',
    'Failure',
    'Opening',
    'Read',
    'read_items',
    'views_of_episode',
]
