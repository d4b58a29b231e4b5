# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from vvf_models.evaluation.sarsa import (
    fit,
    goal_steps,
    held_out_values,
    predict,
    returns,
    sarsa_metrics,
)


def test_the_return_of_a_success_a_failure_and_an_unlabelled_clip():
    assert returns(3, goal_steps(9, True, 2), 0.5).tolist() == [0.25, 0.5, 1]
    assert returns(3, goal_steps(3, False, -1), 0.5).tolist() == [0, 0, 0]
    assert returns(3, goal_steps(3, None, -1), 0.5).tolist() == [0.25, 0.5, 1]
    assert goal_steps(3, True, -1) == 2


def test_on_a_chain_with_a_feature_per_state_the_fit_is_the_return():
    chain = np.eye(6)
    weights = fit([chain], [5.0], 1e-9, 0.9)
    assert predict(chain, weights) == pytest.approx(0.9 ** np.arange(5, -1, -1), abs=1e-5)


def test_two_ways_on_give_their_mean_as_temporal_differences_do():
    # From state 0 half of the episodes reach the goal in two steps and half never do; state 1 is
    # one step before the goal: V(1) = .5, V(0) = .5 (V(1) + 0) / 2.
    eye = np.eye(4)
    success, failure = eye[[0, 1, 2]], eye[[0, 3, 3]]
    weights = fit([success, failure], [2.0, math.inf], 1e-9, 0.5)
    assert predict(eye, weights) == pytest.approx([0.125, 0.5, 1, 0], abs=1e-5)


def episodes(noise, seed=0, width=3):
    """Features tell how far the goal is, as well as the noise lets them."""
    rng = np.random.default_rng(seed)
    features, outcome, index = [], [], []
    for e in range(40):
        length = int(rng.integers(12, 20))
        success = e % 3 > 0
        reached = length - 3 if success else -1
        steps = reached + 1 if success else length
        truth = returns(steps, goal_steps(length, success, reached))
        rows = rng.normal(size=(length, width))  # after the goal they say nothing
        rows[:steps, 0] = truth + noise * rng.normal(size=steps)
        features.append(rows)
        outcome.append(success)
        index.append(reached)
    return features, outcome, index


def test_better_features_have_a_smaller_error():
    errors = [sarsa_metrics(*episodes(noise), bootstrap=0) for noise in (0.0, 0.1, 10.0)]
    assert errors[0]['sarsa_error'] < 0.02
    assert errors[0]['sarsa_error'] < errors[1]['sarsa_error'] < errors[2]['sarsa_error']
    assert errors[0]['sarsa_unexplained'] < 0.01
    # Noise explains nothing, but a constant is always to be had.
    assert errors[2]['sarsa_unexplained'] == pytest.approx(1, abs=0.3)


def test_the_error_is_of_episodes_not_fitted_on():
    # As many features as frames, and none means anything: a fit on all frames would be perfect.
    features, outcome, index = episodes(10.0, width=300)
    features = [f[: i + 1] if s else f for f, s, i in zip(features, outcome, index, strict=True)]
    assert sarsa_metrics(features, outcome, index, bootstrap=0)['sarsa_unexplained'] > 0.7
    reached = [goal_steps(len(f), s, i) for f, s, i in zip(features, outcome, index, strict=True)]
    before = held_out_values(features, reached)
    reached[5] = math.inf if outcome[5] else 3.0
    after = held_out_values(features, reached)
    assert np.array_equal(before[5], after[5])
    assert not np.array_equal(before[6], after[6])


def test_scale_of_features_does_not_matter_and_wide_ones_are_reduced():
    features, outcome, index = episodes(0.1)
    plain = sarsa_metrics(features, outcome, index)
    scaled = sarsa_metrics([1e-3 * part + 7 for part in features], outcome, index)
    assert scaled == pytest.approx(plain, rel=1e-6)
    assert plain['sarsa_error_low'] < plain['sarsa_error'] < plain['sarsa_error_high']
    spread = np.random.default_rng(0).normal(size=(3, 2000))
    wide = sarsa_metrics([part @ spread for part in features], outcome, index, bootstrap=0)
    assert wide['sarsa_error'] == pytest.approx(plain['sarsa_error'], rel=0.2)


def test_too_few_episodes_are_refused():
    with pytest.raises(ValueError, match='four'):
        sarsa_metrics([np.zeros((3, 2))] * 3, [True] * 3, [2] * 3)
