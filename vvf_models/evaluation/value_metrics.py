# SPDX-License-Identifier: Apache-2.0
"""How good a value function is, from its values along whole episodes.

Rank correlation with time says that it rises in successes (VOC of GVL); it says nothing about
failures, where values rise too. So areas under the ROC curve go beside it: success against failure
by the value at the end, at 75 % and 50 % of the episode, and at a fixed step, since episodes of
different outcome have different lengths and "75 %" then compares different phases.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, rankdata, spearmanr

Values = NDArray[np.floating]


def spearman(values: Values) -> float:
    """Rank correlation of values with time; 0 where the values are constant."""
    return _correlation(spearmanr, values)


def pearson(values: Values) -> float:
    """Linear correlation of values with time; 0 where the values are constant."""
    return _correlation(pearsonr, values)


def _correlation(how: Callable[..., tuple[float, float]], values: Values) -> float:
    if len(values) < 2 or np.ptp(values) == 0:
        return 0.0
    return float(how(values, np.arange(len(values)))[0])


def auc(positives: Sequence[float] | Values, negatives: Sequence[float] | Values) -> float:
    """P(positive > negative) + P(equal) / 2 over all pairs; NaN if there are none."""
    n_positive, n_negative = len(positives), len(negatives)
    if not n_positive or not n_negative:
        return math.nan
    ranks = rankdata(np.concatenate([positives, negatives]))
    above = ranks[:n_positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def kendall_tau_a(labels: Sequence[float] | Values, scores: Sequence[float] | Values) -> float:
    """Kendall's τ_a: (concordant - discordant) / all pairs; a tie in either counts as neither.

    With two classes it cannot reach 1: pairs within a class are in the denominator, as in
    Robometer. NaN for fewer than two episodes.
    """
    label, score = np.asarray(labels, float), np.asarray(scores, float)
    count = len(label)
    if count < 2:
        return math.nan
    signs = np.sign(label[:, None] - label) * np.sign(score[:, None] - score)
    return float(signs[np.triu_indices(count, 1)].sum() / (count * (count - 1) / 2))


def bootstrap_interval(
    samples: Values, rng: np.random.Generator, repeats: int = 1000
) -> tuple[float, float]:
    """The central 95 % interval of the mean, by resampling; NaN without samples."""
    if len(samples) == 0:
        return math.nan, math.nan
    means = rng.choice(samples, (repeats, len(samples))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def value_metrics(
    values: Sequence[Values],
    success: Sequence[bool | None],
    success_index: Sequence[int] | None = None,
    *,
    failure_kinds: Sequence[str] | None = None,
    reversed_values: Sequence[Values] | None = None,
    fixed_step: int = 18,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """The metrics of a set of episodes.

    Args:
        values: Per episode, (T,), higher is better.
        success: Outcome per episode, None if nobody labelled it.
        success_index: First frame in which the task is done, -1 where there is none.
        failure_kinds: How each episode failed; adds `auc_end_<kind>`, all successes against the
            failures of a kind.
        reversed_values: Per episode, the values of the episode played backwards, in the order
            played. Needed for a model with a memory; otherwise they are `values` reversed.
        fixed_step: The step of `auc_fixed_step`; the last of episodes that are shorter.
        bootstrap: Resamples for the intervals, 0 for none.
        seed: Of the resampling.

    Returns:
        Flat, with snake_case keys; NaN where a metric is not defined. Correlations are over
        successes, or over all episodes if no outcome is known.

    Raises:
        ValueError: Lengths disagree, an episode is empty, or a value is not finite.
    """
    count = len(values)
    indices = list(success_index) if success_index is not None else [-1] * count
    if len(success) != count or len(indices) != count:
        raise ValueError('values, success and success_index must have one entry per episode')
    for series in values:
        if len(series) == 0 or not np.isfinite(series).all():
            raise ValueError('every episode needs at least one value, all of them finite')
    known = [outcome is not None for outcome in success]
    good = [e for e in range(count) if (success[e] if any(known) else True)]
    bad = [e for e in range(count) if success[e] is False]
    played_back = reversed_values or [series[::-1] for series in values]
    until = [e for e in good if indices[e] >= 1]
    correlations = np.array([spearman(values[e]) for e in good])
    rng = np.random.default_rng(seed)
    result: dict[str, float] = {
        'episodes': count,
        'successes': sum(outcome is True for outcome in success),
        'failures': len(bad),
        'spearman_mean': _mean(correlations),
        'spearman_min': float(correlations.min()) if good else math.nan,
        'pearson_mean': _mean([pearson(values[e]) for e in good]),
        'reversed_spearman_mean': _mean([spearman(played_back[e]) for e in good]),
        'spearman_until_success_mean': _mean(
            [spearman(values[e][: indices[e] + 1]) for e in until]
        ),
        'spearman_failure_mean': _mean([spearman(values[e]) for e in bad]),
        'fixed_step': fixed_step,
    }
    if bootstrap:
        low, high = bootstrap_interval(correlations, rng, bootstrap)
        result |= {'spearman_low': low, 'spearman_high': high}
    labelled_good = [e for e in range(count) if success[e] is True]
    moments: dict[str, Callable[[Values], float]] = {
        'auc_end': lambda series: float(series[-1]),
        'auc_75': lambda series: float(series[round(0.75 * (len(series) - 1))]),
        'auc_50': lambda series: float(series[round(0.5 * (len(series) - 1))]),
        'auc_fixed_step': lambda series: float(series[min(fixed_step, len(series) - 1)]),
    }
    for name, pick in moments.items():
        positives = np.array([pick(values[e]) for e in labelled_good])
        negatives = np.array([pick(values[e]) for e in bad])
        result[name] = auc(positives, negatives)
        if name == 'auc_end' and bootstrap:
            low, high = _auc_interval(positives, negatives, rng, bootstrap)
            result |= {'auc_end_low': low, 'auc_end_high': high}
    ends = np.array([values[e][-1] for e in labelled_good])
    for kind in sorted({failure_kinds[e] for e in bad} - {''}) if failure_kinds else ():
        worse = [values[e][-1] for e in bad if failure_kinds and failure_kinds[e] == kind]
        result[f'auc_end_{kind}'] = auc(ends, np.array(worse))
    labelled = [*labelled_good, *bad]
    result['kendall_tau'] = kendall_tau_a(
        [1.0] * len(labelled_good) + [0.0] * len(bad), [float(values[e][-1]) for e in labelled]
    )
    result['value_end_success_mean'] = _mean([values[e][-1] for e in labelled_good])
    result['value_end_failure_mean'] = _mean([values[e][-1] for e in bad])
    return result


def _auc_interval(
    positives: Values, negatives: Values, rng: np.random.Generator, repeats: int
) -> tuple[float, float]:
    if not len(positives) or not len(negatives):
        return math.nan, math.nan
    samples = [
        auc(rng.choice(positives, len(positives)), rng.choice(negatives, len(negatives)))
        for _ in range(repeats)
    ]
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def _mean(samples: Sequence[float] | Values) -> float:
    return float(np.mean(samples)) if len(samples) else math.nan
