# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from vvf_models.evaluation.bootstrap import interval_keys
from vvf_models.evaluation.value_metrics import (
    auc,
    kendall_tau_a,
    pearson,
    spearman,
    value_metrics,
)


def test_kendall_ignores_ties_in_the_numerator_only():
    assert kendall_tau_a([0, 1, 2], [0.1, 0.1, 0.9]) == pytest.approx(2 / 3)
    assert kendall_tau_a([0, 1, 2, 3], [4, 3, 2, 1]) == -1
    labels, scores = np.arange(20), np.random.default_rng(0).permutation(20)
    assert kendall_tau_a(labels, scores) == pytest.approx(kendalltau(labels, scores).statistic)


def test_auc_counts_pairs():
    assert auc([3.0, 2.0], [1.0, 2.0]) == pytest.approx((2 + 1.5) / 4)
    assert auc([1.0], [2.0]) == 0
    assert math.isnan(auc([], [1.0]))


def test_spearman_and_pearson_by_hand():
    values = np.array([0.0, 1.0, 3.0, 2.0])
    assert spearman(values) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert pearson(values) == pytest.approx(4.0 / 5.0)
    assert spearman(np.zeros(5)) == 0
    assert spearman(np.array([1.0])) == 0


def test_metrics_of_four_episodes_by_hand():
    values = [
        np.array([0.0, 1.0, 2.0, 3.0, 4.0]),  # success, perfect
        np.array([0.0, 2.0, 1.0, 3.0, 3.0]),  # success
        np.array([0.0, 1.0, 2.0]),  # failure that looks like progress
        np.array([3.0, 2.0, 1.0, 0.0, -1.0]),  # failure
    ]
    result = value_metrics(
        values, [True, True, False, False], [4, 3, -1, -1], fixed_step=3, bootstrap=200
    )
    second = spearman(values[1])
    assert result['episodes'] == 4
    assert result['successes'] == result['failures'] == 2
    assert result['spearman_mean'] == pytest.approx((1 + second) / 2)
    assert result['spearman_min'] == pytest.approx(second)
    assert math.isnan(result['reversed_spearman_mean'])
    assert result['spearman_until_success_mean'] == pytest.approx((1 + 0.8) / 2)
    assert result['spearman_failure_mean'] == pytest.approx(0)
    assert result['auc_end'] == 1
    # At 50 % the values are 2 and 1 against 1 (step 1 of 3) and 1.
    assert result['auc_50'] == pytest.approx((2 + 0.5 + 0.5) / 4)
    # At 75 %: step 3 of 5 gives 3, 3 and 0; of the three frames, the last (round(1.5) = 2) gives 2.
    assert result['auc_75'] == 1
    assert result['auc_fixed_step'] == 1
    assert result['kendall_tau'] == pytest.approx(4 / 6)
    assert result['value_end_success_mean'] == pytest.approx(3.5)
    assert result['value_end_failure_mean'] == pytest.approx(0.5)
    assert result['spearman_low'] <= result['spearman_mean'] <= result['spearman_high']


def test_failures_are_told_apart_by_kind():
    ends = [np.array([v]) for v in (3.0, 2.0, 2.5, 0.0, 1.0)]
    kinds = ['', '', 'dropped', 'timeout', 'timeout']
    result = value_metrics(
        ends, [True, True, False, False, False], failure_kinds=kinds, bootstrap=0
    )
    assert result['auc_end_dropped'] == 0.5
    assert result['auc_end_timeout'] == 1
    assert result['auc_end'] == pytest.approx(5 / 6)


def test_unlabelled_episodes_are_progress_and_never_failures():
    result = value_metrics([np.arange(4.0)] * 3, [None] * 3, bootstrap=0)
    assert result['spearman_mean'] == 1
    assert result['failures'] == 0
    assert math.isnan(result['auc_end'])


def test_a_model_with_a_memory_gives_its_own_reversed_values():
    rising = np.arange(4.0)
    result = value_metrics([rising], [True], reversed_values=[rising], bootstrap=0)
    assert result['reversed_spearman_mean'] == 1
    assert math.isnan(value_metrics([rising], [True])['reversed_spearman_mean'])


def test_every_metric_but_minima_and_counts_has_an_interval_around_it():
    rng = np.random.default_rng(0)
    values = [rng.normal(size=8) + np.arange(8) * rng.uniform() for _ in range(40)]
    outcome = [e % 3 > 0 for e in range(40)]
    index = [6 if good else -1 for good in outcome]
    kinds = ['' if good else ('dropped', 'timeout')[e % 2] for e, good in enumerate(outcome)]
    result = value_metrics(
        values, outcome, index, failure_kinds=kinds, reversed_values=[v[::-1] for v in values]
    )
    without = {
        name
        for name in result
        if not name.endswith(('_low', '_high')) and interval_keys(name)[0] not in result
    }
    assert without == {
        'episodes',
        'successes',
        'failures',
        'fixed_step',
        'spearman_min',
        'kendall_tau_most',
    }
    for name in set(result) - without:
        if not name.endswith(('_low', '_high')):
            low, high = interval_keys(name)
            assert result[low] <= result[name] <= result[high], name
            assert result[low] < result[high], name


def test_suboptimal_episodes_have_a_rank_of_their_own():
    ends = [np.array([v]) for v in (0.1, 0.1, 0.9)]
    result = value_metrics(ends, [False, None, True], ranks=[0, 1, 2], bootstrap=0)
    assert result['kendall_tau'] == pytest.approx(2 / 3)
    assert result['kendall_tau_most'] == 1
    two = value_metrics(ends, [False, None, True], bootstrap=0)
    assert two['kendall_tau'] == 1  # the unlabelled one has no rank
    four = value_metrics([*ends, np.array([0.8])], [False, False, True, True], bootstrap=0)
    assert four['kendall_tau'] == four['kendall_tau_most'] == pytest.approx(4 / 6)


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match='finite'):
        value_metrics([np.array([0.0, np.nan])], [True])
    with pytest.raises(ValueError, match='at least one'):
        value_metrics([np.zeros(0)], [True])
    with pytest.raises(ValueError, match='one entry per episode'):
        value_metrics([np.zeros(2)], [True, False])
