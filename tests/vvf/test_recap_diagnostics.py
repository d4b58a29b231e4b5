# SPDX-License-Identifier: Apache-2.0
"""RECAP's diagnostics: what an indicator is worth, from data where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from tests.vvf_models.toy import toy_episodes, toy_store
from vvf.recap.diagnostics import diagnose
from vvf.recap.picture import draw_diagnosis
from vvf_models.data.episode import Event
from vvf_models.data.frames import FrameStore
from vvf_models.training.indicators import indicate

ERROR, MILESTONE = 6, 2  # frames


def store_with_events(count=24):
    episodes = [
        replace(
            episode,
            events=(
                Event('half_way', MILESTONE, 'milestone'),
                *(() if episode.success else (Event('stopped', ERROR, 'error'),)),
            ),
        )
        for episode in toy_episodes(count)
    ]
    return FrameStore.from_episodes(episodes, ('front',), 16)


def offsets(store):
    return np.arange(store.n_frames) - np.repeat(store.starts, store.lengths)


def noise(store, seed=0):
    return np.random.default_rng(seed).normal(size=store.n_frames)


def seen_of(store, advantages, ratio=0.4):
    return diagnose(store, indicate(advantages, store, ratio), ratio)


def test_a_useful_indicator_is_told_by_its_numbers_and_draws_no_warning():
    store = store_with_events()
    failed = (store.outcome == -1)[store.episode_of]
    seen = seen_of(store, noise(store) - 4 * failed)
    assert seen.warnings == []
    assert seen.numbers['share_in_failures'] < 0.05
    assert seen.numbers['share_before_errors'] < 0.05 < seen.numbers['share_elsewhere']
    assert seen.numbers['auc_of_advantages'] > 0.95
    assert seen.numbers['share'] == pytest.approx(0.4, abs=0.01)
    # Only frames to where the task is done are judged, and of those each is in one quarter.
    positives = np.array(seen.numbers['positives_by_quarter'])
    assert positives.sum() == pytest.approx(1)
    assert positives.max() < 0.4


def test_an_indicator_by_chance_does_not_say_what_succeeds():
    store = store_with_events()
    (warning,) = [w for w in seen_of(store, noise(store)).warnings if 'in failures' in w]
    assert 'does not say what succeeds' in warning


def test_positives_before_errors_teach_the_mistakes():
    store = store_with_events()
    failed = (store.outcome == -1)[store.episode_of]
    # At 5 Hz, the second before the error's frame is five frames.
    made_it = failed & (offsets(store) < ERROR) & (offsets(store) >= ERROR - 5)
    seen = seen_of(store, 0.1 * noise(store) + 3.0 * made_it - 3.0 * (failed & ~made_it))
    assert seen.numbers['share_before_errors'] == 1.0
    assert any('taught the mistakes' in warning for warning in seen.warnings)
    seconds, curve, count = seen.around_errors
    assert count == seen.numbers['errors'] == (store.outcome == -1).sum()
    assert (curve[(seconds < -0.1) & (seconds > -1.1)] == 1.0).all()
    assert curve[np.isclose(seconds, 0.2)] == 0.0


def test_flat_values_and_positives_in_one_quarter_are_named():
    store = store_with_events()
    last = offsets(store) >= 0.75 * (np.repeat(store.lengths, store.lengths) - 3)
    seen = seen_of(store, np.where(last, 1.0, 0.0), ratio=0.2)
    assert any('the value is flat' in warning for warning in seen.warnings)
    assert any('quarter 4' in warning for warning in seen.warnings)
    assert seen.quarters['successes'][0] == 0.0
    assert any('taught by demonstrations' in warning for warning in seen.warnings)


def test_one_advantage_of_the_last_frames_of_an_episode_is_no_flat_value():
    store = store_with_events()
    advantages = np.random.default_rng(0).permutation(store.n_frames).astype(float)
    longest = int(np.argmax(store.lengths))
    own = slice(store.starts[longest], store.ends[longest] + 1)
    advantages[own] = np.quantile(advantages, 0.6)
    seen = seen_of(store, advantages, ratio=0.4)
    assert seen.numbers['share'] - seen.numbers['share_strict'] > 0.05
    assert not any('the value is flat' in warning for warning in seen.warnings)


def test_a_threshold_that_hangs_on_few_episodes_is_unstable():
    store = store_with_events()
    of_episode = np.arange(store.n_episodes, dtype=float)[store.episode_of]
    steady = seen_of(store, noise(store)).numbers['share_between']
    seen = seen_of(store, of_episode + 0.01 * noise(store))
    assert seen.numbers['share_between'] > 2 * steady
    assert any('depends on the episodes' in warning for warning in seen.warnings)
    (interval,) = seen.thresholds.values()
    assert interval.low < interval.value < interval.high


def test_milestones_part_an_episode():
    store = store_with_events()
    seen = seen_of(store, np.where(offsets(store) < MILESTONE, 1.0, 0.0) + 1e-3 * noise(store), 0.2)
    before, after = seen.reached['successes']
    assert before > 0.9
    assert after < 0.1


def test_humans_part_no_episode_and_batches_have_their_own_threshold():
    store = store_with_events()
    store.interventions[store.starts + 1] = True
    batches = [f'iteration {1 + (n >= 12)}' for n in range(24)]
    advantages = noise(store) + 5 * np.repeat(np.arange(24) >= 12, store.lengths)
    found = indicate(advantages, store, 0.4, None, batches)
    seen = diagnose(store, found, 0.4)
    assert seen.numbers['frames'] == found.judged.sum()
    assert len(seen.thresholds) == 2
    assert all(e.low <= e.value <= e.high for e in seen.thresholds.values())
    assert seen.numbers['share'] == pytest.approx(0.4, abs=0.01)
    assert np.abs(seen.quarters['successes'] - 0.4).max() < 0.2


def test_without_failures_nobody_can_say():
    store = toy_store(6)
    seen = seen_of(replace(store, outcome=np.ones_like(store.outcome)), noise(store))
    assert any('too few' in warning for warning in seen.warnings)


def test_the_picture_shows_both_outcomes_and_grows_with_its_warnings(tmp_path):
    store = store_with_events()
    useful = seen_of(store, noise(store) - 4 * (store.outcome == -1)[store.episode_of])
    useless = seen_of(store, np.zeros(store.n_frames))
    plain, warned = (draw_diagnosis(seen, 'a value').image() for seen in (useful, useless))
    assert warned.shape[0] > plain.shape[0]
    for colour in ((37, 99, 201), (217, 115, 13)):
        assert (np.abs(plain.astype(int) - colour).sum(-1) < 6).sum() > 500
    assert draw_diagnosis(useful, 'a value').save(tmp_path / 'a' / 'seen.png').is_file()
