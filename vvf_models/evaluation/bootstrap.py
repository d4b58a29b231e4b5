# SPDX-License-Identifier: Apache-2.0
"""Intervals of metrics over episodes, by resampling episodes.

Episodes, not frames or events: those of one episode resemble each other, and counting each as a
witness of its own makes intervals far too narrow. Each outcome is resampled on its own, so every
resample has as many successes and failures as the data; all metrics see the same resamples.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Indices = NDArray[np.int64]

_LEAST = 2  # episodes that can vary


@dataclass(frozen=True)
class Estimate:
    """A metric and its central 95 % interval; NaN where it is not defined."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def entries(self, name: str) -> dict[str, float]:
        """As `name`, `<name>_low` and `<name>_high`, less a `_mean` in the latter two."""
        low, high = interval_keys(name)
        return {name: self.value, low: self.low, high: self.high}


def interval_keys(name: str) -> tuple[str, str]:
    """Where the interval of a metric stands among the numbers."""
    base = name.removesuffix('_mean')
    return f'{base}_low', f'{base}_high'


class Bootstrap:
    """How often each episode occurs in each resample.

    A metric that rests on a single episode, or on a single one of a kind, has no interval: however
    often it is drawn, nothing varies.

    Args:
        groups: Per episode, what it is resampled within, such as its outcome.
        repeats: Resamples; 0 for no intervals.
        seed: Of the resampling.
    """

    def __init__(self, groups: Sequence[object], repeats: int = 1000, seed: int = 0) -> None:
        """Draws the resamples."""
        rng = np.random.default_rng(seed)
        self.weights: NDArray[np.float64] = np.zeros((repeats, len(groups)))
        keys = [str(group) for group in groups]
        self._groups = [
            np.flatnonzero([other == key for other in keys]) for key in sorted(set(keys))
        ]
        for members in self._groups:
            share = np.full(len(members), 1 / len(members))
            self.weights[:, members] = rng.multinomial(len(members), share, repeats)

    def ratio(self, sums: Floats, counts: Floats) -> Estimate:
        """The sum of `sums` over the sum of `counts`, (E,) each: a mean over what episodes hold."""
        total = float(np.sum(counts))
        value = float(np.sum(sums)) / total if total else math.nan
        if np.count_nonzero(counts) < _LEAST:
            return Estimate(value)
        with np.errstate(invalid='ignore', divide='ignore'):
            resampled = (self.weights @ sums) / (self.weights @ counts)
        return self._estimate(value, resampled)

    def mean(self, samples: Floats, members: Indices | None = None) -> Estimate:
        """The mean of (E,) samples, or of those of some episodes; NaN is left out."""
        counts = np.isfinite(samples).astype(float)
        if members is not None:
            counts *= np.isin(np.arange(len(samples)), members)
        return self.ratio(np.where(counts > 0, samples, 0.0), counts)

    def auc(
        self, positives: Floats, negatives: Floats, of_positives: Indices, of_negatives: Indices
    ) -> Estimate:
        """P(positive > negative) + P(equal) / 2 over all pairs.

        Args:
            positives: Samples that should be high.
            negatives: Samples that should be low.
            of_positives: The episode of each.
            of_negatives: The episode of each.
        """
        above = np.sign(positives[:, None] - negatives[None]) / 2 + 0.5
        value = float(above.mean()) if above.size else math.nan
        if min(len(np.unique(of_positives)), len(np.unique(of_negatives))) < _LEAST:
            return Estimate(value)
        rows, columns = self.weights[:, of_positives], self.weights[:, of_negatives]
        with np.errstate(invalid='ignore', divide='ignore'):
            resampled = ((rows @ above) * columns).sum(1) / (rows.sum(1) * columns.sum(1))
        return self._estimate(value, resampled)

    def kendall(self, ranks: Floats, samples: Floats, members: Indices) -> Estimate:
        """Kendall's τ_a of some episodes, as `value_metrics.kendall_tau_a`.

        In a resample, an episode and its own copy are a pair that says nothing; the other pairs of
        the group stand for it.
        """
        if len(members) < 2:
            return Estimate(math.nan)
        rank, sample = ranks[members], samples[members]
        signs = np.sign(rank[:, None] - rank) * np.sign(sample[:, None] - sample)
        weights = self.weights[:, members]
        total = ((weights @ signs) * weights).sum(1)
        for group in self._groups:
            inside = np.isin(members, group)
            some = weights[:, inside]
            own = ((some @ signs[np.ix_(inside, inside)]) * some).sum(1)
            copies = (some * (some - 1)).sum(1)
            pairs = some.sum(1) * (some.sum(1) - 1)
            total += own * np.divide(copies, pairs - copies, where=pairs > copies, out=0 * pairs)
        count = weights.sum(1)
        with np.errstate(invalid='ignore', divide='ignore'):
            resampled = total / (count * (count - 1))
        pairs_of_all = len(members) * (len(members) - 1)
        return self._estimate(float(signs.sum() / pairs_of_all), resampled)

    def of(
        self, samples: Floats, episodes: Indices, statistic: Callable[[Floats], float]
    ) -> Estimate:
        """Any statistic of samples, each of which belongs to an episode; NaN without samples."""
        if len(np.unique(episodes)) < _LEAST:
            return Estimate(statistic(samples) if len(samples) else math.nan)
        chosen = (np.repeat(samples, weights[episodes].astype(int)) for weights in self.weights)
        resampled = [statistic(part) if len(part) else math.nan for part in chosen]
        return self._estimate(statistic(samples), np.array(resampled))

    @staticmethod
    def _estimate(value: float, resampled: Floats) -> Estimate:
        finite = resampled[np.isfinite(resampled)]
        if not len(finite) or not math.isfinite(value):
            return Estimate(value)
        low, high = np.percentile(finite, [2.5, 97.5])
        return Estimate(value, float(low), float(high))
