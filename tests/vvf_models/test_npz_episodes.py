# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from vvf_models.data.episode import Event
from vvf_models.data.npz import event_kinds, load_episodes
from vvf_models.data.open import open_episodes
from vvf_models.data.options import ReadOptions
from vvf_models.errors import UserError


def arrays(count=4):
    rng = np.random.default_rng(0)
    return {
        'images_front': rng.integers(0, 255, (count, 8, 8, 3), dtype=np.uint8),
        'state': rng.normal(size=(count, 2)).astype(np.float32),
        'action': rng.normal(size=(count, 7)).astype(np.float32),
        'stamps': np.arange(count) * 0.2,
        'success': np.array(True),
        'success_index': np.array(2),
        'failure_kind': np.array(''),
        'target': np.array('carrot'),
        'container': np.array('bowl'),
    }


def test_reads_what_the_collector_writes(tmp_path):
    given = arrays()
    np.savez_compressed(tmp_path / 'a.npz', **given)
    (episode,) = open_episodes(tmp_path)
    np.testing.assert_array_equal(episode.images['front'], given['images_front'])
    np.testing.assert_array_equal(episode.actions, given['action'])
    assert episode.success is True
    assert episode.success_index == 2
    assert episode.instruction == 'put the carrot in the bowl'
    assert episode.episode_id == 'a'


def test_rewards_interventions_and_events_where_present(tmp_path):
    np.savez(tmp_path / 'a.npz', **arrays())
    extra = {
        'rewards': np.array([0, 0, 1, 1]),
        'interventions': np.array([False, True, True, False]),
        'event_names': np.array(['grasped', 'slipped', 'lifted']),
        'event_indices': np.array([0, 1, 3]),
    }
    np.savez(tmp_path / 'b.npz', **arrays(), **extra)
    own = {**extra, 'event_kinds': np.array(['', 'milestone', 'error'])}
    np.savez(tmp_path / 'c.npz', **arrays(), **own)
    without, with_events, with_kinds = load_episodes(tmp_path)
    assert without.rewards is without.interventions is None
    assert without.events == ()
    np.testing.assert_array_equal(with_events.rewards, [0, 0, 1, 1])
    np.testing.assert_array_equal(with_events.interventions, [False, True, True, False])
    assert with_events.events == (
        Event('grasped', 0, 'milestone'),
        Event('slipped', 1, 'error'),
        Event('lifted', 3, 'milestone'),
    )
    assert [event.kind for event in with_kinds.events] == ['', 'milestone', 'error']


def test_events_of_a_wrong_object_are_errors_whether_or_not_the_file_says_which(tmp_path):
    names = ['grasped', 'lifted', 'placed']
    events = {'event_names': np.array(names), 'event_indices': np.arange(3)}
    said = {'event_targets': np.zeros(3, bool)}
    np.savez(tmp_path / 'a.npz', **arrays(), **events, **said)
    old = {**arrays(), 'failure_kind': np.array('wrong_object')}
    np.savez(tmp_path / 'b.npz', **old, **events)
    for episode in load_episodes(tmp_path):
        assert [event.kind for event in episode.events] == ['error'] * 3


@pytest.mark.parametrize(
    ('events', 'kinds'),
    [
        ('grasped lifted placed success', 'm m m m'),
        ('closed_empty grasped lifted placed success', 'e m m m m'),
        ('grasped slipped grasped lifted dropped', 'm e m m e'),
        ('grasped lifted set_down', 'm m e'),
        # It was let go over the container and fell in; closing afterwards is no missed grasp.
        ('grasped lifted dropped success closed_empty', 'm m - m -'),
        ('-grasped -lifted -set_down grasped lifted placed success', 'e e - m m m m'),
        ('applauded', '-'),
        ('', ''),
    ],
)
def test_kinds_of_the_simulators_events(events, kinds):
    names = [event.lstrip('-') for event in events.split()]
    targets = [not event.startswith('-') for event in events.split()]
    letters = {'milestone': 'm', 'error': 'e', '': '-'}
    assert ' '.join(letters[kind] for kind in event_kinds(names, targets)) == kinds


def test_without_an_outcome_it_is_unlabelled_not_failed(tmp_path):
    given = arrays()
    del given['success'], given['success_index']
    np.savez(tmp_path / 'a.npz', **given)
    assert load_episodes(tmp_path)[0].success is None


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'state': np.full((4, 2), np.nan)}, 'NaN or infinity'),
        ({'state': np.zeros((3, 2))}, r'state must be \(4, D\)'),
        ({'success_index': np.array(9)}, 'success_index 9'),
        ({'rewards': np.zeros(3)}, r'rewards must be \(4,\)'),
        ({'interventions': np.zeros((4, 1), bool)}, r'interventions must be \(4,\)'),
        ({'stamps': np.array([0, 0.2, 0.1, 0.3])}, 'go back in time'),
        ({'stamps': np.arange(3) * 0.2}, r'stamps must be \(4,\)'),
        ({'event_names': np.array(['x']), 'event_indices': np.array([4])}, 'event x is at 4'),
        ({'event_names': np.array(['x'])}, 'different lengths'),
        (
            {
                'event_names': np.array(['x']),
                'event_indices': np.array([0]),
                'event_targets': np.zeros(0, bool),
            },
            'different lengths',
        ),
        ({'images_front': np.zeros((4, 8, 8), np.uint8)}, r'\(T, H, W, 3\) uint8'),
    ],
)
def test_malformed_episodes_name_what_is_wrong(tmp_path, change, message):
    np.savez(tmp_path / 'a.npz', **{**arrays(), **change})
    with pytest.raises(UserError, match=message):
        load_episodes(tmp_path)[0]


def test_truncated_and_pickled_files_are_refused(tmp_path):
    np.savez(tmp_path / 'a.npz', **arrays())
    data = (tmp_path / 'a.npz').read_bytes()
    (tmp_path / 'a.npz').write_bytes(data[: len(data) // 2])
    np.savez(tmp_path / 'b.npz', **{**arrays(), 'state': np.array([{}], dtype=object)})
    episodes = load_episodes(tmp_path)
    for index in range(2):
        with pytest.raises(UserError, match='not a readable episode'):
            episodes[index]


def test_places_without_episodes_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        open_episodes(tmp_path / 'nowhere')
    with pytest.raises(UserError, match='neither'):
        open_episodes(tmp_path)
    (tmp_path / 'x.txt').write_text('')
    with pytest.raises(UserError, match=r'not a \.tfrecord'):
        open_episodes(tmp_path / 'x.txt')


def test_what_was_done_is_read_on_demand_and_caches_tell_it_apart(tmp_path):
    given = arrays()
    noisy = given['action'] + 0.5
    np.savez(tmp_path / 'a.npz', **given, executed_action=noisy)
    np.savez(tmp_path / 'b.npz', **given)
    clean = open_episodes(tmp_path)
    done = open_episodes(tmp_path, ReadOptions(actions='executed'))
    np.testing.assert_array_equal(clean[0].actions, given['action'])
    np.testing.assert_array_equal(done[0].actions, noisy)
    np.testing.assert_array_equal(done[1].actions, given['action'])  # only one kind is known
    assert clean.fingerprint() != done.fingerprint()
    with pytest.raises(ValueError, match='clean, executed'):
        ReadOptions(actions='wanted')
