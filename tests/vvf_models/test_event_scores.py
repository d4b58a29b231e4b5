# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from vvf_models.data.episode import Event
from vvf_models.evaluation.events import event_metrics, event_scores

GRASP, DROP = Event('grasped', 5, 'milestone'), Event('dropped', 15, 'error')


def steps(*levels, length=5):
    return np.repeat(np.array(levels, float), length)


def test_the_score_is_the_relative_change_by_hand():
    values = steps(-10, -4, -4, -7)
    epsilon = 0.05 * (np.percentile(values, 95) - np.percentile(values, 5))
    up, down = event_scores([values], [[GRASP, DROP]], [5.0])
    assert up.score == pytest.approx((-4 + 10) / (10 + epsilon))
    assert down.score == pytest.approx(-(-7 + 4) / (4 + epsilon))
    assert (up.episode, up.event) == (0, GRASP)
    # Half a second: two or three frames of the five; the levels are the same.
    assert event_scores([values], [[GRASP]], [5.0], window_s=0.5)[0].score == pytest.approx(
        up.score
    )


def test_the_window_is_in_seconds_and_does_not_reach_beyond_the_episode():
    values = np.array([0.0, 0, 0, 0, 8, 8, 0, 0, 0, 0])
    event = Event('x', 4, 'milestone')
    fast = event_scores([values], [[event]], [2.0])[0].score  # two frames: 8 after
    slow = event_scores([values], [[event]], [4.0])[0].score  # four frames: 4 after
    assert fast == pytest.approx(2 * slow)
    last = event_scores([values], [[Event('x', 9, 'error')]], [5.0])
    assert last[0].score > 0


def test_what_cannot_be_scored_is_left_out():
    values = steps(0, 1)
    events = [
        Event('no kind', 5),
        Event('first frame', 0, 'error'),
        Event('too late', 10, 'error'),
    ]
    assert not event_scores([values], [events], [5.0])
    assert not event_scores([values], [[GRASP]], [math.nan])
    assert not event_scores([], [], [])


def test_means_and_shares_of_both_kinds():
    rises, falls_ = steps(-4, -2, -2, -4), steps(-2, -4, -4, -2)
    values = [rises, rises, falls_]
    slip = Event('slipped', 15, 'error')
    happened = [[GRASP, DROP], [GRASP, slip], [GRASP, DROP]]
    result = event_metrics(values, happened, [5.0] * 3, [True, False, False])
    epsilon = 0.05 * 2
    up, down = 2 / (4 + epsilon), -2 / (2 + epsilon)
    assert result['milestones'] == result['errors'] == 3
    assert result['milestone_score_mean'] == pytest.approx((2 * up + down) / 3)
    assert result['error_score_mean'] == pytest.approx((-2 * down - up) / 3)
    assert result['milestone_detection'] == pytest.approx(2 / 3)
    assert result['error_detection_dropped'] == 0.5
    assert result['error_detection_slipped'] == 1
    assert result['error_detection_low'] <= 2 / 3 <= result['error_detection_high']
    assert result['milestone_score_low'] < result['milestone_score_high']


def test_scores_do_not_depend_on_the_unit_of_the_value():
    values = [steps(-10, -4, -4, -7), steps(-3, -1, -2, -4)]
    happened = [[GRASP, DROP]] * 2
    small = event_metrics(values, happened, [5.0] * 2, [True, None], bootstrap=0)
    large = event_metrics([40 * v for v in values], happened, [5.0] * 2, [True, None], bootstrap=0)
    assert large == pytest.approx(small)


def test_without_events_nothing_is_claimed():
    result = event_metrics([steps(0, 1)], [[]], [5.0], [True])
    assert result['milestones'] == result['errors'] == 0
    assert math.isnan(result['milestone_detection'])
    assert math.isnan(result['error_score_mean'])
