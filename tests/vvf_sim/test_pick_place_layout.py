# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from vvf_sim.errors import UserError
from vvf_sim.worlds.layout import (
    PickPlaceConfig,
    sample_layout,
)
from vvf_sim.worlds.objects import CONTAINER_NAMES, OBJECT_NAMES
from vvf_sim.worlds.scenarios import (
    CONTAINERS,
    DISTRACTORS,
    NEW_CONTAINERS,
    NEW_DISTRACTORS,
    NEW_TARGETS,
    SCENARIOS,
    SOURCE_CONTAINERS,
    SOURCE_DISTRACTORS,
    SOURCE_TARGETS,
    TARGETS,
    scenario,
)
from vvf_sim.worlds.variation import colour_parity, place_parity


def layouts(count=60, **options):
    config = PickPlaceConfig(**options)
    return [sample_layout(config, np.random.default_rng(seed)) for seed in range(count)]


def test_ten_objects_and_four_containers():
    assert len(OBJECT_NAMES) == 10
    assert CONTAINER_NAMES == ('bowl', 'plate', 'pot', 'bin')


@pytest.mark.parametrize(('setting', 'parity'), [('train', 0), ('held_out', 1)])
def test_settings_share_no_place_and_no_table_colour(setting, parity):
    for layout in layouts(setting=setting):
        places = [layout.container_xy, *(placed.xy for placed in layout.objects)]
        assert {place_parity(*place) for place in places} == {parity}
        assert colour_parity(layout.table_colour) == parity


def test_both_settings_cover_the_table():
    for setting in ('train', 'held_out'):
        places = np.array([layout.objects[0].xy for layout in layouts(200, setting=setting)])
        assert places.min(axis=0)[1] < -0.15
        assert places.max(axis=0)[1] > 0.15
        assert np.ptp(places[:, 0]) > 0.15


def test_distractors_are_of_other_kinds_and_apart():
    for layout in layouts(targets=OBJECT_NAMES, n_distractors=4):
        kinds = [placed.kind for placed in layout.objects]
        assert len(kinds) == 5
        assert len(set(kinds)) == 5
        places = np.array([placed.xy for placed in layout.objects])
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(5)
        assert apart.min() >= 0.085


def test_equal_seeds_give_equal_layouts():
    first, again = layouts(5), layouts(5)
    for a, b in zip(first, again, strict=True):
        assert a.objects == b.objects
        assert a.table_colour == b.table_colour
    assert first[0].objects != first[1].objects


@pytest.mark.parametrize(
    'options',
    [
        {'targets': ('unicorn',)},
        {'targets': ()},
        {'containers': ('hat',)},
        {'setting': 'test'},
        {'n_distractors': 9},
        {'image_size': 1},
    ],
)
def test_bad_options_are_one_sentence(options):
    with pytest.raises(UserError) as error:
        PickPlaceConfig(**options)
    assert '\n' not in str(error.value)


def test_too_few_kinds_for_the_distractors():
    config = PickPlaceConfig(distractors=('carrot', 'cube'))
    with pytest.raises(UserError, match='add kinds'):
        sample_layout(config, np.random.default_rng(0))


def test_scenarios_share_nothing_that_they_should_not():
    sets = [
        (SOURCE_TARGETS, TARGETS, NEW_TARGETS),
        (SOURCE_DISTRACTORS, DISTRACTORS, NEW_DISTRACTORS),
        (SOURCE_CONTAINERS, CONTAINERS, NEW_CONTAINERS),
    ]
    for source, few, new in sets:
        assert len(few) == len(new) == 5
        assert len({*source, *few, *new}) == len(source) + 10
    picked = {*SOURCE_TARGETS, *TARGETS, *NEW_TARGETS}
    assert not picked & {*SOURCE_DISTRACTORS, *DISTRACTORS, *NEW_DISTRACTORS}
    for name in SCENARIOS:
        layout = sample_layout(PickPlaceConfig(**scenario(name)), np.random.default_rng(0))
        assert layout.objects[0].kind in scenario(name)['targets']
    with pytest.raises(UserError, match='no scenario'):
        scenario('scenario_4')
