# SPDX-License-Identifier: Apache-2.0
"""Advantages against hand-worked cases."""

import numpy as np
import pytest

from vvf_models.values.advantage import lookahead, lookback, threshold, until_done
from vvf_models.values.returns import normalised_return, steps_left

GAMMA = 0.9


def value_of(steps: np.ndarray) -> np.ndarray:
    """The value of a state that is so many steps from the goal."""
    return -(1 - GAMMA**steps) / (1 - GAMMA)


@pytest.mark.parametrize('hz', [5.0, 10.0, 30.0])
def test_steady_progress_has_no_advantage_at_any_frame_rate(hz: float) -> None:
    seconds = np.arange(0, 4 + 1e-9, 1 / hz)
    values = value_of(5.0 * (4.0 - seconds))
    done = len(seconds) - 1
    ahead = lookahead(seconds, values, gamma=GAMMA, rate_hz=5.0, n_steps=5, done=done)
    np.testing.assert_allclose(ahead, 0.0, atol=1e-9)
    back = lookback(seconds, values, gamma=GAMMA, rate_hz=5.0, n_steps=5)
    assert np.isnan(back[seconds < 0.99]).all()
    np.testing.assert_allclose(back[seconds > 1.01], 0.0, atol=1e-9)


def test_standing_still_costs_what_the_steps_cost() -> None:
    seconds = np.arange(5.0)
    values = np.full(5, -4.0)
    ahead = lookahead(seconds, values, gamma=GAMMA, rate_hz=1.0, n_steps=2)
    by_hand = -1 - GAMMA + GAMMA**2 * -4.0 + 4.0
    np.testing.assert_allclose(ahead[:3], by_hand)
    # The horizon is cut at the end of the episode.
    np.testing.assert_allclose(ahead[3:], [-1 + GAMMA * -4.0 + 4.0, 0.0])


def test_the_end_of_a_success_or_failure_counts_as_what_it_is() -> None:
    seconds, values = np.array([0.0, 1.0]), np.array([-2.0, -2.0])
    won = lookahead(seconds, values, gamma=GAMMA, rate_hz=1.0, n_steps=5, done=1)
    np.testing.assert_allclose(won, [-1 + 2.0, 2.0])
    failed = lookahead(seconds, values, gamma=GAMMA, rate_hz=1.0, n_steps=5, end_value=-9.0)
    np.testing.assert_allclose(failed, [-1 - 0.9 * 9.0 + 2.0, -9.0 + 2.0])
    lost = lookahead(seconds, values, gamma=GAMMA, rate_hz=1.0, n_steps=5)
    np.testing.assert_allclose(lost, [-1 - 1.8 + 2.0, 0.0])


def test_what_comes_after_a_success_costs_nothing() -> None:
    # The task is done in frame 3; the model sinks while the arm draws back.
    seconds = np.arange(7.0)
    values = np.array([-3.0, -2.0, -1.5, -0.5, -1.0, -2.0, -2.5])
    ahead = lookahead(seconds, values, gamma=1.0, rate_hz=1.0, n_steps=2, done=3)
    np.testing.assert_allclose(ahead, [-2 - 1.5 + 3, -2 + 0 + 2, -1 + 0 + 1.5, 0.5, 1.0, 2.0, 2.5])
    back = lookback(seconds, values, gamma=1.0, rate_hz=1.0, n_steps=2, done=3)
    np.testing.assert_allclose(back[2:], ahead[:5])
    # A threshold is of the frames up to the success, where the episodes of the papers end.
    np.testing.assert_array_equal(until_done(ahead, 3), ahead[:4])
    np.testing.assert_array_equal(until_done(ahead), ahead)
    # Values are left alone.
    assert values[3] == -0.5


@pytest.mark.parametrize(('failed', 'end'), [(False, 0.0), (True, -0.5)])
def test_exact_normalised_returns_have_no_advantage(failed: bool, end: float) -> None:
    longest = 40  # the normaliser is twice that, as a failure costs as much
    values = normalised_return(steps_left(30), failed, longest).astype(np.float64)
    seconds = np.arange(30) * 0.2
    how = {'gamma': 1.0, 'rate_hz': 5.0, 'n_steps': 10, 'step_cost': 1 / (2 * longest)}
    np.testing.assert_allclose(lookahead(seconds, values, **how, end_value=end), 0, atol=1e-7)
    np.testing.assert_allclose(lookback(seconds, values, **how)[10:], 0, atol=1e-7)
    # A robot that stands still for ten steps loses ten of them.
    still = lookahead(seconds, np.full(30, -0.25), **how)
    np.testing.assert_allclose(still[:20], -10 / 80)


def test_lookback_is_the_lookahead_of_n_steps_ago() -> None:
    seconds = np.arange(30) * 0.2
    values = np.random.default_rng(0).normal(-5, 1, 30)
    ahead = lookahead(seconds, values, gamma=GAMMA, rate_hz=5.0, n_steps=10)
    back = lookback(seconds, values, gamma=GAMMA, rate_hz=5.0, n_steps=10)
    np.testing.assert_allclose(back[10:], ahead[:20])


def test_threshold_leaves_the_wanted_share_above() -> None:
    gain = np.random.default_rng(0).normal(size=1000)
    assert np.mean(gain >= threshold(gain, 0.3)) == pytest.approx(0.3, abs=0.002)
    assert np.isnan(threshold(np.zeros(0)))


def test_no_frames_give_no_advantage() -> None:
    assert lookahead(np.zeros(0), np.zeros(0), gamma=GAMMA, rate_hz=5.0).shape == (0,)
    assert lookback(np.zeros(0), np.zeros(0), gamma=GAMMA, rate_hz=5.0).shape == (0,)
