# SPDX-License-Identifier: Apache-2.0
import dataclasses
import multiprocessing

import numpy as np
import pytest

from vvf_sim.collect import (
    CollectJob,
    collect_episode,
    collect_job,
    collect_to_file,
    load_npz,
    save_npz,
)
from vvf_sim.errors import UserError
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.registry import TASKS
from vvf_sim.worlds.layout import PickPlaceConfig

SMALL = PickPlaceConfig(image_size=32)


@pytest.fixture(scope='module')
def episode():
    return collect_episode('pick_place', 3, SMALL, ExpertConfig.demonstrator())


def test_every_array_has_one_row_per_observation(episode):
    count = len(episode.stamps)
    assert episode.images['shoulder'].shape == (count, 32, 32, 3)
    assert episode.images['wrist'].shape == (count, 32, 32, 3)
    assert episode.state.shape == (count, 16)
    assert episode.action.shape == episode.executed_action.shape == (count, 7)
    np.testing.assert_allclose(np.diff(episode.stamps), 0.2, atol=1e-6)
    np.testing.assert_array_equal(episode.action[-1, :6], 0.0)
    assert episode.action[-1, 6] == episode.action[-2, 6]


def test_success_runs_on_for_two_to_eight_steps(episode):
    assert episode.success
    assert episode.failure_kind == ''
    assert 2 <= len(episode.stamps) - 1 - episode.success_index <= 8
    assert list(episode.event_names)[-1] == 'success'
    assert episode.event_indices[-1] <= episode.success_index
    assert (np.diff(episode.event_indices) >= 0).all()
    assert list(episode.event_targets) == [True] * len(episode.event_names)


def test_events_of_a_wrong_object_are_not_the_targets():
    episode = collect_episode('pick_place', 3, SMALL, ExpertConfig().with_mistake('wrong_object'))
    assert episode.failure_kind == 'wrong_object'
    assert list(episode.event_names)[:2] == ['grasped', 'lifted']
    assert not episode.event_targets.any()


def test_equal_seeds_give_equal_episodes(episode):
    again = collect_episode('pick_place', 3, SMALL, ExpertConfig.demonstrator())
    for field in dataclasses.fields(episode):
        np.testing.assert_equal(getattr(again, field.name), getattr(episode, field.name))


def test_failures_have_many_lengths():
    lengths = {
        len(
            collect_episode(
                'pick_place', seed, SMALL, ExpertConfig().with_mistake('missed_grasp')
            ).stamps
        )
        for seed in range(8)
    }
    assert len(lengths) >= 4


def test_files_round_trip(episode, tmp_path):
    path = tmp_path / 'episode.npz'
    save_npz(episode, path)
    back = load_npz(path)
    for field in dataclasses.fields(episode):
        value, expected = getattr(back, field.name), getattr(episode, field.name)
        np.testing.assert_equal(value, expected)
        assert type(value) is type(expected)
    with np.load(path, allow_pickle=False) as archive:
        assert archive['images_wrist'].dtype == np.uint8
    assert [p.name for p in tmp_path.iterdir()] == ['episode.npz']


@pytest.mark.parametrize('content', [b'', b'not an archive', b'PK\x03\x04 broken'])
def test_a_broken_file_is_one_sentence(tmp_path, content):
    path = tmp_path / 'broken.npz'
    path.write_bytes(content)
    with pytest.raises(UserError, match='not an episode'):
        load_npz(path)


def test_a_job_has_its_own_rate(tmp_path):
    job = CollectJob('pick_place', 3, tmp_path / 'x.npz', SMALL, control_hz=10.0)
    episode = collect_job(job)
    assert episode.success
    np.testing.assert_allclose(np.diff(episode.stamps), 0.1)


def test_the_limit_of_a_task_is_a_time(monkeypatch):
    short = dataclasses.replace(TASKS['pick_place'], max_steps=5)
    monkeypatch.setitem(TASKS, 'pick_place', short)
    for rate in (5.0, 10.0):
        episode = collect_episode('pick_place', 3, SMALL, control_hz=rate)
        assert episode.stamps[-1] == pytest.approx(1.0)


def test_jobs_run_in_another_process(tmp_path):
    job = CollectJob('pick_place', 5, tmp_path / 'five.npz', SMALL)
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        (result,) = pool.map(collect_to_file, [job])
    assert result.success
    assert result.frames == len(load_npz(result.path).stamps)
