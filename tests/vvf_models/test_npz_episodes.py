# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from vvf_models.data.npz import load_episodes
from vvf_models.data.open import open_episodes
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
    assert episode.instruction == 'put the carrot into the bowl'
    assert episode.episode_id == 'a'


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
