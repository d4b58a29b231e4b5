# SPDX-License-Identifier: Apache-2.0
"""How good a value function is, from its values along whole episodes.

Rank correlation with time says that it rises in successes (VOC of GVL, arXiv 2411.04549); it says
nothing about failures, where values rise too. So areas under the ROC curve go beside it: success
against failure by the value at the end, at 75 % and 50 % of the episode, and at a fixed step, since
episodes of different outcome have different lengths and "75 %" then compares different phases.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, rankdata, spearmanr

from vvf_models.evaluation.bootstrap import Bootstrap

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


def value_metrics(
    values: Sequence[Values],
    success: Sequence[bool | None],
    success_index: Sequence[int] | None = None,
    *,
    failure_kinds: Sequence[str] | None = None,
    ranks: Sequence[float] | None = None,
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
        ranks: How far each episode succeeded, such as 0 failed, 1 nearly, 2 succeeded, for
            Kendall's τ_a; NaN to leave an episode out. By default the outcome, 0 or 1.
        reversed_values: Per episode, the values of the episode played backwards, in the order
            played: of a model that sees more than one frame. For any other they are `values`
            backwards, which says nothing, and the metric is NaN.
        fixed_step: The step of `auc_fixed_step`; the last of episodes that are shorter.
        bootstrap: Resamples of the episodes for the intervals, 0 for none.
        seed: Of the resampling.

    Returns:
        Flat, with snake_case keys; NaN where a metric is not defined. Correlations are over
        successes, or over all episodes if no outcome is known. `<metric>_low` and `<metric>_high`
        (for `<metric>_mean`, too) are the 95 % interval; a minimum has none, since no resample
        can show a worse episode than the worst.

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
    known = any(outcome is not None for outcome in success)
    won = np.flatnonzero([outcome is True for outcome in success])
    lost = np.flatnonzero([outcome is False for outcome in success])
    good = won if known else np.arange(count)
    until = np.array([e for e in good if indices[e] >= 1], np.int64)
    resample = Bootstrap(success, bootstrap, seed)

    result: dict[str, float] = {
        'episodes': count,
        'successes': len(won),
        'failures': len(lost),
        'fixed_step': fixed_step,
    }

    def add(name: str, samples: Values, members: NDArray[np.int64]) -> None:
        estimate = resample.mean(samples, members)
        result.update(estimate.entries(name) if bootstrap else {name: estimate.value})

    correlations = np.array([spearman(series) for series in values])
    add('spearman_mean', correlations, good)
    result['spearman_min'] = float(correlations[good].min()) if len(good) else math.nan
    add('pearson_mean', np.array([pearson(series) for series in values]), good)
    backwards = reversed_values or [np.full(1, math.nan)] * count
    again = [spearman(series) if len(series) > 1 else math.nan for series in backwards]
    add('reversed_spearman_mean', np.array(again), good)
    done = [spearman(values[e][: indices[e] + 1]) for e in range(count)]
    add('spearman_until_success_mean', np.array(done), until)
    add('spearman_failure_mean', correlations, lost)

    moments: dict[str, Callable[[Values], float]] = {
        'auc_end': lambda series: float(series[-1]),
        'auc_75': lambda series: float(series[round(0.75 * (len(series) - 1))]),
        'auc_50': lambda series: float(series[round(0.5 * (len(series) - 1))]),
        'auc_fixed_step': lambda series: float(series[min(fixed_step, len(series) - 1)]),
    }
    picked = {name: np.array([pick(v) for v in values]) for name, pick in moments.items()}
    ends = picked['auc_end']
    contrasts = {name: (samples, lost) for name, samples in picked.items()}
    kinds = np.array(failure_kinds if failure_kinds else [''] * count)
    for kind in sorted({str(kind) for kind in kinds[lost]} - {''}):
        contrasts[f'auc_end_{kind}'] = (ends, lost[kinds[lost] == kind])
    for name, (samples, against) in contrasts.items():
        estimate = resample.auc(samples[won], samples[against], won, against)
        result.update(estimate.entries(name) if bootstrap else {name: estimate.value})

    graded = np.array([math.nan if s is None else float(s) for s in success])
    if ranks is not None:
        graded = np.asarray(ranks, float)
    ranked = np.flatnonzero(np.isfinite(graded))
    estimate = resample.kendall(graded, ends, ranked)
    result.update(estimate.entries('kendall_tau') if bootstrap else {'kendall_tau': estimate.value})
    # What a perfect model would get: pairs of equal rank are in the denominator.
    result['kendall_tau_most'] = kendall_tau_a(graded[ranked], graded[ranked])
    add('value_end_success_mean', ends, won)
    add('value_end_failure_mean', ends, lost)
    return result
