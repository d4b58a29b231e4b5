# SPDX-License-Identifier: Apache-2.0
"""Messages to observations, by stamps alone."""

import dataclasses
import itertools

from vvf.sync import Synchroniser
from vvf.task import SyncSpec, load_task

TASK = dataclasses.replace(
    load_task('pick_place'),
    sync=SyncSpec(image_tolerance_s=0.15, state_tolerance_s=0.1, wait_s=0.05),
)
MS = 1_000_000
SHOULDER, WRIST = '/shoulder/image_raw', '/wrist/image_raw'
JOINTS, POSE = '/joint_states', '/vvf/ee_pose'


def feed(sync: Synchroniser, *messages: tuple[str, int]) -> list:
    out = []
    for topic, ms in messages:
        out += sync.push(topic, ms * MS, (topic, ms))
    return out


def live(*wrist: int, rate: int = 100) -> Synchroniser:
    """A live synchroniser that has seen the wrist camera for a while, up to the given stamps."""
    sync = Synchroniser(TASK, live=True)
    feed(sync, *((WRIST, ms) for ms in range(wrist[0] - 5 * rate, wrist[0], rate)))
    feed(sync, *((WRIST, ms) for ms in wrist))
    return sync


def test_a_frame_waits_for_the_others_and_takes_the_state_before_it() -> None:
    sync = Synchroniser(TASK)
    assert not feed(sync, (JOINTS, 90), (JOINTS, 98), (POSE, 95), (SHOULDER, 100), (JOINTS, 104))
    assert not feed(sync, (WRIST, 100))
    (seen,) = feed(sync, (POSE, 101))
    assert seen.stamp_ns == 100 * MS
    assert seen.images == {'shoulder': (SHOULDER, 100), 'wrist': (WRIST, 100)}
    assert seen.messages == {JOINTS: (JOINTS, 98), POSE: (POSE, 95)}
    assert (sync.accepted, sync.frames) == (1, 1)


def test_what_belongs_to_a_frame_may_be_recorded_in_any_order() -> None:
    messages = [(JOINTS, 95), (POSE, 95), (SHOULDER, 100), (WRIST, 100)]
    for order in itertools.permutations(messages):
        sync = Synchroniser(TASK)
        (seen,) = feed(sync, *order, (JOINTS, 115), (POSE, 115))
        assert seen.images == {'shoulder': (SHOULDER, 100), 'wrist': (WRIST, 100)}
        assert seen.messages == {JOINTS: (JOINTS, 95), POSE: (POSE, 95)}


def test_messages_of_a_topic_may_come_in_any_order() -> None:
    for order in itertools.permutations([(JOINTS, 90), (JOINTS, 96), (JOINTS, 99), (JOINTS, 108)]):
        sync = Synchroniser(TASK)
        assert not feed(sync, (POSE, 95), (WRIST, 100), *order)
        (seen,) = feed(sync, (SHOULDER, 100), (POSE, 105))
        assert seen.messages[JOINTS] == (JOINTS, 99)


def test_a_clock_that_was_ahead_is_forgotten_when_it_is_set() -> None:
    sync = Synchroniser(TASK)
    feed(sync, (JOINTS, 60_000), (JOINTS, 95), (POSE, 95), (WRIST, 100))
    (seen,) = feed(sync, (SHOULDER, 100), (POSE, 105))
    assert seen.messages[JOINTS] == (JOINTS, 95)
    assert [stamp // MS for stamp, _ in sync._history[JOINTS]] == [95]


def test_live_a_frame_waits_for_no_later_one() -> None:
    sync = live(90, rate=33)
    (seen,) = feed(sync, (JOINTS, 95), (POSE, 95), (SHOULDER, 100))
    assert seen.images == {'shoulder': (SHOULDER, 100), 'wrist': (WRIST, 90)}
    assert not sync.waiting


def test_live_a_frame_waits_for_one_of_its_instant_that_is_on_its_way() -> None:
    messages = [(JOINTS, 95), (POSE, 95), (SHOULDER, 100), (WRIST, 100)]
    for order in itertools.permutations(messages):
        sync = live(67, rate=33)
        (seen,) = feed(sync, *order)
        assert seen.images == {'shoulder': (SHOULDER, 100), 'wrist': (WRIST, 100)}
        assert seen.messages == {JOINTS: (JOINTS, 95), POSE: (POSE, 95)}


def test_live_a_frame_that_is_due_is_waited_for_until_the_patience_ends() -> None:
    sync = live(67, rate=33)
    assert not feed(sync, (JOINTS, 95), (POSE, 95), (SHOULDER, 100))
    assert sync.waiting
    (seen,) = sync.settle()
    assert seen.images['wrist'] == (WRIST, 67)
    assert not sync.waiting
    assert not sync.settle()


def test_live_the_patience_gives_no_frame_up_that_could_still_be_used() -> None:
    sync = live(-200, rate=33)
    assert not feed(sync, (JOINTS, 95), (POSE, 95), (SHOULDER, 100))
    assert not sync.settle(), 'the newest wrist image is too old'
    (seen,) = feed(sync, (WRIST, 99), (WRIST, 101))
    assert seen.images['wrist'] == (WRIST, 99)
    assert not sync.dropped


def test_live_a_slow_camera_is_not_waited_for_between_its_frames() -> None:
    sync = live(20, rate=100)
    feed(sync, (JOINTS, 20), (POSE, 20))
    assert len(feed(sync, *((SHOULDER, ms) for ms in (33, 66, 99)))) == 3


def test_live_an_unknown_camera_is_waited_for() -> None:
    sync = Synchroniser(TASK, live=True)
    assert not feed(sync, (JOINTS, 95), (POSE, 95), (WRIST, 90), (SHOULDER, 100))
    assert len(sync.settle()) == 1


def test_a_silent_camera_is_waited_for_only_so_long() -> None:
    sync = Synchroniser(TASK)
    feed(sync, (JOINTS, 1), (POSE, 1), (WRIST, 20), (SHOULDER, 100), (JOINTS, 399))
    assert sync.frames == 0
    (seen,) = feed(sync, (JOINTS, 401))
    assert seen.images['wrist'] == (WRIST, 20)
    feed(sync, (POSE, 190), (JOINTS, 190), (SHOULDER, 200), (SHOULDER, 300), (JOINTS, 601))
    assert sync.accepted == 1
    assert sync.dropped == {'stale:wrist': 2}


def test_drops_are_counted_with_their_reason() -> None:
    sync = Synchroniser(TASK)
    feed(sync, (SHOULDER, 100), (WRIST, 100), (WRIST, 401))
    assert sync.dropped == {'missing:/joint_states': 1}
    feed(sync, (JOINTS, 50), (POSE, 190), (SHOULDER, 200), (WRIST, 200), (WRIST, 501))
    assert sync.dropped['stale:/joint_states'] == 1
    feed(sync, (SHOULDER, 200), (SHOULDER, 150))
    assert sync.dropped['out_of_order'] == 2
    assert (sync.accepted, sync.frames) == (0, 4)


def test_one_camera_and_no_state_never_wait() -> None:
    sync = Synchroniser(TASK, ['wrist'], state=False)
    assert sync.topics == (WRIST,)
    assert len(feed(sync, (WRIST, 1), (WRIST, 2), (JOINTS, 3))) == 2


def test_a_replay_that_begins_again_is_followed() -> None:
    sync = Synchroniser(TASK, ['shoulder'], state=False)
    assert len(feed(sync, (SHOULDER, 5000), (SHOULDER, 5100), (SHOULDER, 100))) == 3
    assert not sync.dropped


def test_what_still_waits_at_the_end_is_decided() -> None:
    sync = Synchroniser(TASK)
    assert not feed(sync, (JOINTS, 90), (POSE, 90), (WRIST, 90), (SHOULDER, 100))
    assert len(sync.flush()) == 1
    assert not sync.flush()
