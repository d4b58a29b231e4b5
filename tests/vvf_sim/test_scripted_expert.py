# SPDX-License-Identifier: Apache-2.0
import collections
from dataclasses import replace

import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.errors import UserError
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.pick_place import PickPlaceExpert
from vvf_sim.worlds.layout import PickPlaceConfig

# Images of 16 pixels cost next to nothing, and nothing here looks at them.
SMALL = PickPlaceConfig(image_size=16)


def episodes(expert, seeds, config=SMALL):
    return [collect_episode('pick_place', seed, config, expert) for seed in seeds]


@pytest.mark.parametrize('setting', ['train', 'held_out'])
def test_a_clean_expert_nearly_always_succeeds(setting):
    done = episodes(ExpertConfig(), range(12), PickPlaceConfig(image_size=16, setting=setting))
    assert sum(episode.success for episode in done) >= 11


def test_a_disturbed_demonstrator_recovers():
    done = episodes(ExpertConfig.demonstrator(), range(12))
    assert sum(episode.success for episode in done) >= 11


def test_the_dial_goes_down_to_the_papers_success_rate():
    done = episodes(ExpertConfig.from_noise(1.0), range(100, 124))
    assert 2 <= sum(episode.success for episode in done) <= 12


@pytest.mark.parametrize('mistake', PickPlaceExpert.MISTAKES)
def test_a_designed_mistake_fails_in_its_own_way(mistake):
    done = episodes(ExpertConfig().with_mistake(mistake), range(8))
    kinds = collections.Counter(episode.failure_kind for episode in done)
    assert kinds[''] <= 1
    assert kinds[mistake] >= 6, kinds
    assert all(episode.mistake == mistake for episode in done)


def test_labels_are_clean_and_execution_is_not():
    episode = collect_episode('pick_place', 0, SMALL, ExpertConfig.demonstrator())
    assert (episode.action != episode.executed_action).any()
    # What is wanted keeps the gripper down or rights it; the noise is in what is executed.
    wanted = np.linalg.norm(episode.action[:, :3], axis=1)
    assert wanted.max() <= 0.0451


def test_the_expert_keeps_moving_until_it_has_grasped():
    for seed in range(5):
        episode = collect_episode('pick_place', seed, SMALL)
        names = list(episode.event_names)
        grasp = episode.event_indices[names.index('grasped')]
        moves = np.linalg.norm(episode.action[: grasp - 2, :3], axis=1)
        turns = np.linalg.norm(episode.action[: grasp - 2, 3:6], axis=1)
        assert ((moves > 1e-3) | (turns > 1e-2)).all()


@pytest.mark.parametrize('noise', [-0.1, 1.5])
def test_the_dial_has_ends(noise):
    with pytest.raises(UserError, match='0 to 1'):
        ExpertConfig.from_noise(noise)


def test_unknown_mistakes_are_refused():
    with pytest.raises(UserError, match='unknown'):
        episodes(ExpertConfig(mistakes=('sneeze',)), [0])


def test_accidents_leave_the_labels_clean_and_show_the_way_back() -> None:
    expert = replace(ExpertConfig(), accident_probability=1.0)
    regrasped = closed_on_nothing = 0
    for episode in episodes(expert, range(8)):
        lost = (episode.action[:, 6] < 0.5) & (episode.executed_action[:, 6] > 0.5)
        blind = (episode.action[:, 6] > 0.5) & (episode.executed_action[:, 6] < 0.5)
        closed_on_nothing += int(blind.sum())
        assert lost.sum() <= 2, 'one accident an episode'
        regrasped += list(episode.event_names).count('grasped') > 1
        assert episode.success
    assert regrasped >= 5
    assert closed_on_nothing >= 8
