# SPDX-License-Identifier: Apache-2.0
"""Reads episodes in the background, at the model's size, and says what is wrong with bad ones."""

import os
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.chain import source
from vvf_models.data.episode import Episode
from vvf_models.data.images import resize_images
from vvf_models.errors import UserError

# By how much a rate may differ from the other episodes', as a share of theirs.
_RATE_TOLERANCE = 0.2


@dataclass
class SmallEpisode:
    """An episode whose images have the model's size.

    Attributes:
        where: What a message calls it: its file, or its name.
        episode: The rest, without its images.
        images: Per camera, (T, 3, S, S) uint8.
        length: T.
    """

    where: str
    episode: Episode
    images: dict[str, NDArray[np.uint8]]
    length: int


def read_all(
    episodes: Sequence[Episode], cameras: Sequence[str], image_size: int, workers: int | None = None
) -> Generator[SmallEpisode | UserError]:
    """Reads every episode once, in order; for one that cannot be used, why.

    Threads suffice, since what takes long (decompressing, decoding, scaling) lets go of Python's
    lock. Each holds one whole episode, and at most twice as many small ones wait.

    Args:
        episodes: What to read.
        cameras: Which cameras to keep.
        image_size: S, in pixels.
        workers: Threads; 0 reads in the caller's; None: one per CPU, up to 8.
    """

    def read(number: int) -> SmallEpisode | UserError:
        try:
            return _read(episodes, number, cameras, image_size)
        except UserError as error:
            return error

    if workers is None:
        workers = min(8, len(os.sched_getaffinity(0)))
    if workers == 0:
        yield from map(read, range(len(episodes)))
        return
    numbers = iter(range(len(episodes)))
    waiting: deque[Future[SmallEpisode | UserError]] = deque()
    with ThreadPoolExecutor(workers, 'episodes') as pool:
        try:
            waiting.extend(pool.submit(read, number) for number in islice(numbers, 2 * workers))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(read, number) for number in islice(numbers, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()


def _read(
    episodes: Sequence[Episode], number: int, cameras: Sequence[str], image_size: int
) -> SmallEpisode:
    episode = episodes[number]
    where = source(episodes, number)
    try:
        episode.check()
    except ValueError as error:
        raise UserError(f'{where}: {error}.' if where else f'{_capital(str(error))}.') from error
    where = where or f'Episode {episode.episode_id}'
    for camera in cameras:
        if camera not in episode.images:
            raise UserError(
                f'{where} has no camera "{camera}"; its cameras are {", ".join(episode.images)}.'
            )
    length = len(episode)
    if length < 2:
        raise UserError(f'{where} has only one frame; record it anew.')
    images = {camera: resize_images(episode.images[camera], image_size) for camera in cameras}
    return SmallEpisode(where, replace(episode, images={}), images, length)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def misfits(episodes: Sequence[SmallEpisode], use_state: bool) -> dict[int, str]:
    """Which episodes differ from the others in their rate or in the length of a vector.

    A rate is off if it differs by more than 20 % from the median of the other episodes'; a vector,
    if most have another length. Episodes without stamps, and without actions, are not judged.

    Args:
        episodes: All that could be read.
        use_state: Whether the states are wanted.

    Returns:
        A sentence for the number of each misfit.
    """
    found: dict[int, str] = {}
    rates = np.array([item.episode.rate_hz for item in episodes])
    for number, others in medians_of_others(rates).items():
        if abs(rates[number] - others) > _RATE_TOLERANCE * others:
            found[number] = f'runs at {rates[number]:.3g} Hz, the other episodes at {others:.3g} Hz'
    if use_state:
        states = [_entries(item.episode.state) for item in episodes]
        _judge_lengths(states, 'state', found)
    actions = [_entries(item.episode.actions) for item in episodes]
    _judge_lengths([count or None for count in actions], 'action', found)
    return {
        number: f'{episodes[number].where} {what}; use one kind of data.'
        for number, what in sorted(found.items())
    }


def _entries(rows: NDArray[np.float32] | None) -> int:
    return 0 if rows is None else int(rows.shape[1])


def _judge_lengths(lengths: Sequence[int | None], name: str, found: dict[int, str]) -> None:
    counts = Counter(length for length in lengths if length is not None)
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    for number, length in enumerate(lengths):
        if length is not None and length != usual:
            has = f'has {length} numbers per {name}' if length else f'has no {name}'
            found.setdefault(number, f'{has}, most episodes {usual}')


def medians_of_others(values: NDArray[np.float64]) -> dict[int, float]:
    """For each value that is a number, the median of the others."""
    known = np.flatnonzero(np.isfinite(values))
    rest = len(known) - 1
    if rest < 1:
        return {}
    order = known[np.argsort(values[known], kind='stable')]
    ranked = values[order]
    medians = {}
    for rank, number in enumerate(order):
        # What is left when one is taken out of the row: those from its place on move up by one.
        middle = [at + (at >= rank) for at in ((rest - 1) // 2, rest // 2)]
        medians[int(number)] = float(ranked[middle].mean())
    return medians
