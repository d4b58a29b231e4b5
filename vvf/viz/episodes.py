# SPDX-License-Identifier: Apache-2.0
"""Reads what the report shows from a folder of recorded and relabelled episodes."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vvf.bags.browse import UNREADABLE
from vvf.bags.reader import BagReader, DecodeError, is_bag, open_bag
from vvf.errors import UserError
from vvf.images import ImageError, to_rgb
from vvf.viz.bag_notes import BagNotes, take_notes
from vvf.viz.cards import EpisodeReport
from vvf.viz.film import FilmFormat, film_format, film_picture, film_spots
from vvf.viz.parts import Film
from vvf.viz.tracks import spearman_with_time

_DEPTH = 3


def read_run(
    folder: Path,
    *,
    threshold: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[EpisodeReport]:
    """Read all episodes below a folder, each with its relabelled siblings where there are any.

    Args:
        folder: A folder of bags, at most three levels deep, or one bag.
        threshold: Progress that counts as success.
        progress: Told how many episodes of how many are read.

    Raises:
        UserError: There is no bag.
    """
    unreadable: dict[Path, str] = {}
    pairs = find_episodes(folder, unreadable)
    form = film_format(len(pairs))
    episodes = []
    for bag, siblings in pairs:
        episodes.append(read_episode(bag, siblings, threshold=threshold, form=form))
        progress(len(episodes), len(pairs))
    return episodes + [
        EpisodeReport(path.name, UNREADABLE, 0.0, complaints=[why])
        for path, why in unreadable.items()
    ]


def find_episodes(
    folder: Path, unreadable: dict[Path, str] | None = None
) -> list[tuple[Path, list[Path]]]:
    """Bags below a folder, each with those that relabelling made of it.

    Args:
        folder: A folder of bags, at most three levels deep, or one bag.
        unreadable: Takes the bags that cannot be opened, and why.

    Raises:
        UserError: There is no bag that can be opened; or, where nothing takes those, there is one
            that cannot.
    """
    if not folder.exists():
        raise UserError(f'{folder} does not exist: give a folder of recorded episodes')
    originals: dict[str, Path] = {}
    siblings: dict[str, list[Path]] = {}
    bad: dict[Path, str] = {} if unreadable is None else unreadable
    for path in _bags(folder, _DEPTH):
        try:
            with open_bag(path) as reader:
                if 'relabel_topic' in reader.custom_data:
                    siblings.setdefault(reader.episode_id, []).append(path)
                else:
                    originals.setdefault(reader.episode_id, path)
        except UserError as error:
            bad[path] = str(error)
    if bad and (unreadable is None or not (originals or siblings)):
        raise UserError(next(iter(bad.values())))
    if not originals and not siblings:
        raise UserError(f'{folder} holds no bags: give a folder of recorded episodes')
    pairs = []
    for key in dict.fromkeys((*originals, *siblings)):
        made = siblings.get(key, [])
        pairs.append((originals[key], made) if key in originals else (made[0], made[1:]))
    return pairs


def read_episode(
    bag: Path,
    relabelled: Sequence[Path] = (),
    *,
    threshold: float | None = None,
    form: FilmFormat | None = None,
) -> EpisodeReport:
    """Read one episode.

    Args:
        bag: The bag as it was recorded, or a relabelled one.
        relabelled: Its siblings with offline values.
        threshold: Progress that counts as success.
        form: Of the film strip; None for no film.
    """
    with open_bag(bag) as reader:
        notes = take_notes(reader)
        films = []
        if form is not None:
            film = _film(reader, notes, form)
            films = [('', film)] if film else []
        episode = EpisodeReport(
            name=reader.episode_id,
            outcome=reader.custom_data.get('outcome', 'unlabelled'),
            seconds=notes.seconds,
            frames=len(notes.stamps),
            films=films,
            marks=notes.marks,
            human=notes.human,
            instruction=reader.custom_data.get('instruction', ''),
            steps=notes.steps or None,
            threshold=threshold,
            complaints=notes.complaints,
        )
    tracks = [*notes.live, *notes.relabelled]
    for sibling in relabelled:
        with open_bag(sibling) as reader:
            other = take_notes(reader)
        shift = (other.start_ns - notes.start_ns) * 1e-9
        for track in other.relabelled:
            name, count = track.name, sum(t.name.startswith(track.name) for t in tracks)
            name = f'{name} {count + 1}' if count else name
            tracks.append(replace(track, name=name, times=track.times + shift))
    return replace(episode, tracks=tracks)


def summarise(episodes: Sequence[EpisodeReport], stored: Path | None = None) -> Mapping[str, Any]:
    """Return the summary of a run: that of ``summary.json`` where there is one, else computed."""
    if stored is not None and stored.is_file():
        try:
            data = json.loads(stored.read_text('utf-8'))
        except (OSError, ValueError):
            data = None
        if isinstance(data, dict):
            return data
    successes = [e for e in episodes if e.outcome == 'success']
    failures = [e for e in episodes if e.outcome == 'failure']
    judged = len(successes) + len(failures)
    order = [spearman_with_time(e.tracks[-1]) for e in successes if e.tracks]
    complaints = sum(len(e.complaints) for e in episodes)
    by_hand = sum(len(e.human) for e in episodes)
    return {
        'episodes': len(episodes),
        'successes': len(successes),
        'success_rate': len(successes) / judged if judged else None,
        'value_spearman_mean': _mean(order),
        'progress_end_success_mean': _mean([e.end for e in successes]),
        'progress_end_failure_mean': _mean([e.end for e in failures]),
        'largest_fall_mean': _mean([e.fall.size for e in episodes if any(e.tracks)]),
        'interventions': by_hand or None,
        'complaints': complaints or None,
        'seconds': sum(e.seconds for e in episodes if e.unit == 's'),
    }


def _bags(folder: Path, depth: int) -> Iterator[Path]:
    if is_bag(folder):
        yield folder
    elif folder.is_dir() and depth > 0:
        for inside in sorted(folder.iterdir()):
            if not inside.name.startswith('.') and (inside.is_dir() or is_bag(inside)):
                yield from _bags(inside, depth - 1)


def _film(reader: BagReader, notes: BagNotes, form: FilmFormat) -> Film:
    if not notes.stamps:
        return []
    wanted = set(film_spots(len(notes.stamps), form).tolist())
    film = []
    for index, (_, kind, _, cdr) in enumerate(reader.messages([notes.camera])):
        if index in wanted:
            try:
                image = to_rgb(reader.deserialize(cdr, kind))
            except (DecodeError, ImageError):
                continue
            film.append(((notes.stamps[index] - notes.start_ns) * 1e-9, film_picture(image, form)))
    return film


def _mean(values: Sequence[float]) -> float | None:
    finite = [v for v in values if math.isfinite(v)]
    return statistics.fmean(finite) if finite else None
