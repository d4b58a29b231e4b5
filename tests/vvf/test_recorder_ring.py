# SPDX-License-Identifier: Apache-2.0
"""The ring buffer reaches back so far, and takes no more memory than it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from vvf.bags.reader import open_bag
from vvf.bags.ring import Ring, save_messages
from vvf.errors import UserError
from vvf.task import load_task

SECOND = 1_000_000_000


def test_it_holds_the_last_seconds() -> None:
    ring = Ring(seconds=2.0, max_bytes=1 << 20)
    for k in range(100):
        ring.add('/joint_states', k * SECOND // 10, bytes([k]))
    assert [data[0] for *_, data in ring.snapshot()] == list(range(79, 100))
    assert ring.seconds == pytest.approx(2.0)
    assert not ring.limited


def test_memory_decides_where_it_is_little() -> None:
    ring = Ring(seconds=100.0, max_bytes=10_000)
    for k in range(100):
        ring.add('/shoulder/image_raw', k * SECOND, bytes(1000))
        assert ring.bytes <= 10_000
    assert ring.limited
    assert ring.seconds == pytest.approx(7.0)
    ring.add('/shoulder/image_raw', 100 * SECOND, bytes(20_000))
    assert (ring.snapshot(), ring.bytes, ring.seconds) == ([], 0, 0.0)


def test_what_is_latched_is_kept_however_old_it_is() -> None:
    ring = Ring(seconds=1.0, max_bytes=1 << 20, latched=['/vvf/episode'])
    ring.add('/vvf/episode', 0, b'old')
    ring.add('/vvf/episode', SECOND, b'newer')
    for k in range(5, 10):
        ring.add('/joint_states', k * SECOND, b'q')
    first, *rest = ring.snapshot()
    assert first == ('/vvf/episode', 8 * SECOND, b'newer')
    assert [t for t, *_ in rest] == ['/joint_states'] * 2


def test_a_snapshot_becomes_an_unlabelled_bag_with_an_audit(tmp_path: Path) -> None:
    messages = [('/joint_states', k * SECOND, b'q') for k in range(3)]
    audit = save_messages(tmp_path / 'bag', load_task('pick_place'), {'episode_id': 'r'}, messages)
    assert audit.topics['/joint_states'].count == 3
    assert audit.seconds == pytest.approx(2.0)
    with open_bag(tmp_path / 'bag') as bag:
        assert bag.counts() == {'/joint_states': 3}
        assert bag.custom_data['outcome'] == 'unlabelled'
    with pytest.raises(UserError, match='never overwritten'):
        save_messages(tmp_path / 'bag', load_task('pick_place'), {}, [])
