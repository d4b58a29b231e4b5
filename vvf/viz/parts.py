# SPDX-License-Identifier: Apache-2.0
"""What the pages are made of: film strips, curves, tiles. All text is escaped here."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from vvf.viz.page import CSS, JS

Curve = Sequence[tuple[float, float]]
Film = Sequence[tuple[float, bytes]]

#: Classes of curves, in the order in which they are given out.
CURVES = ('live', 'again', 'third', 'fourth', 'fifth')

_LEVELS = 4  # of labels of events that would lie on each other
_LETTER = 6.2  # pixels, about
_CHART_WIDTH = 940.0  # pixels on a wide screen
_LONGEST = 34  # letters of an event's label

_LABELS = {
    'value_spearman_mean': 'order of successes',
    'value_end_success_mean': 'end of successes',
    'value_end_failure_mean': 'end of failures',
    'value_hz': 'value rate',
    'value_latency_ms_p50': 'value latency, median',
    'value_latency_ms_p99': 'value latency, p99',
    'seconds': 'duration',
}


@dataclass(frozen=True)
class NamedCurve:
    """Progress over time; the style is one of `CURVES`."""

    name: str
    style: str
    points: Curve


@dataclass(frozen=True)
class Mark:
    """Something that happened; the kind is 'milestone', 'error' or ''."""

    t: float
    label: str
    kind: str = ''


def page(title: str, body: str, *, lead: str = '', footer: str = '') -> str:
    """A whole page around a body of HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{CSS}</style></head><body><main>'
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{body}'
        f'<footer>{escape(footer)}</footer></main><script>{JS}</script></body></html>\n'
    )


def tiles(summary: Mapping[str, Any]) -> str:
    """Numbers or texts by snake_case key; None and what has parts is left out."""
    inner = ''.join(
        f'<div class="tile"><b>{escape(_value(key, value))}</b>'
        f'<span>{escape(_label(key))}</span></div>'
        for key, value in summary.items()
        if value is not None and not isinstance(value, dict | list)
    )
    return f'<section class="tiles">{inner}</section>'


def legend(names: Sequence[tuple[str, str]], *, threshold: bool = False) -> str:
    """Names of curves with their styles."""
    inner = ''.join(f'<span class="{style}">{escape(name)}</span>' for name, style in names)
    if threshold:
        inner += '<span class="t">success threshold</span>'
    return f'<div class="legend">{inner}</div>'


def filters(outcomes: Sequence[str]) -> str:
    """Buttons that show the episodes of one outcome."""
    buttons = [('all', len(outcomes)), *Counter(outcomes).most_common()]
    inner = ''.join(
        f'<button type="button" data-outcome="{escape(name)}" '
        f'aria-pressed="{"true" if name == "all" else "false"}">{escape(name)} {count}</button>'
        for name, count in buttons
    )
    return f'<div class="bar" role="group" aria-label="filter by outcome">{inner}</div>'


def film_strip(film: Film, *, name: str = '', unit: str = 's') -> str:
    """Pictures (time, JPEG bytes) side by side, under a name if there are several strips."""
    if not film:
        return '<p class="none">No frames.</p>'
    what = name or 'camera'
    inner = ''.join(
        f'<figure data-t="{t:.3f}"><img alt="{escape(what)} at {_time(t, unit)}" loading="lazy" '
        f'src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        f'<figcaption>{_time(t, unit)}</figcaption></figure>'
        for t, jpeg in film
    )
    heading = f'<p class="strip">{escape(name)}</p>' if name else ''
    return f'{heading}<div class="film">{inner}</div>'


def chart(
    curves: Sequence[NamedCurve],
    seconds: float,
    marks: Sequence[Mark] = (),
    *,
    threshold: float | None = None,
    unit: str = 's',
) -> str:
    """Curves in [0, 1] over time, to be read off with the pointer or the arrow keys.

    Args:
        curves: What is finite of them is drawn; those without a point are left out.
        seconds: Length of the time axis at least.
        marks: Vertical lines with labels.
        threshold: A dashed line; None for no line.
        unit: Of the time.
    """
    curves = [NamedCurve(c.name, c.style, _finite(c.points)) for c in curves]
    curves = [curve for curve in curves if curve.points]
    span = max([seconds, 0.1, *(t for curve in curves for t, _ in curve.points)])
    lines = [
        f'<line class="grid" x1="0" x2="1000" y1="{y}" y2="{y}"/>' for y in (0, 50, 100, 150, 200)
    ]
    if threshold is not None:
        y = 200 * (1 - threshold)
        lines.append(f'<line class="limit" x1="0" x2="1000" y1="{y:.1f}" y2="{y:.1f}"/>')
    marks = [mark for mark in marks if 0 <= mark.t <= span and mark.label]
    for mark in marks:
        x = 1000 * mark.t / span
        kind = escape(f'event {mark.kind}'.strip())
        lines.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="200"/>')
    for curve in reversed(curves):
        points = ' '.join(f'{1000 * t / span:.1f},{200 * (1 - p):.1f}' for t, p in curve.points)
        lines.append(f'<polyline class="curve {curve.style}" points="{points}"/>')
    y_labels = ''.join(
        f'<span class="y" style="bottom:{value * 100:.0f}%">{value:g}</span>'
        for value in (0.0, 0.5, 1.0)
    )
    tick = _tick(span)
    x_labels = ''.join(
        f'<span class="x" style="left:{i * tick / span * 100:.2f}%">{i * tick:g} {unit}</span>'
        for i in range(int(span / tick + 1e-9) + 1)
    )
    data = {
        'span': span,
        'unit': unit,
        'curves': [{'name': c.name, 'style': c.style, 'points': c.points} for c in curves],
    }
    spoken = ', '.join(f'{c.name} ends at {c.points[-1][1]:.2f}' for c in curves)
    return (
        f'<div class="chart" tabindex="0" role="img" data-curves="{escape(json.dumps(data))}" '
        f'aria-label="progress over {span:.1f} {unit}, {escape(spoken)}">'
        f'<svg viewBox="0 0 1000 200" preserveAspectRatio="none" aria-hidden="true">'
        f'{"".join(lines)}</svg>{y_labels}{x_labels}{_names(marks, span)}'
        '<div class="cursor"></div><div class="tip"></div></div>'
    )


def pill(outcome: str) -> str:
    """An outcome as a coloured word."""
    return f'<span class="pill {escape(outcome)}">{escape(outcome)}</span>'


def _names(marks: Sequence[Mark], span: float) -> str:
    """Labels of events, one above the other where they are close."""
    ends = [-math.inf] * _LEVELS
    names = []
    for mark in sorted(marks, key=lambda mark: mark.t):
        text = mark.label if len(mark.label) <= _LONGEST else mark.label[: _LONGEST - 1] + '…'
        width = _LETTER * len(text) + 10
        spot, share = _CHART_WIDTH * mark.t / span, 100 * mark.t / span
        fits = spot + width <= _CHART_WIDTH
        left = spot if fits else spot - width
        level = next((i for i, end in enumerate(ends) if left >= end), None)
        if level is None:
            continue  # The line stays.
        ends[level] = left + width
        place = f'left:{share:.2f}%' if fits else f'right:{100 - share:.2f}%;margin:0 4px 0 0'
        kind = escape(f'name {mark.kind}'.strip())
        names.append(
            f'<span class="{kind}" style="{place};top:{2 + 15 * level}px" '
            f'title="{escape(mark.label)}">{escape(text)}</span>'
        )
    return ''.join(names)


def _finite(curve: Curve) -> list[tuple[float, float]]:
    return [(round(t, 3), round(min(max(p, 0.0), 1.0), 4)) for t, p in curve if math.isfinite(p)]


def _time(t: float, unit: str) -> str:
    return f'{t:.1f} s' if unit == 's' else f'{unit} {t:.0f}'


def _tick(span: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(span / 6))
    return next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= span / 6 * (1 - 1e-9))


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
