# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from vvf_models.data.episode import Event
from vvf_models.evaluation.alarms import (
    AlarmRules,
    alarm_metrics,
    alarm_threshold,
    falls,
    noticed_against_false,
    raise_alarms,
)

RATE = 5.0


def test_a_fall_is_measured_from_the_best_of_the_last_frames():
    values = np.array([0.0, 3.0, 1.0, 2.0, 2.5, 2.0])
    assert falls(values, 2).tolist() == [0, 0, 2, 1, 0, 0.5]
    assert falls(values, 1).tolist() == [0, 0, 2, 0, 0, 0.5]
    assert falls(values, 99).tolist() == [0, 0, 2, 1, 0.5, 1]


def test_the_threshold_leaves_the_wanted_share_above_it():
    largest = np.arange(1.0, 100.0)
    assert alarm_threshold(largest, 0.05) == 95
    assert alarm_threshold(largest, 0.5) == 50
    assert alarm_threshold([2.0, 1.0], 0.05) == 2  # too few for so small a share
    assert alarm_threshold([], 0.05) == math.inf


def test_the_threshold_holds_for_episodes_it_was_not_set_by():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        threshold = alarm_threshold(rng.exponential(size=39), 0.1)
        shares.append((rng.exponential(size=50) > threshold).mean())
    assert np.mean(shares) == pytest.approx(0.1, abs=0.015)


def success(dip):
    """Rises for four seconds, with a dip in the middle."""
    values = np.arange(20.0)
    values[10] -= 1 + dip  # below the frame before it, by the dip
    return values


def failure(fall, late=0):
    """Falls from the tenth frame on, or some frames later."""
    values = np.arange(20.0)
    values[10 + late :] = 9 + late - fall
    return values


def scene(fall=5.0, late=0):
    values = [success(dip) for dip in np.linspace(0.1, 2, 20)] + [failure(fall, late)] * 4
    events = [[Event('grasped', 5, 'milestone')]] * 20 + [[Event('dropped', 10, 'error')]] * 4
    return values, events, [RATE] * 24, [True] * 20 + [False] * 4, [19] * 20 + [-1] * 4


def test_errors_are_noticed_within_a_second_or_not_at_all():
    at_once = alarm_metrics(*scene())
    assert at_once['errors_noticed'] == at_once['errors_noticed_dropped'] == 1
    assert at_once['alarm_delay_s'] == 0
    assert at_once['error_auc'] == 1
    late = alarm_metrics(*scene(late=3))
    assert late['errors_noticed'] == 1
    assert late['alarm_delay_s'] == pytest.approx(0.6)
    too_late = alarm_metrics(*scene(late=6))
    assert too_late['errors_noticed'] == 0
    assert math.isnan(too_late['alarm_delay_s'])
    too_little = alarm_metrics(*scene(fall=0.5))
    assert too_little['errors_noticed'] == 0
    assert 0 < too_little['error_auc'] < 1


def test_false_alarms_are_counted_on_flawless_successes():
    values, events, rates, outcome, done = scene()
    result = alarm_metrics(values, events, rates, outcome, done)
    assert result['flawless_successes'] == 20
    # Dips grow along the episodes: the last one exceeds what the other half has seen.
    assert result['false_alarm_share'] == pytest.approx(1 / 20)
    assert result['false_alarms_per_minute'] == pytest.approx(60 / (20 * 20 / RATE))
    assert result['false_alarm_share_low'] <= 1 / 20 <= result['false_alarm_share_high']
    assert result['false_alarm_share_wanted'] == 0.05
    # A success in which something was dropped is not flawless, and its alarm not false.
    events = [*events[:19], [Event('dropped', 10, 'error')], *events[20:]]
    result = alarm_metrics(values, events, rates, outcome, done)
    assert result['flawless_successes'] == 19
    assert result['errors_noticed'] == 1


def test_what_happens_after_the_task_is_done_is_no_alarm():
    values, events, rates, outcome, done = scene()
    waving = [
        np.concatenate([v, [0.0] * 5]) if good else v
        for v, good in zip(values, outcome, strict=True)
    ]
    assert alarm_metrics(waving, events, rates, outcome, done) == alarm_metrics(*scene())
    watched = alarm_metrics(waving, events, rates, outcome, [-1] * 24)
    assert watched['errors_noticed'] == 0  # the threshold is that of the waving


def test_no_episode_sets_its_own_threshold():
    values, events, rates, outcome, done = scene()
    before = raise_alarms(values, events, rates, outcome, done).thresholds
    changed = list(values)
    changed[6] = success(50.0)  # an even one
    after = raise_alarms(changed, events, rates, outcome, done).thresholds
    assert after[6] == before[6]
    assert (after[1:20:2] > before[1:20:2]).all()
    assert (after[0:20:2] == before[0:20:2]).all()


def test_more_false_alarms_buy_more_errors():
    strict = alarm_metrics(*scene(fall=1.0), AlarmRules(false_alarm_share=0.05), bootstrap=0)
    lax = alarm_metrics(*scene(fall=1.0), AlarmRules(false_alarm_share=0.7), bootstrap=0)
    assert strict['errors_noticed'] == 0
    assert lax['errors_noticed'] == 1
    assert lax['false_alarm_share'] == pytest.approx(0.7, abs=0.1)
    false, seen = noticed_against_false(raise_alarms(*scene(fall=1.0)))
    assert false[0] == 0
    assert (np.diff(false) >= 0).all()
    assert (np.diff(seen) >= 0).all()
    assert false[np.argmax(seen == 1)] == pytest.approx(0.5, abs=0.1)


def test_episodes_of_unknown_rate_and_no_events_say_nothing():
    values, events, _, outcome, done = scene()
    result = alarm_metrics(values, events, [math.nan] * 24, outcome, done)
    assert result['flawless_successes'] == 0
    assert math.isnan(result['errors_noticed'])
    assert math.isnan(result['false_alarm_share'])
    assert math.isnan(result['error_auc'])
