# SPDX-License-Identifier: Apache-2.0
"""One picture of how good value models are: some panels for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from vvf.value_evaluation import Evaluation, Scored
from vvf.viz.canvas import BLUE, COLOURS, GREEN, GREY, INK, LINE, ORANGE, SOFT, Colour, Figure
from vvf.viz.chart import Panel, draw_heat
from vvf_models.evaluation.alarms import noticed_against_false, raise_alarms

Numbers = npt.NDArray[np.floating]
Box = tuple[int, int, int, int]

_WIDTH, _HEIGHT, _GAP, _MARGIN = 400, 320, 22, 18
_HEAD = 60
_SHARES = np.linspace(0, 1, 101)
_SECONDS = np.linspace(-2, 2, 81)  # around an event
_FALSE = 0.5  # the most false alarms shown
_FEW = 12  # episodes that are drawn one by one
_MIDDLE = (10, 90)  # percentiles of the bands
_LEAST = 3  # episodes or events that a mean takes


def draw_values(evaluation: Evaluation, columns: int = 0) -> Figure:
    """Draw all models of an evaluation.

    With labelled outcomes: values along successes and failures (mean and the middle 80 %), over the
    share of the episode and over steps, ROC curves and values at the end; where events were scored,
    values around milestones and errors, and errors noticed against false alarms; where instructions
    make a difference, their confusion. Without labels: the values of all episodes.

    Args:
        evaluation: What to draw.
        columns: Panels side by side; 0 for three or four, whichever leaves less room empty.
    """
    models = [_Model(evaluation, model) for model in evaluation.models]
    most = max(len(model.panels()) for model in models)
    columns = min(columns, most) or (3 if most in (5, 6, 9) else min(most, 4))
    lines = [math.ceil(len(model.panels()) / columns) for model in models]
    width = 2 * _MARGIN + columns * _WIDTH + (columns - 1) * _GAP
    height = 2 * _MARGIN + sum(_HEAD + n * (_HEIGHT + _GAP) for n in lines) - _GAP
    figure = Figure(width, height)
    top = _MARGIN
    for model, count in zip(models, lines, strict=True):
        figure.text(_MARGIN, top + 22, model.scored.name, 20.0, INK)
        figure.text(_MARGIN, top + 43, model.subtitle(), 13.0, SOFT)
        top += _HEAD
        for index, draw in enumerate(model.panels()):
            line, column = divmod(index, columns)
            left = _MARGIN + column * (_WIDTH + _GAP)
            draw(figure, (left, top + line * (_HEIGHT + _GAP), _WIDTH, _HEIGHT))
        top += count * (_HEIGHT + _GAP)
    return figure


class _Model:
    """The panels of one model."""

    def __init__(self, evaluation: Evaluation, scored: Scored) -> None:
        self.evaluation, self.scored = evaluation, scored
        self.scene, self.values = evaluation.scene, scored.values
        outcomes = np.array([None if s is None else bool(s) for s in self.scene.success], object)
        everyone = np.arange(len(self.values))
        self.won, self.lost = everyone[outcomes == True], everyone[outcomes == False]  # noqa: E712
        self.groups: list[tuple[str, Colour, npt.NDArray[np.int64]]] = [
            ('successes', BLUE, self.won),
            ('failures', ORANGE, self.lost),
            ('unlabelled' if self.scene.labelled else 'episodes', GREY, everyone[outcomes == None]),  # noqa: E711
        ]
        self.groups = [group for group in self.groups if len(group[2])]

    def panels(self) -> list[Callable[[Figure, Box], None]]:
        """What there is to show."""
        found: list[Callable[[Figure, Box], None]] = [self.over_share, self.over_steps]
        if len(self.won) and len(self.lost):
            found += [self.roc, self.at_the_end]
        if self.evaluation.judging.events:
            if self.scored.numbers.get('milestones', 0) + self.scored.numbers.get('errors', 0):
                found.append(self.around_events)
            if self.scored.numbers.get('errors', 0):
                found += [self.around_errors, self.alarms]
        if self.scored.asked is not None:
            found.append(self.instructions)
        return found

    def subtitle(self) -> str:
        numbers = self.scored.numbers
        parts = [f'{numbers["kind"]}, {numbers["parameters"]:,} parameters']
        goals = {
            'checkpoint': "against the checkpoint's goals",
            'own last frame': "against each episode's own last frame",
            'instruction': 'against the instruction',
        }
        parts.append(goals.get(numbers['goal'], ''))
        if self.evaluation.judging.smooth > 1:
            parts.append(f'mean of {self.evaluation.judging.smooth} frames')
        return '; '.join(part for part in parts if part)

    def over_share(self, figure: Figure, box: Box) -> None:
        panel = Panel(box, 'Along the episode', 'share of the episode', 'value', (0, 1))
        for name, colour, members in self.groups:
            rows = [
                np.interp(_SHARES, np.linspace(0, 1, len(self.values[e])), self.values[e])
                for e in members
            ]
            self._spread(panel, _SHARES, np.stack(rows), _count(len(members), name), colour)
        panel.draw(figure)

    def over_steps(self, figure: Figure, box: Box) -> None:
        enough = ', while at least three episodes go on' if len(self.values) > _FEW else ''
        panel = Panel(box, 'Over steps', 'step', f'value{enough}')
        for name, colour, members in self.groups:
            lengths = sorted(self.scene.lengths[e] for e in members)
            shown = lengths[-1] if len(members) <= _FEW else lengths[-_LEAST]
            table = np.full((len(members), lengths[-1]), np.nan)
            for row, e in enumerate(members):
                table[row, : len(self.values[e])] = self.values[e]
            self._spread(panel, np.arange(shown, dtype=float), table[:, :shown], name, colour)
        panel.draw(figure)

    def roc(self, figure: Figure, box: Box) -> None:
        step = int(self.scored.numbers['fixed_step'])
        panel = Panel(
            box, 'Success told from failure', 'failures above the threshold',
            'successes above the threshold', (0, 1), (0, 1), 'se',
        )  # fmt: skip
        panel.line([0, 1], [0, 1], LINE, width=1.0)
        curves = [
            ('at the end', 'auc_end', lambda v: v[-1], BLUE),
            ('at 75 %', 'auc_75', lambda v: v[round(0.75 * (len(v) - 1))], GREEN),
            (f'at step {step}', 'auc_fixed_step', lambda v: v[min(step, len(v) - 1)], ORANGE),
        ]
        for words, key, pick, colour in curves:
            x, y = self._roc(self.values, pick)
            panel.line(x, y, colour, f'{words}: AUC {self.scored.numbers[key]:.2f}')
        blind = self.evaluation.baseline
        if blind is not None:
            x, y = self._roc(blind.values, lambda v: v[-1])
            words = f'proprioception, end: {blind.numbers["auc_end"]:.2f}'
            panel.line(x, y, GREY, words, dashed=True)
        panel.draw(figure)

    def _roc(
        self, values: Sequence[Numbers], pick: Callable[[Numbers], float]
    ) -> tuple[Numbers, Numbers]:
        good = np.array([pick(values[e]) for e in self.won])
        bad = np.array([pick(values[e]) for e in self.lost])
        marks = np.concatenate([[np.inf], np.unique(np.concatenate([good, bad]))[::-1]])
        return (bad[None] >= marks[:, None]).mean(1), (good[None] >= marks[:, None]).mean(1)

    def at_the_end(self, figure: Figure, box: Box) -> None:
        panel = Panel(box, 'Values at the end', 'value', 'episodes')
        ends = np.array([series[-1] for series in self.values])
        edges = np.linspace(ends.min(), ends.max() + 1e-6, 25)
        for name, colour, members in reversed(self.groups):
            panel.bars(edges, np.histogram(ends[members], edges)[0], colour, name)
        panel.draw(figure)

    def around_events(self, figure: Figure, box: Box) -> None:
        panel = Panel(box, 'At milestones and errors', 'seconds after it', self._change, (-2, 2))
        panel.line([-2, 2], [0, 0], SOFT, width=0.5)
        for kind, colour in (('milestone', BLUE), ('error', ORANGE)):
            rows = self._around(kind)
            if len(rows) >= _LEAST:
                self._spread(panel, _SECONDS, rows, f'{len(rows)} {kind}s', colour, few=0)
        panel.draw(figure)

    def around_errors(self, figure: Figure, box: Box) -> None:
        panel = Panel(box, 'At errors, by kind', 'seconds after it', self._change, (-2, 2))
        panel.line([-2, 2], [0, 0], SOFT, width=0.5)
        names = Counter(k.name for events in self.scene.events for k in events if k.kind == 'error')
        common = [name for name, count in names.most_common(len(COLOURS)) if count >= _LEAST]
        for name, colour in zip(common, COLOURS, strict=False):
            rows = self._around('error', name)
            if len(rows) >= _LEAST:
                label = f'{len(rows)} {name.replace("_", " ")}'
                panel.line(_SECONDS, _mean(rows), colour, label)
        if not common:
            panel.note('fewer than three of each kind')
        panel.draw(figure)

    _change = 'value, less its mean in the second before'

    def _around(self, kind: str, name: str = '') -> Numbers:
        """Values around events, (events, seconds); NaN outside the episodes."""
        rows = []
        for series, events, rate in zip(
            self.values, self.scene.events, self.scene.rates, strict=True
        ):
            for event in events:
                if event.kind != kind or (name and event.name != name) or not math.isfinite(rate):
                    continue
                if not 0 < event.frame < len(series):
                    continue
                seconds = (np.arange(len(series)) - event.frame) / rate
                before = series[(seconds >= -1 - 1e-6) & (seconds < -1e-6)]
                row = np.interp(_SECONDS, seconds, series, np.nan, np.nan)
                rows.append(row - before.mean())
        return np.stack(rows) if rows else np.zeros((0, len(_SECONDS)))

    def alarms(self, figure: Figure, box: Box) -> None:
        panel = Panel(
            box, 'Errors noticed within a second', 'flawless successes with an alarm',
            'errors noticed', (0, _FALSE), (0, 1),
        )  # fmt: skip
        self._alarm_curve(panel, self.scored, BLUE, 'any threshold')
        numbers = self.scored.numbers
        x, y = numbers['false_alarm_share'], numbers['errors_noticed']
        if math.isfinite(x) and math.isfinite(y):
            panel.dot(min(x, _FALSE), y, BLUE, 'the one set on other episodes')
        if self.evaluation.baseline is not None:
            self._alarm_curve(
                panel, self.evaluation.baseline, GREY, 'proprioception only', dashed=True
            )
        panel.draw(figure)

    def _alarm_curve(
        self, panel: Panel, scored: Scored, colour: Colour, label: str, *, dashed: bool = False
    ) -> None:
        scene = self.scene
        rules = self.evaluation.judging.alarm
        about = (scored.values, scene.events, scene.rates, scene.success, scene.success_index)
        alarms = raise_alarms(*about, rules)
        false, seen = noticed_against_false(alarms)
        inside = false <= _FALSE
        if inside.any():
            # A staircase: between two thresholds nothing changes.
            x, y = np.repeat(false[inside], 2)[1:], np.repeat(seen[inside], 2)[:-1]
            panel.line([*x, _FALSE], [*y, seen[inside][-1]], colour, label, dashed=dashed)

    def instructions(self, figure: Figure, box: Box) -> None:
        asked = self.scored.asked
        assert asked is not None
        present = np.unique(asked.right)[:10]
        draw_heat(
            figure,
            box,
            asked.confusion[np.ix_(present, present)],
            _without_shared_words([asked.candidates[i] for i in present]),
            title='Progress at the end, by instruction',
            below='row: what was done; column: what was asked for',
        )

    def _spread(
        self,
        panel: Panel,
        xs: Numbers,
        rows: Numbers,
        label: str,
        colour: Colour,
        *,
        few: int = _FEW,
    ) -> None:
        """Mean and middle 80 % of rows, or the rows themselves where there are few."""
        if len(rows) <= few:
            for number, row in enumerate(rows):
                panel.line(xs, row, colour, label if not number else '', width=1.5, strength=0.7)
            return
        finite = np.isfinite(rows).sum(0) >= _LEAST
        low, high = (np.full(rows.shape[1], np.nan) for _ in range(2))
        low[finite], high[finite] = np.nanpercentile(rows[:, finite], _MIDDLE, axis=0)
        panel.band(xs, low, high, colour)
        panel.line(xs, _mean(rows), colour, label)


def _count(number: int, name: str) -> str:
    single = {'successes': 'success', 'failures': 'failure', 'episodes': 'episode'}
    return f'{number} {single.get(name, name) if number == 1 else name}'


def _mean(rows: Numbers) -> Numbers:
    """The mean of what is finite in each column, where there is enough."""
    finite = np.isfinite(rows).sum(0) >= _LEAST
    mean = np.full(rows.shape[1], np.nan)
    mean[finite] = np.nanmean(rows[:, finite], 0)
    return mean


def _without_shared_words(texts: Sequence[str]) -> list[str]:
    """Texts less the words that all of them begin with, such as 'put the'."""
    words = [text.split() for text in texts]
    shared = 0
    while (
        len(words) > 1
        and shared < min(map(len, words))
        and len({tuple(some[: shared + 1]) for some in words}) == 1
    ):
        shared += 1
    return [' '.join(some[shared:]) or text for some, text in zip(words, texts, strict=True)]
