# SPDX-License-Identifier: Apache-2.0
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.human import HumanStandIn
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


def test_patience_has_an_end():
    with pytest.raises(ValueError, match='patience'):
        HumanStandIn(PickPlaceWorld(), lambda: None, 0)
