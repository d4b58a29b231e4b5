# SPDX-License-Identifier: Apache-2.0
import threading
from dataclasses import replace

import numpy as np
import pytest

from tests.vvf_models.toy import SIZE, toy_episode, toy_episodes
from vvf_models.data.chain import LazyEpisodes
from vvf_models.data.episode import Event
from vvf_models.data.frames import FrameStore
from vvf_models.data.reading import read_all

WAIT_S = 20


class Watched(LazyEpisodes):
    """Toy episodes whose reading calls a function first."""

    def __init__(self, count, on_read):
        self.count, self.on_read = count, on_read

    def __len__(self):
        return self.count

    def fingerprint(self):
        return str(self.count)

    def read(self, number):
        self.on_read(number)
        return toy_episode(number)


def test_two_workers_read_two_at_once():
    both = threading.Barrier(2)
    episodes = Watched(6, lambda number: both.wait(WAIT_S))
    assert [item.episode.episode_id for item in read_all(episodes, ('front',), SIZE, 2)] == [
        f'toy_{number}' for number in range(6)
    ]


def test_the_order_is_kept_when_the_first_takes_longest():
    later = threading.Event()

    def on_read(number):
        if number == 0:
            assert later.wait(WAIT_S)
        if number == 3:
            later.set()

    items = list(read_all(Watched(8, on_read), ('front',), SIZE, 2))
    assert [item.episode.episode_id for item in items] == [f'toy_{n}' for n in range(8)]


def test_readers_do_not_run_ahead_without_bound():
    begun = []
    results = read_all(Watched(50, begun.append), ('front',), SIZE, 2)
    next(results)
    results.close()
    assert len(begun) <= 5


@pytest.mark.parametrize('cached', [False, True])
@pytest.mark.parametrize('workers', [1, 3, None])
def test_workers_give_the_store_of_sequential_reading(workers, cached, tmp_path):
    plain = FrameStore.from_episodes(toy_episodes(12), ('front',), SIZE, workers=0)
    cache = tmp_path if cached else None
    counts = []
    store = FrameStore.from_episodes(
        toy_episodes(12), ('front',), SIZE, workers=workers, cache=cache, on_episode=counts.append
    )
    assert counts == list(range(1, 13))
    assert store.episode_ids == plain.episode_ids
    np.testing.assert_array_equal(store.images['front'], plain.images['front'])
    np.testing.assert_array_equal(store.state, plain.state)
    np.testing.assert_array_equal(store.starts, plain.starts)


def test_reading_leaves_the_episodes_as_they_were():
    episodes = toy_episodes(2)
    FrameStore.from_episodes(episodes, ('front',), SIZE)
    assert all(len(episode.images['front']) == len(episode.state) for episode in episodes)


@pytest.mark.parametrize('cached', [False, True])
def test_instructions_events_interventions_and_rates_are_kept(cached, tmp_path):
    episodes = toy_episodes(3)
    events = (Event('grasped', 2, 'milestone'), Event('höhö, "x"', 5))
    human = np.arange(len(episodes[1])) > 4
    episodes[1] = replace(episodes[1], events=events, interventions=human, instruction='käse \n')
    for _ in range(2):
        store = FrameStore.from_episodes(
            episodes, ('front',), SIZE, cache=tmp_path if cached else None
        )
        assert store.instructions == ['dot to disc', 'käse \n', 'dot to disc']
        assert store.events == [(), events, ()]
        np.testing.assert_array_equal(store.interventions[store.frames_of(np.array([1]))], human)
        assert store.interventions.sum() == human.sum()
        np.testing.assert_allclose(store.rates, 5.0)
        assert store.left_out == []


def test_a_cache_with_a_broken_description_is_made_anew(tmp_path):
    FrameStore.from_episodes(toy_episodes(2), ('front',), SIZE, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / 'meta.json').write_text('{"key"')
    (folder / 'front.raw').write_bytes(b'')
    store = FrameStore.from_episodes(toy_episodes(2), ('front',), SIZE, cache=tmp_path)
    plain = FrameStore.from_episodes(toy_episodes(2), ('front',), SIZE)
    np.testing.assert_array_equal(store.images['front'], plain.images['front'])
    assert {path.name for path in folder.iterdir()} == {'front.raw', 'index.npz', 'meta.json'}
