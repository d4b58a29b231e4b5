# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from tests.vvf_models.toy import SIZE, toy_episode, toy_episodes, toy_store
from vvf_models.data.chain import ChainedEpisodes
from vvf_models.data.frames import FrameStore
from vvf_models.data.images import resize_images
from vvf_models.data.open import open_episodes
from vvf_models.errors import UserError


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    blocks = image.reshape(2, 16, 2, 16, 2, 3).astype(float).mean((2, 4))
    small = resize_images(image, 16).transpose(0, 2, 3, 1)
    assert np.abs(small - blocks).max() <= 1


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match='uint8'):
        resize_images(np.zeros((1, 4, 4, 3), np.float32), 2)
    with pytest.raises(ValueError, match='empty'):
        resize_images(np.zeros((1, 0, 4, 3), np.uint8), 2)


def test_store_keeps_order_and_marks_what_is_done(store):
    episodes = toy_episodes(24)
    assert store.n_frames == sum(len(e) for e in episodes)
    for index in (0, 7, 23):
        start, length = store.starts[index], store.lengths[index]
        expected = resize_images(episodes[index].images['front'], SIZE)
        np.testing.assert_array_equal(store.images['front'][start : start + length], expected)
        np.testing.assert_array_equal(store.state[start : start + length], episodes[index].state)
        done = store.done[start : start + length]
        assert done.sum() == (3 if episodes[index].success else 0)
        assert (store.last[start : start + length] == start + length - 1).all()


def test_split_is_by_episode_and_keeps_both_outcomes(store):
    training, held_out = store.split(0.25, seed=1)
    assert not set(training) & set(held_out)
    assert len(training) + len(held_out) == 24
    assert {int(o) for o in store.outcome[held_out]} == {-1, 1}
    again = store.split(0.25, seed=1)
    np.testing.assert_array_equal(again[1], held_out)


def numbered(count):
    lengths = np.full(count, 5)
    outcome = np.zeros(count, np.int8)
    names = [f'episode_{number:06d}' for number in range(count)]
    nothing = np.full(count, -1)
    starts = np.cumsum(lengths) - lengths
    return FrameStore({}, None, None, starts, lengths, outcome, nothing, names, [''] * count)


@pytest.mark.parametrize('kind', ['target data', 'more of the same', 'before them'])
def test_what_is_held_out_stays_so_beside_other_episodes(kind):
    alone, both = numbered(200), numbered(320)
    first = 120 if kind == 'before them' else 0
    if first:
        both.episode_ids[first:] = alone.episode_ids
        both.episode_ids[:first] = [f'new {number}' for number in range(first)]
    both.target = (np.arange(320) >= 200) & (kind == 'target data')
    for seed in range(5):
        before, after = alone.split(0.25, seed), both.split(0.25, seed)
        old = after[1][(after[1] >= first) & (after[1] < first + 200)] - first
        np.testing.assert_array_equal(old, before[1])
        assert 50 < len(after[1]) < 110  # of 320, whose quarter is 80
    assert not np.array_equal(alone.split(0.25, 0)[1], alone.split(0.25, 1)[1])


def test_few_episodes_are_held_out_by_their_share():
    store = numbered(12)  # three failures, four unlabelled, five successes
    store.outcome[:] = np.repeat([-1, 0, 1], [3, 4, 5])
    for seed in range(50):
        training, held_out = store.split(0.25, seed)
        counts = [(store.outcome[held_out] == outcome).sum() for outcome in (-1, 0, 1)]
        assert all(1 <= count <= 2 for count in counts)
        assert len(training) == 12 - sum(counts)
    assert len(store.split(0.01, 0)[1]) == 0
    assert len(numbered(1).split(0.9, 0)[0]) == 0


def test_names_that_two_data_sets_share_are_told_apart():
    store = numbered(200)
    store.episode_ids[:] = ['same'] * 200
    held_out = store.split(0.25, 0)[1]
    assert 25 < len(held_out) < 75
    assert held_out[-1] > 100


def test_an_episode_ends_with_its_success():
    store = toy_store(3)  # a failure, and two successes that run on for two frames
    assert store.success_index[0] == -1
    lengths = [int(store.lengths[0]), *(int(index) + 1 for index in store.success_index[1:])]
    spans = [range(s, s + n) for s, n in zip(store.starts, lengths, strict=True)]
    expected = [frame for span in spans for frame in span]
    assert store.frames_of(np.arange(3), to_success=True).tolist() == expected
    assert store.ends.tolist() == [span[-1] for span in spans]
    assert len(store.frames_of(np.arange(3))) == len(expected) + 4


def test_a_cache_gives_the_same_frames_and_is_read_once(tmp_path):
    plain = FrameStore.from_episodes(toy_episodes(4), ('front',), SIZE)
    counts = []
    for _ in range(2):
        cached = FrameStore.from_episodes(
            toy_episodes(4), ('front',), SIZE, cache=tmp_path / 'c', on_episode=counts.append
        )
        np.testing.assert_array_equal(cached.images['front'], plain.images['front'])
        np.testing.assert_array_equal(cached.state, plain.state)
        assert cached.episode_ids == plain.episode_ids
    assert counts == [1, 2, 3, 4]


def cached(folder, episodes, cameras=('front',), size=SIZE, **options):
    """The store, and whether episodes were read for it."""
    read = []
    store = FrameStore.from_episodes(
        episodes, cameras, size, cache=folder, on_episode=read.append, **options
    )
    return store, bool(read)


def test_runs_that_share_a_cache_do_not_disturb_each_other(tmp_path):
    runs = [(2, SIZE), (3, SIZE), (2, 8)]
    for again in (False, True):
        for count, size in runs:
            store, read = cached(tmp_path, toy_episodes(count), size=size)
            assert (store.n_episodes, store.image_size, read) == (count, size, not again)


def two_cameras(count):
    episodes = [toy_episode(seed, cameras=('front', 'wrist')) for seed in range(count)]
    for episode in episodes:
        episode.images['wrist'] = 255 - episode.images['front']
    return episodes


def test_a_cache_with_more_serves_a_run_that_wants_less(tmp_path):
    episodes = two_cameras(3)
    whole, _ = cached(tmp_path, episodes, ('front', 'wrist'))
    for cameras in (('wrist',), ('wrist', 'front')):
        store, read = cached(tmp_path, episodes, cameras, use_state=False)
        assert not read
        plain = FrameStore.from_episodes(episodes, cameras, SIZE, use_state=False)
        assert tuple(store.images) == cameras
        for camera in cameras:
            np.testing.assert_array_equal(store.images[camera], plain.images[camera])
        np.testing.assert_array_equal(store.state, whole.state)
    assert cached(tmp_path / 'less', episodes, ('front',), use_state=False)[1]
    assert cached(tmp_path / 'less', episodes, ('front',))[1]  # less does not serve for more


def test_a_cache_that_lacks_episodes_serves_only_the_same_run(tmp_path):
    episodes = two_cameras(3)
    del episodes[1].images['wrist']
    skipped = []
    for again in (False, True):
        some, read = cached(tmp_path, episodes, ('front', 'wrist'), skip_bad=skipped.append)
        assert (some.n_episodes, read) == (2, not again)
    assert len(skipped) == 2
    every, read = cached(tmp_path, episodes)
    assert (every.n_episodes, read) == (3, True)


def test_a_cache_of_an_older_version_lies_in_the_folder_itself(tmp_path):
    before, _ = cached(tmp_path, toy_episodes(2))
    (folder,) = tmp_path.iterdir()
    for file in folder.iterdir():
        file.rename(tmp_path / file.name)
    folder.rmdir()
    after, read = cached(tmp_path, toy_episodes(2))
    assert not read
    np.testing.assert_array_equal(after.images['front'], before.images['front'])


def test_chained_collections_read_like_one_and_notice_changes(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        images = np.zeros((2, 4, 4, 3), np.uint8)
        np.savez(tmp_path / name / f'{name}.npz', images_front=images)
    chain = ChainedEpisodes([open_episodes(tmp_path / name) for name in ('a', 'b')])
    assert [episode.episode_id for episode in chain] == ['a', 'b']
    assert chain[-1].episode_id == 'b'
    before = chain.fingerprint()
    np.savez(tmp_path / 'b' / 'c.npz', images_front=np.zeros((3, 4, 4, 3), np.uint8))
    after = ChainedEpisodes([open_episodes(tmp_path / name) for name in ('a', 'b')])
    assert after.fingerprint() != before
    assert len(after) == 3


def test_missing_camera_and_no_episodes_say_so():
    with pytest.raises(UserError, match='no camera "wrist"; its cameras are front'):
        FrameStore.from_episodes([toy_episode(1)], ('wrist',), SIZE)
    with pytest.raises(UserError, match='no episodes'):
        FrameStore.from_episodes([], ('front',), SIZE)
