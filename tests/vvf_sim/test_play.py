# SPDX-License-Identifier: Apache-2.0
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.play import StopPlaying, play_episode
from vvf_sim.worlds.layout import PickPlaceConfig

SMALL = PickPlaceConfig(image_size=16)


@pytest.mark.parametrize('seed', [3, 4])
@pytest.mark.parametrize('noise', [0.0, 1.0])
def test_what_is_played_is_what_is_collected(seed, noise):
    expert = ExpertConfig.from_noise(noise)
    played = play_episode('pick_place', seed, SMALL, expert)
    episode = collect_episode('pick_place', seed, SMALL, expert)
    assert played.success == episode.success
    assert played.steps == len(episode.stamps) - 1
    assert played.success_step == episode.success_index
    assert played.failure_kind == episode.failure_kind
    assert played.instruction == episode.instruction
    assert [event.name for event in played.events] == list(episode.event_names)


def test_whoever_looks_on_sees_each_tick_and_may_stop():
    times = []

    def on_tick(world):
        times.append(world.time)
        if world.time > 0.99:
            raise StopPlaying

    played = play_episode('pick_place', 0, SMALL, on_tick=on_tick)
    assert times == pytest.approx([0.02 * i for i in range(51)])
    assert (played.success, played.success_step) == (False, -1)


def test_no_image_is_made_unless_asked_for():
    worlds = []
    play_episode('pick_place', 0, SMALL, on_tick=worlds.append)
    assert worlds[0]._renderer is None
