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


def test_a_frame_waits_for_the_other_camera_and_takes_the_state_before_it() -> None:
    sync = Synchroniser(TASK)
    assert not feed(sync, (JOINTS, 90), (JOINTS, 98), (POSE, 95), (SHOULDER, 100), (JOINTS, 104))
    (seen,) = feed(sync, (WRIST, 100))
    assert seen.stamp_ns == 100 * MS
    assert seen.images == {'shoulder': (SHOULDER, 100), 'wrist': (WRIST, 100)}
    assert seen.messages == {JOINTS: (JOINTS, 98), POSE: (POSE, 95)}
    assert (sync.accepted, sync.frames) == (1, 1)


def test_the_cameras_may_arrive_in_any_order() -> None:
    for order in itertools.permutations([(JOINTS, 95), (POSE, 95), (SHOULDER, 100), (WRIST, 100)]):
        if order.index((SHOULDER, 100)) < max(order.index((JOINTS, 95)), order.index((POSE, 95))):
            continue  # frames do not wait for the state
        sync = Synchroniser(TASK)
        (seen,) = feed(sync, *order)
        assert seen.images == {'shoulder': (SHOULDER, 100), 'wrist': (WRIST, 100)}
        assert seen.messages == {JOINTS: (JOINTS, 95), POSE: (POSE, 95)}


def test_a_silent_camera_is_waited_for_only_so_long() -> None:
    sync = Synchroniser(TASK)
    feed(sync, (JOINTS, 1), (POSE, 1), (WRIST, 20), (SHOULDER, 100), (JOINTS, 149))
    assert sync.frames == 0
    (seen,) = feed(sync, (JOINTS, 151))
    assert seen.images['wrist'] == (WRIST, 20)
    feed(sync, (POSE, 190), (JOINTS, 190), (SHOULDER, 200), (SHOULDER, 300), (JOINTS, 360))
    assert sync.accepted == 1
    assert sync.dropped == {'stale:wrist': 2}


def test_drops_are_counted_with_their_reason() -> None:
    sync = Synchroniser(TASK)
    feed(sync, (SHOULDER, 100), (WRIST, 100))
    assert sync.dropped == {'missing:/joint_states': 1}
    feed(sync, (JOINTS, 50), (POSE, 190), (SHOULDER, 200), (WRIST, 200))
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
