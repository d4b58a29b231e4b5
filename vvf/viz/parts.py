# SPDX-License-Identifier: Apache-2.0
"""What the pages are made of: film strips, curves, tiles. All text is escaped here."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from vvf.viz.page import CSS
from vvf.viz.script import JS
from vvf.viz.tracks import Fall, Numbers, Track, largest_fall

Film = Sequence[tuple[float, bytes]]
Span = tuple[float, float]

#: Classes of curves, in the order in which they are given out.
CURVES = ('live', 'again', 'third', 'fourth', 'fifth')
#: Falls of progress from here on are marked on the curve.
NOTABLE_FALL = 0.1

_LEVELS = 4  # of labels of events that would lie on each other
_LETTER = 6.2  # pixels, about
_WIDTHS = {'wide': 940.0, 'narrow': 300.0}  # of a chart on a desk and on a phone, in pixels
_LONGEST = 34  # letters of an event's label

_LABELS = {
    'value_spearman_mean': 'order of successes',
    'value_end_success_mean': 'value at the end, successes',
    'value_end_failure_mean': 'value at the end, failures',
    'progress_end_success_mean': 'progress at the end, successes',
    'progress_end_failure_mean': 'progress at the end, failures',
    'largest_fall_mean': 'largest fall, mean',
    'value_hz': 'value rate',
    'value_latency_ms_p50': 'value latency, median',
    'value_latency_ms_p99': 'value latency, p99',
    'seconds': 'duration',
}


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
        f'<div class="top"><h1>{escape(title)}</h1>'
        '<button type="button" class="theme" aria-label="dark or light">◐</button></div>'
        f'<p class="lead">{escape(lead)}</p>{body}'
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


def film_strip(film: Film, *, name: str = '', unit: str = 's') -> str:
    """Pictures (time, JPEG bytes) side by side, under a name if there are several strips."""
    if not film:
        return '<p class="none">No frames.</p>'
    what = name or 'camera'
    inner = ''.join(
        f'<figure data-t="{t:.3f}"><img alt="{escape(what)} at {moment(t, unit)}" loading="lazy" '
        f'src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        f'<figcaption>{moment(t, unit)}</figcaption></figure>'
        for t, jpeg in film
    )
    heading = f'<p class="strip">{escape(name)}</p>' if name else ''
    return f'{heading}<div class="film">{inner}</div>'


def chart(
    tracks: Sequence[tuple[Track, str]],
    seconds: float,
    marks: Sequence[Mark] = (),
    *,
    threshold: float | None = None,
    spans: Sequence[Span] = (),
    unit: str = 's',
) -> str:
    """Progress over time, to be read off with the pointer or the keyboard.

    Args:
        tracks: With the style of each, one of `CURVES`; what is finite of them is drawn.
        seconds: Length of the time axis at least.
        marks: Vertical lines with labels.
        threshold: A dashed line; None for no line.
        spans: From when to when a human was in control; shaded.
        unit: Of the time.
    """
    tracks = [(_finite(track), style) for track, style in tracks if track]
    span = max([seconds, 0.1, *(float(track.times[-1]) for track, _ in tracks)])
    lines = [_shade(begin, end, span) for begin, end in spans]
    lines += [
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
    if tracks:
        lines.append(_fall(*tracks[0], largest_fall(tracks[0][0]), span))
    lines += [_line(t, f'curve {style}', span) for t, style in reversed(tracks)]
    y_labels = ''.join(
        f'<span class="y" style="bottom:{value * 100:.0f}%">{value:g}</span>'
        for value in (0.0, 0.5, 1.0)
    )
    step = tick(span)
    x_labels = ''.join(
        f'<span class="x" style="left:{i * step / span * 100:.2f}%">{i * step:g} {unit}</span>'
        for i in range(int(span / step + 1e-9) + 1)
    )
    data = {
        'span': round(span, 3),
        'unit': unit,
        'curves': [_data(track, style) for track, style in tracks],
        'marks': [[round(mark.t, 3), mark.label] for mark in sorted(marks, key=lambda m: m.t)],
    }
    spoken = ', '.join(f'{track.name} ends at {track.end:.2f}' for track, _ in tracks)
    text = json.dumps(data, separators=(',', ':'), ensure_ascii=False)
    return (
        f'<div class="chart" tabindex="0" role="slider" data-curves="{escape(text)}" '
        f'aria-valuemin="0" aria-valuemax="{span:.1f}" aria-valuenow="{span:.1f}" '
        f'aria-label="progress over {span:.1f} {unit}, {escape(spoken)}">'
        f'<svg viewBox="0 0 1000 200" preserveAspectRatio="none" aria-hidden="true">'
        f'{"".join(lines)}</svg>{y_labels}{x_labels}{_names(marks, span)}'
        f'<div class="cursor"></div></div>{_reading(tracks, span, unit)}'
    )


def pill(outcome: str) -> str:
    """An outcome as a coloured word."""
    return f'<span class="pill {escape(outcome)}">{escape(outcome)}</span>'


def number(value: float, digits: int = 2) -> str:
    """A number for a table; a dash where there is none."""
    # Adding 0 makes a rounded -0 a 0.
    return f'{round(value, digits) + 0.0:.{digits}f}' if math.isfinite(value) else '–'


def moment(t: float, unit: str = 's') -> str:
    """A time in words."""
    return f'{t:.1f} s' if unit == 's' else f'{unit} {t:.0f}'


def _finite(track: Track) -> Track:
    kept = track.at(np.flatnonzero(np.isfinite(track.progress)))
    return Track(
        kept.name, kept.times, kept.progress.clip(0, 1), kept.value, kept.advantage,
        kept.uncertainty,
    )  # fmt: skip


def _line(track: Track, style: str, span: float) -> str:
    points = ' '.join(
        f'{1000 * t / span:.1f},{200 * (1 - p):.1f}'
        for t, p in zip(track.times, track.progress, strict=True)
    )
    return f'<polyline class="{style}" points="{points}"/>'


def _fall(track: Track, style: str, fall: Fall, span: float) -> str:
    """The part of the curve along which it falls, if it falls far."""
    if fall.size < NOTABLE_FALL:
        return ''
    inside = (track.times >= fall.begin) & (track.times <= fall.end)
    return _line(track.at(np.flatnonzero(inside)), f'fall {style}', span)


def _shade(begin: float, end: float, span: float) -> str:
    left, right = (1000 * min(max(t, 0.0), span) / span for t in (begin, end))
    return f'<rect class="human" x="{left:.1f}" y="0" width="{right - left:.1f}" height="200"/>'


def _data(track: Track, style: str) -> dict[str, Any]:
    """A curve for the script: t, p(rogress), v(alue), a(dvantage), u(ncertainty)."""
    columns = {
        't': (track.times, 2),
        'p': (track.progress, 3),
        'v': (track.value, 3),
        'a': (track.advantage, 3),
        'u': (track.uncertainty, 3),
    }
    listed = {k: _listed(v, digits) for k, (v, digits) in columns.items()}
    return {'name': track.name, 'style': style, **{k: v for k, v in listed.items() if v}}


def _listed(values: Numbers, digits: int) -> list[float | None]:
    if not np.isfinite(values).any():
        return []
    return [round(float(v), digits) if math.isfinite(v) else None for v in values]


def _reading(tracks: Sequence[tuple[Track, str]], span: float, unit: str) -> str:
    """The numbers at the end; the script puts those at the cursor in their place."""
    rows = []
    for track, style in tracks:
        value = number(float(track.value[-1])) if len(track.value) else '–'
        spread = float(track.uncertainty[-1]) if len(track.uncertainty) else math.nan
        value += f' ± {spread:.2f}' if math.isfinite(spread) else ''
        gain = float(track.advantage[-1]) if len(track.advantage) else math.nan
        cells = (number(track.end), value, f'{gain:+.2f}' if math.isfinite(gain) else '–')
        inner = ''.join(f'<td>{cell}</td>' for cell in cells)
        name = escape(track.name).replace('_', '_<wbr>')
        rows.append(f'<tr class="{style}"><th>{name}</th>{inner}</tr>')
    return (
        f'<table class="read"><thead><tr><th>{moment(span, unit)}</th><th>progress</th>'
        f'<th>value</th><th>advantage</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _names(marks: Sequence[Mark], span: float) -> str:
    """Labels of events, one above the other where they are close; laid out for both widths."""
    ordered = sorted(marks, key=lambda mark: mark.t)
    return ''.join(_layout(ordered, span, style, width) for style, width in _WIDTHS.items())


def _layout(marks: Sequence[Mark], span: float, style: str, wide: float) -> str:
    ends = [-math.inf] * _LEVELS
    names = []
    for mark in marks:
        text = mark.label if len(mark.label) <= _LONGEST else mark.label[: _LONGEST - 1] + '…'
        width = _LETTER * len(text) + 10
        spot = wide * mark.t / span
        turned = spot + width > wide and spot >= width
        left = spot - width if turned else spot
        level = next((i for i, end in enumerate(ends) if left >= end), None)
        if level is None:
            continue  # The line stays, and the reading names it.
        ends[level] = left + width
        kind = escape(' '.join(f'name {style} {mark.kind} {"turned" if turned else ""}'.split()))
        names.append(
            f'<span class="{kind}" style="left:{100 * mark.t / span:.2f}%;--level:{level}" '
            f'title="{escape(mark.label)}">{escape(text)}</span>'
        )
    return ''.join(names)


def tick(span: float) -> float:
    """A round distance between numbers on an axis, so that there are three to seven of them."""
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
    return number(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2) + unit
