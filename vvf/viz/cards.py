# SPDX-License-Identifier: Apache-2.0
"""Episodes on a page: a table to sort, a filter, and a card for each with film strip and curves.

Both pages are made of this: that about recorded bags or data, and that about value models.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from vvf.viz.parts import (
    CURVES,
    NOTABLE_FALL,
    Film,
    Mark,
    Span,
    chart,
    film_strip,
    moment,
    number,
    pill,
)
from vvf.viz.tracks import Fall, Track, largest_fall, spearman_with_time

#: Bytes of pictures on a page; a third more as text. With the curves, a page stays below 32 MB.
FILM_BYTES = 16_000_000
#: Samples of all curves on a page, of at most some 40 bytes each.
CURVE_SAMPLES = 200_000
#: Cards on a page.
MOST_EPISODES = 1000
MOST_MARKS = 60

READING = (
    'Progress runs from 0 to 1, where 1 is done. Point at a curve or a picture to read it off; or '
    'focus a curve and use the arrow keys, Home and End, and Page Up and Down from event to event.'
)

_SAMPLES = (40, 400)  # of a curve, at least and at most
_MOST_NAMED = 40  # letters of an instruction in the filter


@dataclass
class EpisodeReport:
    """What the page shows of one episode. Times are seconds since its first frame.

    Attributes:
        name: The episode's id.
        outcome: ``success``, ``failure``, ``aborted`` or ``unlabelled``.
        seconds: Duration.
        frames: Frames of the reference camera.
        tracks: What value models said; the first one's falls are what the episode is sorted by.
        films: (name, film) of each strip; a film is (time, JPEG bytes), in order of time.
        marks: Milestones and errors.
        human: From when to when a human was in control.
        instruction: What the robot was asked to do.
        steps: Actions sent; None where it is not known.
        threshold: Progress that counts as success; None for no line.
        facts: More to be said in the line below the name.
        complaints: What to be warned of, such as frames that were lost.
        unit: Of all times: 's', or 'frame' where the rate is not known.
    """

    name: str
    outcome: str
    seconds: float
    frames: int = 0
    tracks: Sequence[Track] = ()
    films: Sequence[tuple[str, Film]] = ()
    marks: Sequence[Mark] = ()
    human: Sequence[Span] = ()
    instruction: str = ''
    steps: int | None = None
    threshold: float | None = None
    facts: Sequence[str] = ()
    complaints: Sequence[str] = ()
    unit: str = 's'
    fall: Fall = field(init=False)

    def __post_init__(self) -> None:
        first = next((track for track in self.tracks if track), None)
        self.fall = largest_fall(first) if first else Fall()

    @property
    def end(self) -> float:
        """Progress at the end, by the last model; NaN without any."""
        return next((track.end for track in reversed(self.tracks) if track), math.nan)


def episodes_section(episodes: Sequence[EpisodeReport], heading: str = 'Episodes') -> str:
    """Table, controls, legend and cards; worst drops first where there are curves."""
    names = list(dict.fromkeys(t.name for e in episodes for t in e.tracks if t))
    styles = {name: CURVES[i % len(CURVES)] for i, name in enumerate(names)}
    numbered = list(enumerate(episodes, 1))
    if names:
        numbered.sort(key=lambda pair: -pair[1].fall.size)
    left_out = len(numbered) - MOST_EPISODES
    shown = numbered[:MOST_EPISODES]
    samples = int(np.clip(CURVE_SAMPLES // max(1, len(shown) * len(names)), *_SAMPLES))
    budget = FILM_BYTES // max(1, len(shown))
    cards = ''.join(_card(index, e, styles, samples, budget) for index, e in shown)
    said = ''
    if left_out > 0:
        said = (
            f'<p class="facts">The {MOST_EPISODES} episodes with the largest falls have a card; '
            f'the other {left_out} are in the table.</p>'
        )
    return (
        f'<h2>Overview</h2>{_controls(episodes, curves=bool(names))}{_table(numbered, names)}'
        f'<h2>{escape(heading)}</h2>{said}{_legend(episodes, styles)}'
        f'<section class="cards">{cards}</section>'
    )


def _controls(episodes: Sequence[EpisodeReport], *, curves: bool) -> str:
    outcomes = [('all', len(episodes)), *Counter(e.outcome for e in episodes).most_common()]
    buttons = ''.join(
        f'<button type="button" data-outcome="{escape(name)}" '
        f'aria-pressed="{"true" if name == "all" else "false"}">{escape(name)} {count}</button>'
        for name, count in outcomes
    )
    orders = [('index up', 'as recorded'), ('seconds down', 'longest first')]
    if curves:
        orders = [('fall down', 'worst drops first'), *orders, ('end up', 'lowest end first')]
    options = ''.join(f'<option value="{key}">{words}</option>' for key, words in orders)
    chosen = ''
    tasks = Counter(e.instruction for e in episodes)
    if len(tasks) > 1:
        inner = ''.join(
            f'<option value="{escape(text)}">{escape(_cut(text) or "no instruction")} ({count})'
            '</option>'
            for text, count in tasks.most_common()
        )
        chosen = (
            '<label>task <select class="task"><option value="all">all instructions</option>'
            f'{inner}</select></label>'
        )
    return (
        f'<div class="bar" role="group" aria-label="filter and order">{buttons}{chosen}'
        f'<label>order <select class="order">{options}</select></label>'
        '<span class="count" role="status"></span></div>'
    )


def _table(numbered: Sequence[tuple[int, EpisodeReport]], names: Sequence[str]) -> str:
    """All episodes; a column is there where an episode has something in it."""
    episodes = [episode for _, episode in numbered]
    columns = [('name', 'episode', ''), ('outcome', 'outcome', 'words')]
    if len({e.instruction for e in episodes}) > 1:
        columns.append(('task', 'instruction', 'words long'))
    columns.append(('seconds', 'seconds', ''))
    if any(e.steps is not None for e in episodes):
        columns.append(('steps', 'steps', ''))
    columns.append(('frames', 'frames', ''))
    if names:
        columns.append(('fall', 'largest fall', ''))
    for i, name in enumerate(names):
        columns += [(f'end{i}', f'end, {name}', ''), (f'order{i}', f'order, {name}', '')]
    if any(e.human for e in episodes):
        columns.append(('human', 'by hand, s', ''))
    if any(e.complaints for e in episodes):
        columns.append(('complaints', 'complaints', ''))
    head = ''.join(
        f'<th scope="col" data-key="{key}"{_class(style)}'
        f'{_sorted(key, falling=bool(names))}><button type="button">{escape(words)}</button></th>'
        for key, words, style in columns
    )
    rows = []
    for index, episode in numbered:
        keys = _keys(index, episode, names)
        cells = ''.join(
            f'<td{_class(style)}>{_cell(key, keys[key], episode, index)}</td>'
            for key, _, style in columns
        )
        text = json.dumps(keys, separators=(',', ':'), ensure_ascii=False)
        rows.append(f'<tr data-card="episode-{index}" data-keys="{escape(text)}">{cells}</tr>')
    order = 'Order is the rank correlation of progress with time: 1 where it only ever rises. '
    fall = 'The largest fall is that of the first curve below the best it had reached before.'
    note = f'<p class="facts below">{order}{fall}</p>' if names else ''
    return (
        f'<div class="table episodes"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div>{note}'
    )


def _keys(index: int, episode: EpisodeReport, names: Sequence[str]) -> dict[str, Any]:
    """What the episode is sorted and filtered by; None sorts last."""
    tracks = {track.name: track for track in episode.tracks if track}
    keys: dict[str, Any] = {
        'index': index,
        'name': episode.name,
        'outcome': episode.outcome,
        'task': episode.instruction,
        'seconds': round(episode.seconds, 2),
        'steps': episode.steps,
        'frames': episode.frames,
        'fall': round(episode.fall.size, 4) if tracks else None,
        'end': _plain(episode.end),
        'human': round(sum(end - begin for begin, end in episode.human), 2),
        'complaints': len(episode.complaints),
    }
    for i, name in enumerate(names):
        track = tracks.get(name)
        keys[f'end{i}'] = _plain(track.end) if track else None
        keys[f'order{i}'] = _plain(spearman_with_time(track)) if track else None
    return keys


def _cell(key: str, value: Any, episode: EpisodeReport, index: int) -> str:
    if key == 'name':
        return f'<a href="#episode-{index}">{escape(episode.name)}</a>'
    if key == 'outcome':
        return pill(episode.outcome)
    if key == 'complaints':
        return f'<span class="bad">{value}</span>' if value else '–'
    if value is None or value == '':
        return '–'
    if key in ('steps', 'frames', 'task'):
        return escape(str(value))
    if key == 'human' and not value:
        return '–'
    text = number(value, 1 if key in ('seconds', 'human') else 2)
    return f'<span class="bad">{text}</span>' if key == 'fall' and value >= NOTABLE_FALL else text


def _card(
    index: int, episode: EpisodeReport, styles: dict[str, str], samples: int, budget: int
) -> str:
    unit = episode.unit
    facts = [episode.instruction] if episode.instruction else []
    facts += [f'{episode.seconds:.1f} s'] if unit == 's' else []
    facts += [f'{episode.steps} steps'] if episode.steps is not None else []
    facts += [f'{episode.frames} frames', *episode.facts]
    if episode.fall.size >= NOTABLE_FALL:
        when = moment(episode.fall.end, unit)
        facts.append(f'largest fall {episode.fall.size:.2f}, at {when}')
    warnings = ''.join(f'<li>{escape(text)}</li>' for text in episode.complaints)
    films = [(name, _fitting(film, budget // len(episode.films))) for name, film in episode.films]
    strips = ''.join(film_strip(film, name=name, unit=unit) for name, film in films)
    return (
        f'<article class="card" id="episode-{index}" data-episode="{escape(episode.outcome)}">'
        f'<header><h3>{escape(episode.name)}</h3>{pill(episode.outcome)}</header>'
        f'<p class="facts">{escape(" · ".join(facts))}</p>'
        f'{strips or film_strip(())}{_chart(episode, styles, samples)}'
        f'{f"<ul class=warn>{warnings}</ul>" if warnings else ""}</article>'
    )


def _chart(episode: EpisodeReport, styles: dict[str, str], samples: int) -> str:
    tracks = [(t.thinned(samples), styles[t.name]) for t in episode.tracks if t]
    marks = episode.marks[:MOST_MARKS]
    if not tracks and not marks and not episode.human:
        return '<p class="none">No values were recorded or relabelled.</p>'
    return chart(
        tracks, episode.seconds, marks,
        threshold=episode.threshold if tracks else None, spans=episode.human, unit=episode.unit,
    )  # fmt: skip


def _legend(episodes: Sequence[EpisodeReport], styles: dict[str, str]) -> str:
    inner = ''.join(
        f'<span class="{style}">{escape(name)}</span>' for name, style in styles.items()
    )
    kinds = {mark.kind for e in episodes for mark in e.marks}
    for wanted, style, words in (
        (any(e.threshold is not None for e in episodes) and bool(styles), 't', 'success threshold'),
        (any(e.fall.size >= NOTABLE_FALL for e in episodes), 'f', 'largest fall'),
        ('milestone' in kinds, 'm', 'milestone'),
        ('error' in kinds, 'e', 'error'),
        (any(e.human for e in episodes), 'h', 'human in control'),
    ):
        inner += f'<span class="{style}">{words}</span>' if wanted else ''
    return f'<div class="legend">{inner}</div>'


def _fitting(film: Film, budget: int) -> Film:
    """As many of the pictures as fit, evenly spread, the first and the last among them."""
    count = len(film)
    while count > 0:
        spots = np.unique(np.linspace(0, len(film) - 1, count).round().astype(int))
        some = [film[i] for i in spots]
        if sum(len(jpeg) for _, jpeg in some) <= budget:
            return some
        count -= 1
    return ()


def _class(style: str) -> str:
    return f' class="{style}"' if style else ''


def _sorted(key: str, *, falling: bool) -> str:
    return ' aria-sort="descending"' if falling and key == 'fall' else ''


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_NAMED else text[: _MOST_NAMED - 1] + '…'


def _plain(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
