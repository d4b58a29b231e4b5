# SPDX-License-Identifier: Apache-2.0
"""Stamps that cannot be right: of zero, and of clocks that are ahead or behind."""

from __future__ import annotations

import pytest

from tests.vvf.test_sync import JOINTS, MS, POSE, SHOULDER, TASK, WRIST, feed
from vvf.stamp_check import StampCheck
from vvf.sync import Synchroniser

NOW = 1_800_000_000_000 * MS


def fed(*offsets_ms: int) -> StampCheck:
    check = StampCheck(0.15)
    for number, offset in enumerate(offsets_ms):
        now = NOW + 33 * number * MS
        check.add('wrist', now + offset * MS, now)
    return check


def test_good_stamps_are_no_matter() -> None:
    check = fed(*[-20, -5, 100] * 10)
    assert check.complaints() == []
    assert not check.refused


def test_a_clock_that_is_ahead_is_refused_and_named() -> None:
    check = fed(*[1280] * 20)
    assert check.refused == {'future:wrist': 20}
    assert check.complaints() == [
        'camera wrist is stamped 1.3 s in the future: synchronise the clocks with chrony'
    ]


def test_a_clock_that_is_behind_is_named_and_not_refused() -> None:
    check = fed(*[-700, -650, -900] * 5)
    assert not check.refused
    (said,) = check.complaints()
    assert said.startswith('camera wrist is stamped 0.7 s in the past: synchronise the clocks')


@pytest.mark.parametrize('offsets', [[-700] * 5, [*[-700] * 20, -30]])
def test_late_messages_alone_are_no_wrong_clock(offsets: list[int]) -> None:
    assert fed(*offsets).complaints() == []


def test_stamps_of_zero_are_named() -> None:
    check = StampCheck(0.15)
    assert check.add('/joint_states', 0, NOW) == 'unstamped'
    assert check.complaints()[0].startswith('/joint_states has stamps of zero')
    assert check.add('/joint_states', NOW, NOW) == ''
    assert check.complaints() == []


def test_it_is_news_once_and_again_after_it_was_over() -> None:
    check = fed(*[1300] * 30)
    assert len(check.news()) == 1
    for _ in range(30):
        check.add('wrist', NOW + 1900 * MS, NOW)
    assert check.news() == []
    for _ in range(30):
        check.add('wrist', NOW, NOW)
    assert check.news() == []
    for _ in range(30):
        check.add('wrist', NOW + 1900 * MS, NOW)
    assert len(check.news()) == 1


def test_a_refused_frame_is_dropped_for_that_reason() -> None:
    sync = Synchroniser(TASK)
    sync.refuse(SHOULDER, 'unstamped')
    assert sync.dropped == {'unstamped:shoulder': 1}
    assert sync.frames == 1


def test_a_frame_that_lacks_a_refused_message_says_why() -> None:
    sync = Synchroniser(TASK)
    sync.refuse(WRIST, 'future')
    feed(sync, (JOINTS, 90), (POSE, 90), (SHOULDER, 100), (JOINTS, 401))
    assert sync.dropped == {'future:wrist': 1}
    feed(sync, (WRIST, 430), (JOINTS, 440), (POSE, 440), (SHOULDER, 450), (WRIST, 460))
    feed(sync, (JOINTS, 460), (POSE, 460))
    assert sync.accepted == 1
    sync.refuse('/elsewhere', 'future')
    assert sync.frames == 2


def test_a_camera_whose_clock_went_wrong_is_not_called_stale() -> None:
    sync = Synchroniser(TASK)
    feed(sync, (WRIST, 10), (JOINTS, 290), (POSE, 290))
    sync.refuse(WRIST, 'future')
    feed(sync, (SHOULDER, 300), (JOINTS, 601))
    assert sync.dropped == {'future:wrist': 1}
