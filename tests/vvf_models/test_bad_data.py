# SPDX-License-Identifier: Apache-2.0
"""Data that cannot be used is named; it is left out only where that was asked for."""

from dataclasses import replace

import numpy as np
import pytest

from tests.vvf_models.toy import SIZE, toy_episode, toy_episodes
from vvf_models.data.chain import ChainedEpisodes
from vvf_models.data.episode import Episode
from vvf_models.data.frames import FrameStore
from vvf_models.data.npz import NpzEpisodes
from vvf_models.data.reading import medians_of_others
from vvf_models.errors import UserError

GOOD = 4


def one_frame(episode):
    return cut(episode, 1)


def cut(episode, count):
    return replace(
        episode,
        images={name: frames[:count] for name, frames in episode.images.items()},
        state=episode.state[:count],
        actions=episode.actions[:count],
        stamps=episode.stamps[:count],
        success_index=-1,
    )


def nan_in_state(episode):
    state = episode.state.copy()
    state[3, 1] = np.nan
    return replace(episode, state=state)


def other_camera(episode):
    return replace(episode, images={'side': episode.images['front']})


BAD = {
    'one frame': (one_frame, 'has only one frame'),
    'missing camera': (other_camera, 'has no camera "front"; its cameras are side'),
    'NaN': (nan_in_state, 'state holds NaN or infinity'),
    'infinity': (
        lambda e: replace(e, actions=np.where(e.actions == 0, np.inf, e.actions)),
        'actions holds NaN or infinity',
    ),
    'lengths': (lambda e: replace(e, state=e.state[1:]), r'state must be \(\d+, D\)'),
    'no frames': (lambda e: cut(e, 0), 'no frames'),
    'slower': (
        lambda e: replace(e, stamps=e.stamps * 1.3),
        'runs at 3.85 Hz, the other episodes at 5 Hz',
    ),
    'faster': (lambda e: replace(e, stamps=e.stamps / 3), 'runs at 15 Hz'),
    'state': (
        lambda e: replace(e, state=e.state[:, :2]),
        'has 2 numbers per state, most episodes 3',
    ),
    'no state': (lambda e: replace(e, state=None), 'has no state, most episodes 3'),
    'action': (
        lambda e: replace(e, actions=e.actions[:, :6]),
        'has 6 numbers per action, most episodes 7',
    ),
}


def with_a_bad_one(name, at=2):
    episodes = toy_episodes(GOOD)
    change, message = BAD[name]
    episodes.insert(at, replace(change(toy_episode(9)), episode_id='the_bad_one'))
    return episodes, message


def same(store, other):
    for name in ('starts', 'lengths', 'outcome', 'success_index', 'interventions', 'rates'):
        np.testing.assert_array_equal(getattr(store, name), getattr(other, name))
    for name in ('episode_ids', 'failure_kinds', 'instructions', 'events'):
        assert getattr(store, name) == getattr(other, name)
    np.testing.assert_array_equal(store.state, other.state)
    np.testing.assert_array_equal(store.actions, other.actions)
    for camera, frames in other.images.items():
        np.testing.assert_array_equal(store.images[camera], frames)


@pytest.mark.parametrize('cached', [False, True])
@pytest.mark.parametrize('name', BAD)
def test_each_kind_is_named_and_left_out_only_if_told_to(name, cached, tmp_path):
    episodes, message = with_a_bad_one(name)
    options = {'cache': tmp_path / 'cache'} if cached else {}
    with pytest.raises(UserError, match=message) as caught:
        FrameStore.from_episodes(episodes, ('front',), SIZE, **options)
    assert 'the_bad_one' in str(caught.value)
    assert str(caught.value).endswith('(--skip-bad leaves such episodes out).')
    told = []
    store = FrameStore.from_episodes(episodes, ('front',), SIZE, skip_bad=told.append, **options)
    assert len(told) == 1
    assert 'the_bad_one' in told[0]
    assert store.left_out == told
    same(store, FrameStore.from_episodes(toy_episodes(GOOD), ('front',), SIZE))


def test_the_first_and_the_last_can_be_the_bad_one_and_there_can_be_several():
    bad = [with_a_bad_one(name, at)[0][at] for name, at in (('slower', 0), ('NaN', 2))]
    episodes = [bad[0], *toy_episodes(GOOD), bad[1]]
    store = FrameStore.from_episodes(episodes, ('front',), SIZE, skip_bad=lambda reason: None)
    same(store, FrameStore.from_episodes(toy_episodes(GOOD), ('front',), SIZE))
    assert len(store.left_out) == 2


def write(folder, number, **changes):
    rng = np.random.default_rng(number)
    arrays = {
        'images_front': rng.integers(0, 256, (6, 24, 24, 3), dtype=np.uint8),
        'state': rng.normal(size=(6, 3)).astype(np.float32),
        'stamps': np.arange(6) * 0.2,
    }
    np.savez(folder / f'{number}.npz', **{**arrays, **changes})


def test_messages_name_the_file_in_whichever_folder_it_lies(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        for number in range(3):
            write(tmp_path / name, number)
    write(tmp_path / 'b', 1, stamps=np.arange(6) * 0.05)
    (tmp_path / 'a' / '2.npz').write_bytes(b'cut off')
    write(tmp_path / 'b', 0, state=np.zeros((6, 4), np.float32))
    chain = ChainedEpisodes([NpzEpisodes(tmp_path / name) for name in ('a', 'b')])
    with pytest.raises(UserError, match=r'a/2\.npz is not a readable episode'):
        FrameStore.from_episodes(chain, ('front',), SIZE)
    told = []
    store = FrameStore.from_episodes(chain, ('front',), SIZE, skip_bad=told.append)
    expected = (('a/2', 'is not a readable'), ('b/0', '4 numbers per state'), ('b/1', 'at 20 Hz'))
    for reason, (name, words) in zip(told, expected, strict=True):
        assert f'{tmp_path}/{name}.npz' in reason
        assert words in reason
    assert store.episode_ids == ['0', '1', '2']


def test_a_cache_remembers_what_was_left_out_and_does_not_hide_it(tmp_path):
    episodes, message = with_a_bad_one('one frame')
    read = []
    for _ in range(2):
        told = []
        store = FrameStore.from_episodes(
            episodes,
            ('front',),
            SIZE,
            cache=tmp_path,
            skip_bad=told.append,
            on_episode=read.append,
        )
        assert len(told) == 1
        assert store.left_out == told
    assert read == [1, 2, 3, 4, 5]
    with pytest.raises(UserError, match=f'the_bad_one {message}'):
        FrameStore.from_episodes(episodes, ('front',), SIZE, cache=tmp_path)


def test_an_interrupted_cache_leaves_nothing_behind(tmp_path):
    episodes, _ = with_a_bad_one('NaN', at=3)
    with pytest.raises(UserError):
        FrameStore.from_episodes(episodes, ('front',), SIZE, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_is_left_the_reason_is_given():
    episodes = [one_frame(episode) for episode in toy_episodes(2)]
    with pytest.raises(UserError, match='None of the 2 episodes can be used: Episode toy_0 has'):
        FrameStore.from_episodes(episodes, ('front',), SIZE, skip_bad=lambda reason: None)


def test_a_rate_may_differ_by_a_fifth_and_be_unknown():
    scales = [1.0, 1.19, 0.84, 1.0, 1.0]
    episodes = [
        replace(episode, stamps=episode.stamps * scale)
        for episode, scale in zip(toy_episodes(5), scales, strict=True)
    ]
    episodes.append(replace(toy_episode(7), stamps=np.zeros(0)))
    store = FrameStore.from_episodes(episodes, ('front',), SIZE)
    np.testing.assert_allclose(store.rates[:5], 5 / np.array(scales))
    assert np.isnan(store.rates[5])


def test_each_rate_is_judged_by_the_median_of_the_others():
    rng = np.random.default_rng(0)
    for count in (2, 3, 8, 9):
        rates = rng.integers(4, 7, count).astype(float)
        found = medians_of_others(np.append(rates, np.nan))
        expected = {n: float(np.median(np.delete(rates, n))) for n in range(count)}
        assert found == expected
    assert medians_of_others(np.array([5.0, np.nan])) == {}


def test_states_that_are_not_wanted_need_not_fit():
    episodes = toy_episodes(3)
    episodes[1] = replace(episodes[1], state=None)
    store = FrameStore.from_episodes(episodes, ('front',), SIZE, use_state=False)
    assert store.state is None
    assert store.n_episodes == 3
    stateless = [replace(episode, state=None) for episode in episodes]
    assert FrameStore.from_episodes(stateless, ('front',), SIZE).state is None


def test_errors_that_are_no_users_are_not_taken_for_bad_data():
    class Broken(list[Episode]):
        def __getitem__(self, index):
            raise RuntimeError('a fault of the reader')

    with pytest.raises(RuntimeError, match='a fault of the reader'):
        FrameStore.from_episodes(
            Broken(toy_episodes(2)), ('front',), SIZE, skip_bad=lambda reason: None
        )
