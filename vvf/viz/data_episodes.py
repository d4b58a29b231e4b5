# SPDX-License-Identifier: Apache-2.0
"""Reads what the report shows from episodes of any data set, scored on the way if asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vvf.errors import UserError
from vvf.viz.cards import EpisodeReport
from vvf.viz.film import FilmFormat, film_format, film_picture, film_spots
from vvf.viz.parts import Mark, Span
from vvf.viz.tracks import Numbers, Track
from vvf_models.data.chain import source
from vvf_models.data.episode import Episode
from vvf_models.errors import UserError as ModelsUserError
from vvf_models.values import advantage

if TYPE_CHECKING:
    from vvf_models.runtime import ValueRuntime

_BATCH = 64


def read_data(
    episodes: Sequence[Episode],
    tracks_of: Callable[[Episode, str], Sequence[Track]] | None = None,
    *,
    threshold: float | None = None,
    skip_bad: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[EpisodeReport]:
    """Read all episodes of a data set, one at a time.

    Args:
        episodes: As `vvf.data.open_data` gives them.
        tracks_of: Gives the curves of an episode and its source; None for no curves.
        threshold: Progress that counts as success.
        skip_bad: Told of every episode that cannot be read; without it, the first is an error.
        progress: Told how many episodes of how many are read.

    Raises:
        UserError: An episode cannot be read or scored.
    """
    form = film_format(len(episodes))
    reports = []
    for number in range(len(episodes)):
        try:
            episode = episodes[number]
            tracks = tracks_of(episode, source(episodes, number)) if tracks_of else []
        except ModelsUserError as error:
            if skip_bad is None:
                raise
            skip_bad(str(error))
            continue
        reports.append(report_of(episode, tracks, threshold=threshold, form=form, number=number))
        progress(number + 1, len(episodes))
    return reports


def report_of(
    episode: Episode,
    tracks: Sequence[Track] = (),
    *,
    threshold: float | None = None,
    form: FilmFormat | None = None,
    number: int = 0,
) -> EpisodeReport:
    """What the page shows of one episode.

    Args:
        episode: The episode.
        tracks: What models said about it.
        threshold: Progress that counts as success.
        form: Of the film strip; None for no film.
        number: A name for an episode that has none.
    """
    times, unit = frame_times(episode)
    films = []
    if form is not None:
        frames = next(iter(episode.images.values()))
        spots = film_spots(len(frames), form)
        films = [('', [(float(times[i]), film_picture(frames[i], form)) for i in spots])]
    return EpisodeReport(
        name=episode.episode_id or f'episode {number}',
        outcome=outcome_of(episode.success),
        seconds=float(times[-1]),
        frames=len(episode),
        tracks=tracks,
        films=films,
        marks=[
            Mark(float(times[e.frame]), e.name.replace('_', ' '), e.kind) for e in episode.events
        ],
        human=_human(episode, times),
        instruction=episode.instruction,
        threshold=threshold,
        facts=[episode.failure_kind.replace('_', ' ')] if episode.failure_kind else [],
        unit=unit,
    )


def frame_times(episode: Episode) -> tuple[Numbers, str]:
    """Time of each frame and its unit: seconds, or the frame's number where nobody knows."""
    if len(episode.stamps) == len(episode) and math.isfinite(episode.rate_hz):
        return np.asarray(episode.stamps - episode.stamps[0], np.float64), 's'
    return np.arange(len(episode), dtype=np.float64), 'frame'


def outcome_of(success: bool | None) -> str:
    """An outcome in a word."""
    return {True: 'success', False: 'failure', None: 'unlabelled'}[success]


def score(episode: Episode, model: ValueRuntime) -> Track:
    """What a model says about an episode.

    Raises:
        UserError: The episode lacks a camera or the state that the model needs.
    """
    missing = [name for name in model.cameras if name not in episode.images]
    if missing:
        raise UserError(
            f'{model.name} looks through {", ".join(missing)}, episode {episode.episode_id} has '
            f'{", ".join(episode.images)}: score it with another checkpoint'
        )
    state = episode.state
    if model.state_dim and (state is None or state.shape[1] != model.state_dim):
        raise UserError(
            f'{model.name} takes a state of {model.state_dim} numbers, which episode '
            f'{episode.episode_id} does not have: score it with another checkpoint'
        )
    model.set_instruction(episode.instruction)
    if not model.ready:
        raise UserError(
            f'{model.name} holds no goal for these episodes: `vvf eval value --report` can measure '
            'against the last frame of each'
        )
    parts = []
    for begin in range(0, len(episode), _BATCH):
        rows = slice(begin, begin + _BATCH)
        images = {name: episode.images[name][rows] for name in model.cameras}
        some = state[rows] if model.state_dim and state is not None else None
        parts.append(model.value(model.encode(images, some)))
    value, progress, spread = (
        np.concatenate([np.asarray(getattr(part, name), np.float64) for part in parts])
        for name in ('value', 'progress', 'uncertainty')
    )
    times, unit = frame_times(episode)
    gain = np.zeros(0)
    if unit == 's':
        gain = advantage.lookback(
            times, value, gamma=model.gamma, rate_hz=episode.rate_hz, step_cost=model.step_cost
        )
    return Track(model.name, times, progress, value, gain, spread)


def _human(episode: Episode, times: Numbers) -> list[Span]:
    """From when to when somebody acted by hand."""
    if episode.interventions is None:
        return []
    edges = np.flatnonzero(np.diff(np.r_[0, episode.interventions.astype(np.int8), 0]))
    last = len(times) - 1
    return [
        (float(times[begin]), float(times[min(end, last)]))
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
    ]
