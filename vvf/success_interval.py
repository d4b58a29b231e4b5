# SPDX-License-Identifier: Apache-2.0
"""How sure a success rate is that several training seeds share, and the ratio of two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vvf.rollouts.rates import wilson
from vvf.stored_results import StoredResult

#: Of a stored result: whether each layout succeeded, 1 or 0, in the order of their seeds.
LAYOUTS = 'success_by_layout'


def layout_interval(results: Sequence[StoredResult]) -> tuple[float, float]:
    """A 95 % interval of the success rate over layouts, for the policies that were trained.

    All seeds meet the same layouts, and a hard one is hard for all of them, so that episodes of
    several seeds tell less than as many on layouts of their own. It is Wilson's interval of the
    effective number of episodes, p (1 - p) / v, where v is the variance of the mean over layouts
    (Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of
    positive counts"): at least the layouts, at most the episodes. Of one seed it is Wilson's.
    Results that do not say how each layout went count as if all seeds had gone alike.

    Returns:
        Its ends; (0, 1) without results.
    """
    if not results:
        return 0.0, 1.0
    episodes = sum(r.episodes for r in results)
    rate = sum(r.successes for r in results) / episodes if episodes else 0.0
    layouts = max(r.episodes for r in results)
    effective = float(layouts)
    of_layout = _by_layout(results)
    if of_layout is not None and layouts > 1:
        variance = float(of_layout.var(ddof=1)) / layouts
        of_one = rate * (1 - rate)
        if of_one > variance * episodes:
            effective = float(episodes)
        elif variance:
            effective = max(effective, of_one / variance)
    return wilson(rate * effective, effective)


def success_ratio(
    better: Sequence[StoredResult], base: Sequence[StoredResult]
) -> tuple[float, float, float]:
    """By what factor one success rate is above another, with a 95 % interval, over layouts.

    Both met the same layouts, so it is the delta method for the logarithm of a ratio of paired
    means, each layout's over all seeds, with Student's quantile. A layout's half is added to each
    of the two outcomes in which one succeeds alone (half a success to each rate): otherwise equal
    successes on few layouts would be sure, and a rate of nothing would have no ratio. Results that
    do not say how each layout went count as if all seeds had gone alike, and the two sides as if
    hard layouts of one were not hard for the other.

    Args:
        better: Of one method, with episodes.
        base: Of the other one.

    Returns:
        The factor, and the ends of the interval.
    """
    from scipy.stats import t

    first, second = _by_layout(better), _by_layout(base)
    rates = [sum(r.successes for r in side) / sum(r.episodes for r in side)
             for side in (better, base)]  # fmt: skip
    counts = [max(r.episodes for r in side) for side in (better, base)]
    layouts = min(counts)
    a, b = (rate * count + 0.5 for rate, count in zip(rates, counts, strict=True))
    if first is not None and second is not None and len(first) == len(second):
        middle = math.log(a / b)
        variance = float(np.sum((first / a - second / b) ** 2)) + 0.5 / a**2 + 0.5 / b**2
    else:
        middle = math.log(a / (counts[0] + 1) / (b / (counts[1] + 1)))
        variance = 1 / a - 1 / (counts[0] + 1) + 1 / b - 1 / (counts[1] + 1)
    half = float(t.ppf(0.975, max(1, layouts - 1))) * math.sqrt(variance)
    ratio = rates[0] / rates[1] if all(rates) else math.exp(middle)
    return ratio, math.exp(middle - half), math.exp(middle + half)


def _by_layout(results: Sequence[StoredResult]) -> npt.NDArray[np.float64] | None:
    """The mean success of each layout over all seeds; None where not all say it of as many."""
    rows = [r.numbers.get(LAYOUTS) for r in results]
    layouts = max(r.episodes for r in results)
    known = [row for row in rows if isinstance(row, list) and len(row) == layouts]
    return np.mean(known, axis=0) if len(known) == len(results) else None
