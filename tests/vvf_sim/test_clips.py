# SPDX-License-Identifier: Apache-2.0
"""Clips of a hand: equal for equal seeds, as long as asked for, and something happens in them."""

import itertools

import numpy as np
import pytest

from vvf_sim.clips import ClipConfig, make_clip
from vvf_sim.clips.activities import Place, Push, Stack, Touch
from vvf_sim.clips.clip import ACTIVITIES
from vvf_sim.clips.fixtures import Door, Drawer, Lid
from vvf_sim.clips.hand import Hand, HandLooks, turn_of_x
from vvf_sim.clips.kitchen import Pour, Stir, Wipe
from vvf_sim.clips.puppet import Puppet, up
from vvf_sim.clips.stage import PATTERNS, Stage, draw_pattern
from vvf_sim.clips.vessels import draw_thing
from vvf_sim.errors import UserError
from vvf_sim.worlds.spec import quat_to_mat

SMALL = ClipConfig(image_size=16)


def played(kind, seed):
    """An activity after it was acted, its puppet, and where everything was at each frame."""
    rng = np.random.default_rng(seed)
    stage = Stage(rng)
    activity = kind(stage)
    start = np.array([mover.place for mover in stage.movers])
    hand = Hand(stage.spec, 'hand', HandLooks(1, 1.0, (0.8, 0.6, 0.5), (0.2, 0.3, 0.8), 0.1))
    puppet = Puppet(stage, hand, None, rng, 5)
    places = [start]
    for _ in activity.act(puppet):
        places.append(np.array([mover.place for mover in stage.movers]))  # noqa: PERF401
    return activity, puppet, places


def test_the_same_seed_gives_the_same_frames_and_another_seed_another_clip():
    first, again, other = make_clip(3, SMALL), make_clip(3, SMALL), make_clip(4, SMALL)
    np.testing.assert_array_equal(first.frames, again.frames)
    assert (first.instruction, first.activities) == (again.instruction, again.activities)
    assert not np.array_equal(first.frames[0], other.frames[0])


def test_lengths_are_within_what_was_asked_for():
    config = ClipConfig(image_size=16, least=25, most=30)
    lengths = {len(make_clip(seed, config).frames) for seed in range(8)}
    assert lengths <= set(range(25, 31))
    assert 30 in lengths
    clip = make_clip(0, config)
    assert clip.frames.shape[1:] == (16, 16, 3)
    assert clip.frames.dtype == np.uint8


def test_more_frames_a_second_take_the_same_time():
    slow, fast = (make_clip(2, ClipConfig(16, fps, 10, 10_000)) for fps in (5, 20))
    assert len(fast.frames) / 20 == pytest.approx(len(slow.frames) / 5, rel=0.2)


@pytest.mark.parametrize('kind', ACTIVITIES)
def test_every_activity_moves_something_steadily_but_a_pointing_hand(kind):
    for seed in range(4):
        activity, puppet, places = played(kind, seed)
        assert activity.instruction.split()[0].isalpha()
        assert not activity.instruction.endswith('.')
        assert np.isfinite(puppet.data.qpos).all()
        if kind in (Pour, Wipe):
            continue  # grains and stains come and go
        steps = [np.linalg.norm(b - a, axis=1).max() for a, b in itertools.pairwise(places)]
        assert max(steps) < 0.25
        turning = kind in (Lid, Door)
        assert (max(steps) > 0.004) != (kind is Touch or turning)


def test_what_is_placed_lies_in_the_vessel():
    found = 0
    for seed in range(12):
        activity, puppet, _ = played(Place, seed)
        if not activity.instruction.startswith('put'):
            continue
        found += 1
        vessel = puppet.place_of(activity._where)
        for item in activity._items:
            off = puppet.place_of(item) - vessel
            assert np.hypot(off[0], off[1]) < puppet.thing(activity._where).radius
            assert 0.0 <= off[2] < 0.02
    assert found > 3


def test_stacked_blocks_stand_on_each_other():
    activity, puppet, _ = played(Stack, 1)
    base, height = puppet.place_of(activity._blocks[0]), 0.0
    for block in activity._blocks:
        np.testing.assert_allclose(puppet.place_of(block), base + up(height), atol=0.015)
        height += puppet.thing(block).height


def test_poured_grains_are_in_the_other_vessel_and_stains_are_gone():
    activity, puppet, _ = played(Pour, 0)
    for drop in activity._drops:
        off = puppet.place_of(drop) - puppet.place_of(activity._bowl)
        assert np.hypot(off[0], off[1]) < puppet.thing(activity._bowl).radius
    np.testing.assert_allclose(puppet.place_of(activity._cup)[2], 0.0, atol=0.01)
    activity, puppet, _ = played(Wipe, 0)
    assert all(puppet.place_of(stain)[2] < -0.1 for stain in activity._stains)


@pytest.mark.parametrize('kind', [Drawer, Lid, Door])
def test_what_opens_can_be_closed(kind):
    said = {played(kind, seed)[0].instruction.split()[0] for seed in range(6)}
    assert said == {'open', 'close'}


def test_a_drawer_moves_along_its_way_and_a_push_along_the_table():
    activity, _, places = played(Drawer, 2)
    gone = places[-1][activity._drawer] - places[0][activity._drawer]
    assert abs(gone @ activity._out) == pytest.approx(activity._far, abs=0.01)
    activity, _, places = played(Push, 0)
    gone = places[-1][activity._item] - places[0][activity._item]
    np.testing.assert_allclose(gone, activity._way, atol=0.01)


def test_the_spoon_goes_back():
    activity, puppet, _ = played(Stir, 0)
    np.testing.assert_allclose(puppet.place_of(activity._spoon), activity._home, atol=0.012)


def test_things_and_patterns_are_of_many_kinds():
    nouns = {draw_thing(np.random.default_rng(seed)).noun.split()[-1] for seed in range(200)}
    assert len(nouns) > 30
    patterns = [draw_pattern(np.random.default_rng(seed)) for seed in range(40)]
    assert {p.shape for p in patterns} == {(96, 96, 3)}
    assert len({p.tobytes() for p in patterns}) == 40 > len(PATTERNS)


@pytest.mark.parametrize('way', [(1, 0, 0), (-1, 0, 0), (0, 0.3, -1), (-1, 1e-3, 0)])
def test_a_turn_brings_x_to_a_direction(way):
    matrix = quat_to_mat(turn_of_x(np.array(way, float)))
    np.testing.assert_allclose(matrix[:, 0], np.array(way) / np.linalg.norm(way), atol=1e-6)


@pytest.mark.parametrize(
    'wrong', [{'image_size': 8}, {'fps': 0}, {'least': 1}, {'least': 20, 'most': 10}]
)
def test_what_cannot_be_is_one_sentence(wrong):
    with pytest.raises(UserError, match='use'):
        ClipConfig(**wrong)
