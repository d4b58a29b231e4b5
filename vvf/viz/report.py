# SPDX-License-Identifier: Apache-2.0
"""A page about recorded episodes: film strip, live and relabelled progress, summary.

One HTML file with everything in it, so that it can be mailed, archived and opened without a
network. The curves are plain SVG; the script only adds reading off and filtering.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from vvf.viz.parts import (
    Curve,
    Film,
    Mark,
    NamedCurve,
    chart,
    film_strip,
    filters,
    legend,
    page,
    pill,
    tiles,
)

READING = (
    'Progress runs from 0 to 1, where 1 is done. Point at a curve, or focus it and use the arrow '
    'keys, to read it off.'
)


@dataclass
class EpisodeReport:
    """What the page shows of one episode. Times are seconds since its first frame.

    Attributes:
        name: The episode's id.
        outcome: ``success``, ``failure``, ``aborted`` or ``unlabelled``.
        seconds: Duration.
        frames: Frames of the reference camera.
        live: (time, progress) as the value node published it.
        relabelled: (time, progress) as scored from the bag.
        film: (time, JPEG bytes), in order of time.
        events: (time, label).
        instruction: What the robot was asked to do.
        steps: Actions sent; None where it is not known.
        threshold: Progress that counts as success; None for no line.
        note: Something to be warned of, such as frames that were lost.
    """

    name: str
    outcome: str
    seconds: float
    frames: int = 0
    live: Curve = ()
    relabelled: Curve = ()
    film: Film = ()
    events: Sequence[tuple[float, str]] = ()
    instruction: str = ''
    steps: int | None = None
    threshold: float | None = None
    note: str = ''


def write_report(
    path: str | os.PathLike[str],
    episodes: Sequence[EpisodeReport],
    summary: Mapping[str, Any],
    *,
    title: str = 'Episodes',
    lead: str = '',
) -> Path:
    """Write the page.

    Args:
        path: The HTML file; its folder is made.
        episodes: In the order in which they are shown.
        summary: Numbers or texts by snake_case key, shown as tiles; None is left out.
        title: Heading.
        lead: A sentence below it.

    Returns:
        The path.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render(episodes, summary, title=title, lead=lead), 'utf-8')
    return target


def render(
    episodes: Sequence[EpisodeReport], summary: Mapping[str, Any], *, title: str, lead: str = ''
) -> str:
    """Return the page as HTML; arguments are those of :func:`write_report`."""
    names = [('live', 'live')] if any(e.live for e in episodes) else []
    if any(e.relabelled for e in episodes):
        names.append(('relabelled from the bag', 'again'))
    limits = any(e.threshold is not None for e in episodes)
    cards = ''.join(_card(i, e) for i, e in enumerate(episodes, 1))
    body = (
        f'{tiles(summary)}<h2>Overview</h2>{_table(episodes)}'
        f'<h2>Episodes</h2>{filters([e.outcome for e in episodes])}'
        f'{legend(names, threshold=limits)}{cards}'
    )
    return page(title, body, lead=lead, footer=READING)


def spearman_with_time(curve: Curve) -> float:
    """Rank correlation of progress with time; NaN for fewer than three points or a flat curve."""
    points = [(t, p) for t, p in curve if math.isfinite(p)]
    if len(points) < 3:
        return math.nan
    a, b = _ranks([t for t, _ in points]), _ranks([p for _, p in points])
    mean = (len(points) - 1) / 2
    product = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b))
    return product / spread if spread else math.nan


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, ties sharing their mean."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    for i in range(1, len(order) + 1):
        if i == len(order) or values[order[i]] != values[order[start]]:
            for k in order[start:i]:
                ranks[k] = (start + i - 1) / 2
            start = i
    return ranks


def _table(episodes: Sequence[EpisodeReport]) -> str:
    head = (
        '<tr><th>episode</th><th>outcome</th><th>seconds</th><th>steps</th><th>frames</th>'
        '<th>end, live</th><th>end, relabelled</th><th>order, live</th>'
        '<th>order, relabelled</th></tr>'
    )
    rows = []
    for index, episode in enumerate(episodes, 1):
        cells = [
            f'<a href="#episode-{index}">{escape(episode.name)}</a>',
            pill(episode.outcome),
            f'{episode.seconds:.1f}',
            str(episode.steps) if episode.steps is not None else '–',
            str(episode.frames),
            _number(_end(episode.live)),
            _number(_end(episode.relabelled)),
            _number(spearman_with_time(episode.live)),
            _number(spearman_with_time(episode.relabelled)),
        ]
        row = ''.join(f'<td>{cell}</td>' for cell in cells)
        rows.append(f'<tr data-episode="{escape(episode.outcome)}">{row}</tr>')
    return (
        f'<div class="table"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
        '</div><p class="facts below">Order is the rank correlation of progress with time: 1 where '
        'it only ever rises.</p>'
    )


def _card(index: int, episode: EpisodeReport) -> str:
    facts = [episode.instruction] if episode.instruction else []
    facts.append(f'{episode.seconds:.1f} s')
    if episode.steps is not None:
        facts.append(f'{episode.steps} steps')
    facts.append(f'{episode.frames} frames')
    warning = f'<p class="warn">{escape(episode.note)}</p>' if episode.note else ''
    return (
        f'<article class="card" id="episode-{index}" data-episode="{escape(episode.outcome)}">'
        f'<header><h3>{escape(episode.name)}</h3>{pill(episode.outcome)}</header>'
        f'<p class="facts">{escape(" · ".join(facts))}</p>'
        f'{film_strip(episode.film)}{_chart(episode)}{warning}</article>'
    )


def _chart(episode: EpisodeReport) -> str:
    if not _any_finite(episode.live) and not _any_finite(episode.relabelled):
        return '<p class="none">No values were recorded or relabelled.</p>'
    curves = [
        NamedCurve('live', 'live', episode.live),
        NamedCurve('relabelled', 'again', episode.relabelled),
    ]
    marks = [Mark(t, label) for t, label in episode.events]
    return chart(curves, episode.seconds, marks, threshold=episode.threshold)


def _any_finite(curve: Curve) -> bool:
    return any(math.isfinite(p) for _, p in curve)


def _end(curve: Curve) -> float:
    return curve[-1][1] if curve else math.nan


def _number(value: float) -> str:
    return f'{value:.2f}' if math.isfinite(value) else '–'
