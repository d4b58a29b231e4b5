# SPDX-License-Identifier: Apache-2.0
"""One picture of what a value model's indicator is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vvf.recap.diagnostics import BEFORE_S, QUARTERS, Diagnosis
from vvf.viz.canvas import BLUE, GREY, INK, LINE, ORANGE, SOFT, Colour, Figure, text_width
from vvf.viz.chart import Panel

Numbers = npt.NDArray[np.floating]

_WIDTH, _HEIGHT, _GAP, _MARGIN, _HEAD, _LINE = 400, 320, 22, 18, 62, 20
_COLOURS: Mapping[str, Colour] = {'successes': BLUE, 'failures': ORANGE, 'unlabelled': GREY}
_MOST_MILESTONES = 8
_BINS = 40


def draw_diagnosis(seen: Diagnosis, title: str) -> Figure:
    """Draw the distribution of advantages, and where the positives lie.

    Args:
        seen: What was found.
        title: Of the picture, such as the value model's name.
    """
    width = 2 * _MARGIN + 2 * _WIDTH + _GAP
    lines = [line for text in seen.warnings for line in _folded('Warning: ' + text, width - 40)]
    head = _HEAD + _LINE * len(lines)
    figure = Figure(width, head + 2 * _HEIGHT + _GAP + 2 * _MARGIN)
    numbers = seen.numbers
    figure.text(_MARGIN, _MARGIN + 16, title, 20.0, INK)
    figure.text(
        _MARGIN,
        _MARGIN + 38,
        f'{numbers["successes"]} successes, {numbers["failures"]} failures, '
        f'{numbers["frames"]} frames; {numbers["share"]:.1%} positive by ">=", '
        f'{numbers["share_strict"]:.1%} by ">"; {numbers["positive_ratio"]:.0%} asked for',
        13.0,
        SOFT,
    )
    for number, text in enumerate(lines):
        figure.text(_MARGIN, _MARGIN + _HEAD + _LINE * number, text, 13.0, ORANGE)
    top, right = head + _MARGIN, _MARGIN + _WIDTH + _GAP
    low = top + _HEIGHT + _GAP
    _advantages(figure, (_MARGIN, top, _WIDTH, _HEIGHT), seen)
    _quarters(figure, (right, top, _WIDTH, _HEIGHT), seen)
    _milestones(figure, (_MARGIN, low, _WIDTH, _HEIGHT), seen)
    _errors(figure, (right, low, _WIDTH, _HEIGHT), seen)
    return figure


def _folded(text: str, width: float) -> list[str]:
    lines, line = [], ''
    for word in text.split():
        longer = f'{line} {word}'.strip()
        if line and text_width(longer, 13.0) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def _advantages(figure: Figure, box: tuple[int, int, int, int], seen: Diagnosis) -> None:
    panel = Panel(box, 'Advantages', 'advantage', 'share of the frames of this outcome')
    parts = {name: part for name, part in seen.advantages.items() if len(part)}
    if not parts:
        panel.note('no frame was judged')
        panel.draw(figure)
        return
    low, high = np.percentile(np.concatenate(list(parts.values())), [0.5, 99.5])
    edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
    top = 0.0
    for name, part in reversed(parts.items()):
        heights = np.histogram(np.clip(part, low, high), edges)[0] / len(part)
        top = max(top, float(heights.max()))
        panel.bars(edges, heights, _COLOURS[name], name)
    for number, estimate in enumerate(seen.thresholds.values()):
        if not math.isfinite(estimate.value):
            continue
        label = '' if number else 'threshold, and its interval over episodes'
        panel.line([estimate.value] * 2, [0, top], INK, label, width=1.5)
        if math.isfinite(estimate.low):
            panel.band([estimate.low, estimate.high], [0, 0], [top, top], INK)
    panel.draw(figure)


def _quarters(figure: Figure, box: tuple[int, int, int, int], seen: Diagnosis) -> None:
    names = {float(n): f'{n + 1}' for n in range(QUARTERS)}
    panel = Panel(
        box, 'Along the episode', 'quarter of the episode, to where the task is done',
        'share of positives', (-0.3, QUARTERS - 0.7), (0, 1), x_names=names,
    )  # fmt: skip
    _shares(panel, seen.quarters, seen.numbers['positive_ratio'], QUARTERS)
    panel.draw(figure)


def _milestones(figure: Figure, box: tuple[int, int, int, int], seen: Diagnosis) -> None:
    shown = {name: shares[:_MOST_MILESTONES] for name, shares in seen.reached.items()}
    last = [np.flatnonzero(np.isfinite(shares)) for shares in shown.values()]
    most = max([int(found[-1]) + 1 for found in last if len(found)], default=1)
    names = {float(n): str(n) for n in range(most)}
    panel = Panel(
        box, 'Between milestones', 'milestones reached so far', 'share of positives',
        (-0.3, most - 0.7), (0, 1), x_names=names,
    )  # fmt: skip
    if most < 2:
        panel.note('no milestones in these data')
    else:
        _shares(panel, shown, seen.numbers['positive_ratio'], most)
    panel.draw(figure)


def _shares(panel: Panel, shares: Mapping[str, Numbers], ratio: float, count: int) -> None:
    panel.line([-0.3, count - 0.7], [ratio, ratio], LINE, f'{ratio:.0%} asked for', dashed=True)
    for name, part in shares.items():
        # Colours are those of the first panel, whose legend would hide points here.
        panel.line(np.arange(len(part[:count]), dtype=float), part[:count], _COLOURS[name])
        for at, share in enumerate(part[:count]):
            if math.isfinite(share):
                panel.dot(at, share, _COLOURS[name])


def _errors(figure: Figure, box: tuple[int, int, int, int], seen: Diagnosis) -> None:
    seconds, shares, count = seen.around_errors
    panel = Panel(
        box, 'Around errors', 'seconds after the error', 'share of positives', None, (0, 1)
    )
    if not count:
        panel.note('no errors in these data')
    else:
        ends = [float(seconds[0]), float(seconds[-1])]
        usual = seen.numbers['share_elsewhere']
        panel.band([-BEFORE_S, 0.0], [0, 0], [1, 1], ORANGE, 'what made it')
        panel.line(ends, [usual, usual], LINE, 'elsewhere', dashed=True)
        panel.line(seconds, shares, ORANGE, f'{count} errors')
    panel.draw(figure)
