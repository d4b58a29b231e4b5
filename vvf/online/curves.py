# SPDX-License-Identifier: Apache-2.0
"""Learning curves: steps until a share of success, intervals over seeds, and the figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vvf.stored_results import StoredResult
from vvf.viz.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SOFT, Colour, Figure
from vvf.viz.chart import Panel, draw_key
from vvf_models.evaluation.bootstrap import Estimate

_COLOURS: Mapping[str, Colour] = {
    'viva': BLUE, 'potential': GREEN, 'rnd': ORANGE, 'none': GREY,
}  # fmt: skip
_LABELS = {'viva': 'ViVa: r + V', 'potential': 'potential', 'rnd': 'RND', 'none': 'sparse'}
_WIDTH, _HEIGHT, _MARGIN, _HEAD = 460, 340, 18, 76


def steps_to(share: float, steps: Sequence[float], success: Sequence[float]) -> float:
    """Steps at the first trial with at least that share of success; NaN if there is none."""
    reached = np.asarray(success) >= share
    return float(steps[int(np.argmax(reached))]) if reached.any() else math.nan


@dataclass(frozen=True)
class Summary:
    """A reward over its seeds; intervals are those of `student`.

    Attributes:
        steps: mean over seeds of the steps until success, a seed that never came there counted
            with all the steps it had: at least so many, then.
        reached: how many seeds came there.
        seeds: of how many.
        last: mean success of the last trial.
        area: mean success over all trials.
    """

    steps: Estimate
    reached: int
    seeds: int
    last: Estimate
    area: Estimate

    def entries(self) -> dict[str, float]:
        """For JSON."""
        return {
            **self.steps.entries('steps_to_80'),
            **self.last.entries('last_success'),
            **self.area.entries('mean_success'),
            'seeds': self.seeds,
            'seeds_reached': self.reached,
        }


def student(samples: npt.NDArray[np.float64], highest: float = 1.0) -> Estimate:
    """Mean over seeds and Student's 95 % interval, clipped to 0 and the highest that can be.

    A bootstrap's percentiles cover the mean of five seeds in 85 % of the cases only. A single seed
    has no interval, and seeds that all agree have one without width.
    """
    from scipy.stats import t

    mean, count = float(np.mean(samples)), len(samples)
    if count < 2:
        return Estimate(mean)
    half = float(t.ppf(0.975, count - 1) * np.std(samples, ddof=1) / math.sqrt(count))
    return Estimate(mean, max(0.0, mean - half), min(highest, mean + half))


def summarise(results: Sequence[StoredResult]) -> Summary:
    """One reward, one kind of data, several seeds."""
    steps = np.array([r.numbers['steps_to_80'] for r in results], float)
    limits = np.array([_curve(r)[0][-1] for r in results])
    curves = [_curve(r)[1] for r in results]
    return Summary(
        steps=student(np.where(np.isfinite(steps), steps, limits), float(limits.max())),
        reached=int(np.isfinite(steps).sum()),
        seeds=len(results),
        last=student(np.array([curve[-1] for curve in curves])),
        area=student(np.array([curve.mean() for curve in curves])),
    )


def draw_curves(results: Sequence[StoredResult]) -> Figure:
    """Success over steps for each reward, mean and 95 % interval over seeds; a panel per data.

    The intervals are for the data and the value at hand, which all seeds share.
    """
    conditions = list(dict.fromkeys(result.condition for result in results))
    width = 2 * _MARGIN + len(conditions) * (_WIDTH + _MARGIN) - _MARGIN
    figure = Figure(width, _HEAD + _HEIGHT + 2 * _MARGIN)
    figure.text(_MARGIN, _MARGIN + 20, 'Online RL: success over steps', 20.0, INK)
    counts = sorted(
        len({r.seed for r in results if (r.condition, r.method) == kind})
        for kind in {(r.condition, r.method) for r in results}
    )
    seeds = ' to '.join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    seeds += ' seed' if counts[-1] == 1 else ' seeds'
    note = f"Mean and Student's 95 % interval over {seeds}, which share data and value."
    figure.text(_MARGIN, _MARGIN + 41, note, 13.0, SOFT)
    methods = dict.fromkeys(result.method for result in results)
    named = {_LABELS.get(m, m): _COLOURS.get(m, PURPLE) for m in methods}
    draw_key(figure, _MARGIN + 2, _MARGIN + 62, named)
    for number, condition in enumerate(conditions):
        left = _MARGIN + number * (_WIDTH + _MARGIN)
        panel = Panel(
            (left, _MARGIN + _HEAD, _WIDTH, _HEIGHT),
            condition,
            x_label='steps in the environment, thousands',
            y_label='success',
            y_range=(0.0, 1.0),
        )
        for method in reversed(methods):  # the first are drawn last, over the others
            some = [r for r in results if (r.condition, r.method) == (condition, method)]
            if some:
                _draw(panel, method, some)
        panel.draw(figure)
    return figure


def _draw(panel: Panel, method: str, results: Sequence[StoredResult]) -> None:
    count = min(len(_curve(result)[0]) for result in results)
    thousands = _curve(results[0])[0][:count] / 1000
    curves = np.array([_curve(result)[1][:count] for result in results])
    means = [student(column) for column in curves.T]
    colour = _COLOURS.get(method, PURPLE)
    low, high = [m.low for m in means], [m.high for m in means]
    panel.band(thousands, low, high, colour)
    panel.line(thousands, [m.value for m in means], colour)


def _curve(result: StoredResult) -> tuple[np.ndarray, np.ndarray]:
    numbers = result.numbers
    return np.asarray(numbers['curve_steps'], float), np.asarray(numbers['curve_success'], float)
