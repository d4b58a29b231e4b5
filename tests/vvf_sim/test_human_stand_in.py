# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.episode_log import human_stand_in
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.human import HumanStandIn
from vvf_sim.worlds.env import TaskEnv
from vvf_sim.worlds.layout import PickPlaceConfig
from vvf_sim.worlds.pick_place import PickPlaceWorld

SMALL = PickPlaceConfig(image_size=16, cameras=('shoulder',))


@pytest.mark.parametrize('mistake', ['missed_grasp', 'dropped', 'misplaced', 'wrong_object'])
def test_a_person_mends_a_lasting_mistake_and_gives_back(mistake):
    expert = ExpertConfig().with_mistake(mistake)
    alone = collect_episode('pick_place', 0, SMALL, expert)
    watched = collect_episode('pick_place', 0, SMALL, expert, patience=4)
    assert not alone.success
    assert not alone.interventions.any()
    assert watched.success
    names = list(watched.event_names)
    assert names.index('takeover') < names.index('give_back') < names.index('success')
    error = list(watched.event_kinds).index('error')
    taken = int(watched.interventions.argmax())
    # From the first step after it, the error lasts; in the one after the fourth, somebody acts.
    assert taken == watched.event_indices[error] + 4
    given_back = watched.event_indices[names.index('give_back')]
    assert watched.interventions[taken:given_back].all()
    assert not watched.interventions[given_back:].any()


def test_nobody_meddles_with_what_goes_well():
    episode = collect_episode('pick_place', 0, SMALL, patience=1)
    assert episode.success
    assert not episode.interventions.any()


def test_who_waits_in_vain_helps_once_for_each_thing_that_is_not_reached():
    env = TaskEnv('pick_place', SMALL, stop_on_success=False)
    env.reset(seed=0)
    human = human_stand_in(env, 'pick_place', 0, 4, stalled=6)
    rest = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    acted = []
    for _ in range(60):
        in_control = human.in_control()
        acted.append(in_control)
        action = human.expert.act()[0].astype(np.float32) if in_control else rest
        rest[6] = action[6]
        env.step(action)
    names = [event.name for event in env.world.events]
    env.close()
    assert acted.index(True) == 6
    assert names[:3] == ['takeover', 'grasped', 'give_back']
    assert names[-1] == 'success'


def test_patience_has_an_end():
    with pytest.raises(ValueError, match='patience'):
        HumanStandIn(PickPlaceWorld(), lambda: None, 0)
