# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.episode_log import human_stand_in
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.human import HumanStandIn
from vvf_sim.worlds.box_assembly import BoxAssemblyConfig
from vvf_sim.worlds.env import TaskEnv
from vvf_sim.worlds.layout import PickPlaceConfig
from vvf_sim.worlds.pick_place import PickPlaceWorld

SMALL_BOX = BoxAssemblyConfig(image_size=16)
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


def box_under_way(seed):
    env = TaskEnv('box_assembly', SMALL_BOX, stop_on_success=False)
    env.reset(seed=seed)

    def person():
        return human_stand_in(env, 'box_assembly', seed, None)

    first = person()
    first.call()
    assert first.in_control()
    return env, first.expert, person


@pytest.mark.parametrize('seed', [0, 1])
def test_who_takes_over_above_a_closed_box_draws_back(seed):
    env, script, person = box_under_way(seed)
    while not all(env.world.closed):
        env.step(script.act()[0].astype(np.float32))
    assert not env.world.withdrawn()
    human = person()
    human.call()
    steps = 0
    while human.in_control():
        env.step(human.expert.act()[0].astype(np.float32))
        steps += 1
        assert steps < 12
    names = [event.name for event in env.world.events]
    env.close()
    assert names[-2:] == ['success', 'give_back']


@pytest.mark.parametrize('phase', ['approach', 'sweep', 'press', 'rise'])
def test_who_takes_over_in_a_stroke_goes_on_with_it(phase):
    env, script, person = box_under_way(3)
    agreeing = []
    for _ in range(40):
        action = script.act()[0]
        if script.phase == phase:
            human = person()
            human.call()
            assert human.in_control()
            other = human.expert.act()[0]
            lengths = np.linalg.norm(action[:3]) * np.linalg.norm(other[:3])
            agreeing.append(action[:3] @ other[:3] / lengths)
        env.step(action.astype(np.float32))
    env.close()
    assert len(agreeing) > 3
    assert min(agreeing) > 0.3


def test_patience_has_an_end():
    with pytest.raises(ValueError, match='patience'):
        HumanStandIn(PickPlaceWorld(), lambda: None, 0)
