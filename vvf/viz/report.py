# SPDX-License-Identifier: Apache-2.0
"""A page about recorded episodes: film strip, live and relabelled progress, summary.

One HTML file with everything in it, so that it can be mailed, archived and opened without a
network. The curves are plain SVG; the script only adds reading off and filtering.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from vvf.viz.page import CSS, JS

Curve = Sequence[tuple[float, float]]

_LABELS = {
    'value_spearman_mean': 'order of successes',
    'value_end_success_mean': 'end of successes',
    'value_end_failure_mean': 'end of failures',
    'value_hz': 'value rate',
    'value_latency_ms_p50': 'value latency, median',
    'value_latency_ms_p99': 'value latency, p99',
    'seconds': 'duration',
}


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
    film: Sequence[tuple[float, bytes]] = ()
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
    tiles = ''.join(
        f'<div class="tile"><b>{escape(_value(key, value))}</b>'
        f'<span>{escape(_label(key))}</span></div>'
        for key, value in summary.items()
        if value is not None and not isinstance(value, dict | list)
    )
    has_again = any(e.relabelled for e in episodes)
    legend = '<span class="l">live</span>' if any(e.live for e in episodes) else ''
    legend += '<span class="a">relabelled from the bag</span>' if has_again else ''
    if any(e.threshold is not None for e in episodes):
        legend += '<span class="t">success threshold</span>'
    cards = ''.join(_card(i, e) for i, e in enumerate(episodes, 1))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{CSS}</style></head><body><main>'
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>'
        f'<section class="tiles">{tiles}</section>'
        f'<h2>Overview</h2>{_table(episodes)}'
        f'<h2>Episodes</h2>{_filters(episodes)}<div class="legend">{legend}</div>{cards}'
        '<footer>Progress runs from 0 to 1, where 1 is done. Point at a curve, or focus it and use '
        'the arrow keys, to read it off.</footer>'
        f'</main><script>{JS}</script></body></html>\n'
    )


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
            _pill(episode.outcome),
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


def _filters(episodes: Sequence[EpisodeReport]) -> str:
    counts = Counter(e.outcome for e in episodes)
    buttons = [('all', len(episodes)), *counts.most_common()]
    inner = ''.join(
        f'<button type="button" data-outcome="{escape(name)}" '
        f'aria-pressed="{"true" if name == "all" else "false"}">{escape(name)} {count}</button>'
        for name, count in buttons
    )
    return f'<div class="bar" role="group" aria-label="filter by outcome">{inner}</div>'


def _card(index: int, episode: EpisodeReport) -> str:
    facts = [episode.instruction] if episode.instruction else []
    facts.append(f'{episode.seconds:.1f} s')
    if episode.steps is not None:
        facts.append(f'{episode.steps} steps')
    facts.append(f'{episode.frames} frames')
    film = ''.join(
        f'<figure data-t="{t:.3f}"><img alt="camera at {t:.1f} s" loading="lazy" '
        f'src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        f'<figcaption>{t:.1f} s</figcaption></figure>'
        for t, jpeg in episode.film
    )
    strip = f'<div class="film">{film}</div>' if film else '<p class="none">No frames.</p>'
    warning = f'<p class="warn">{escape(episode.note)}</p>' if episode.note else ''
    return (
        f'<article class="card" id="episode-{index}" data-episode="{escape(episode.outcome)}">'
        f'<header><h3>{escape(episode.name)}</h3>{_pill(episode.outcome)}</header>'
        f'<p class="facts">{escape(" · ".join(facts))}</p>{strip}{_chart(episode)}{warning}'
        '</article>'
    )


def _chart(episode: EpisodeReport) -> str:
    live, again = _finite(episode.live), _finite(episode.relabelled)
    if not live and not again:
        return '<p class="none">No values were recorded or relabelled.</p>'
    span = max([episode.seconds, 0.1, *(t for t, _ in (*live, *again))])
    lines = [
        f'<line class="grid" x1="0" x2="1000" y1="{y}" y2="{y}"/>' for y in (0, 50, 100, 150, 200)
    ]
    if episode.threshold is not None:
        y = 200 * (1 - episode.threshold)
        lines.append(f'<line class="limit" x1="0" x2="1000" y1="{y:.1f}" y2="{y:.1f}"/>')
    names = []
    for t, label in episode.events:
        if 0 <= t <= span and label:
            x = 1000 * t / span
            lines.append(f'<line class="event" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="200"/>')
            names.append(f'<span class="name" style="left:{x / 10:.2f}%">{escape(label)}</span>')
    for curve, kind in ((again, 'again'), (live, 'live')):
        if curve:
            points = ' '.join(f'{1000 * t / span:.1f},{200 * (1 - p):.1f}' for t, p in curve)
            lines.append(f'<polyline class="curve {kind}" points="{points}"/>')
    y_labels = ''.join(
        f'<span class="y" style="bottom:{value * 100:.0f}%">{value:g}</span>'
        for value in (0.0, 0.5, 1.0)
    )
    tick = _tick(span)
    x_labels = ''.join(
        f'<span class="x" style="left:{i * tick / span * 100:.2f}%">{i * tick:g} s</span>'
        for i in range(int(span / tick + 1e-9) + 1)
    )
    data = escape(json.dumps({'span': span, 'live': live, 'again': again}))
    return (
        f'<div class="chart" tabindex="0" role="img" data-curves="{data}" '
        f'aria-label="progress over {span:.1f} seconds, {_spoken(episode)}">'
        f'<svg viewBox="0 0 1000 200" preserveAspectRatio="none" aria-hidden="true">'
        f'{"".join(lines)}</svg>{y_labels}{x_labels}{"".join(names)}'
        '<div class="cursor"></div><div class="tip"></div></div>'
    )


def _finite(curve: Curve) -> list[tuple[float, float]]:
    return [(round(t, 3), round(min(max(p, 0.0), 1.0), 4)) for t, p in curve if math.isfinite(p)]


def _spoken(episode: EpisodeReport) -> str:
    ends = [('live', _end(episode.live)), ('relabelled', _end(episode.relabelled))]
    return ', '.join(f'{name} ends at {end:.2f}' for name, end in ends if math.isfinite(end))


def _end(curve: Curve) -> float:
    return curve[-1][1] if curve else math.nan


def _tick(span: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(span / 6))
    return next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= span / 6 * (1 - 1e-9))


def _pill(outcome: str) -> str:
    return f'<span class="pill {escape(outcome)}">{escape(outcome)}</span>'


def _number(value: float) -> str:
    return f'{value:.2f}' if math.isfinite(value) else '–'


def _label(key: str) -> str:
    if key in _LABELS:
        return _LABELS[key]
    words = key.replace('_', ' ')
    for unit in (' ms', ' hz'):
        words = words.replace(unit, '')
    return words


def _value(key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return '–'
    if key.endswith('_rate') and 0 <= value <= 1:
        return f'{value * 100:.0f} %'
    unit = ' ms' if '_ms' in key else ' Hz' if key.endswith('_hz') else ''
    unit = ' s' if key == 'seconds' else unit
    if isinstance(value, int):
        return f'{value}{unit}'
    return f'{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}{unit}'
