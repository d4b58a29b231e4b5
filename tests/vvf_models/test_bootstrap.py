# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from vvf_models.evaluation.bootstrap import Bootstrap, interval_keys
from vvf_models.evaluation.value_metrics import auc, kendall_tau_a

RNG = np.random.default_rng(0)
OUTCOME = np.arange(60) % 3 > 0
SAMPLES = RNG.normal(size=60) + OUTCOME


def resampled():
    """The same resamples as `Bootstrap`, as lists of episodes."""
    return [np.repeat(np.arange(60), row.astype(int)) for row in bootstrap().weights]


def bootstrap(repeats=300):
    return Bootstrap(list(OUTCOME), repeats, seed=1)


def test_a_resample_keeps_the_number_of_each_outcome():
    weights = bootstrap().weights
    assert weights.shape == (300, 60)
    assert (weights[:, OUTCOME].sum(1) == 40).all()
    assert (weights[:, ~OUTCOME].sum(1) == 20).all()
    assert len(np.unique(weights, axis=0)) == 300
    assert np.array_equal(weights, bootstrap().weights)


def test_intervals_are_those_of_computing_every_resample_anew():
    won, lost = np.flatnonzero(OUTCOME), np.flatnonzero(~OUTCOME)
    estimate = bootstrap().auc(SAMPLES[won], SAMPLES[lost], won, lost)
    direct = [
        auc(SAMPLES[chosen[OUTCOME[chosen]]], SAMPLES[chosen[~OUTCOME[chosen]]])
        for chosen in resampled()
    ]
    assert estimate.value == pytest.approx(auc(SAMPLES[won], SAMPLES[lost]))
    assert [estimate.low, estimate.high] == pytest.approx(np.percentile(direct, [2.5, 97.5]))

    estimate = bootstrap().mean(SAMPLES, won)
    direct = [SAMPLES[chosen[OUTCOME[chosen]]].mean() for chosen in resampled()]
    assert estimate.value == pytest.approx(SAMPLES[won].mean())
    assert [estimate.low, estimate.high] == pytest.approx(np.percentile(direct, [2.5, 97.5]))

    estimate = bootstrap().of(SAMPLES, np.arange(60), np.median)
    direct = [np.median(SAMPLES[chosen]) for chosen in resampled()]
    assert [estimate.low, estimate.high] == pytest.approx(np.percentile(direct, [2.5, 97.5]))


def test_copies_of_an_episode_do_not_lower_kendall():
    ranks = np.arange(12.0)
    estimate = Bootstrap(['all'] * 12, 200).kendall(ranks, ranks, np.arange(12))
    assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)
    # Two classes told apart perfectly: nothing can vary, whatever is drawn.
    classes = np.repeat([0.0, 1.0], 6)
    estimate = Bootstrap(list(classes), 200).kendall(classes, ranks, np.arange(12))
    assert estimate.value == pytest.approx(kendall_tau_a(classes, ranks))
    assert [estimate.low, estimate.high] == pytest.approx([estimate.value] * 2)
    noisy = ranks + RNG.normal(size=12) * 4
    estimate = Bootstrap(['all'] * 12, 200).kendall(ranks, noisy, np.arange(12))
    assert estimate.value == pytest.approx(kendall_tau_a(ranks, noisy))
    assert estimate.low < estimate.value < estimate.high


def test_episodes_are_resampled_not_what_they_hold():
    # Ten episodes of 100 equal events each know as much as ten events.
    hits = np.array([100.0] * 5 + [0.0] * 5)
    estimate = Bootstrap(['all'] * 10, 2000).ratio(hits, np.full(10, 100.0))
    assert estimate.value == 0.5
    assert estimate.low == pytest.approx(0.2, abs=0.05)
    assert estimate.high == pytest.approx(0.8, abs=0.05)


def test_the_interval_has_the_right_width():
    samples = np.random.default_rng(0).normal(2.0, 1.0, 400)
    estimate = Bootstrap(['all'] * 400).mean(samples)
    assert estimate.low < 2.0 < estimate.high
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_what_is_undefined_has_no_interval():
    resample = bootstrap()
    none = np.array([], int)
    for estimate in (
        resample.mean(SAMPLES, none),
        resample.auc(SAMPLES[none], SAMPLES[none], none, none),
        resample.kendall(SAMPLES, SAMPLES, none),
        resample.of(np.array([]), none, np.median),
    ):
        assert all(map(math.isnan, (estimate.value, estimate.low, estimate.high)))
    assert math.isnan(Bootstrap([True], 0).mean(np.ones(1)).low)


def test_a_single_episode_has_a_value_and_no_interval():
    resample, one = bootstrap(), np.array([3])
    for estimate in (
        resample.mean(SAMPLES, one),
        resample.auc(SAMPLES[one], SAMPLES, one, np.arange(60)),
        resample.of(np.ones(5), np.full(5, 3), np.median),
    ):
        assert math.isfinite(estimate.value)
        assert math.isnan(estimate.low)


def test_names_of_intervals():
    assert interval_keys('auc_end') == ('auc_end_low', 'auc_end_high')
    assert interval_keys('spearman_mean') == ('spearman_low', 'spearman_high')
    assert bootstrap().mean(SAMPLES).entries('x_mean').keys() == {'x_mean', 'x_low', 'x_high'}
