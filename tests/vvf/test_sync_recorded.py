# SPDX-License-Identifier: Apache-2.0
"""A recording says which of its frames have all that belongs to them, and what the others lack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.vvf.bag_factory import cdr, image, joints, pose
from vvf.bags.audit import AUDIT, RecordingAudit
from vvf.bags.reader import open_bag
from vvf.bags.recorder import Recorder
from vvf.task import load_task

TASK = load_task('pick_place')
START = 1_800_000_000 * 10**9
MS = 1_000_000
PIXELS = np.zeros((2, 2, 3), np.uint8)


def record(path: Path, frames: int = 20, **offsets_ms: int | None) -> RecordingAudit:
    """Record at 10 Hz; an offset is that of the stamps of a stream, None leaves them at zero."""
    recorder = Recorder(path, TASK, {})

    def stamp(name: str, now: int) -> int:
        offset = offsets_ms.get(name, 0)
        return 0 if offset is None else now + offset * MS

    for number in range(frames):
        now = START + 100 * number * MS
        state = stamp('state', now)
        names = TASK.state[0].names
        for topic, message in {
            '/joint_states': joints(state, names, np.zeros(len(names))),
            '/vvf/ee_pose': pose(state, (0.2, 0.0, 0.1)),
            '/wrist/image_raw': image(stamp('wrist', now), PIXELS),
            '/shoulder/image_raw': image(now, PIXELS),
        }.items():
            recorder.write(topic, now + 5 * MS, cdr(message))
    return recorder.close('success')


def stored(path: Path) -> Mapping[str, int]:
    with open_bag(path) as bag:
        return json.loads(bag.custom_data[AUDIT])['pairing']


def complaints(audit: RecordingAudit) -> list[str]:
    return [line for line in audit.complaints if 'cannot be used' in line or 'zero' in line]


def test_a_good_recording_has_all_its_frames(tmp_path: Path) -> None:
    audit = record(tmp_path / 'good')
    assert audit.pairing == stored(tmp_path / 'good') == {'frames': 20}
    assert complaints(audit) == []


def test_a_camera_that_lags_is_named(tmp_path: Path) -> None:
    audit = record(tmp_path / 'late', wrist=-700)
    assert stored(tmp_path / 'late') == {'frames': 0, 'stale:wrist': 20}
    assert complaints(audit) == [
        '20 of 20 frames cannot be used (20 stale:wrist): are the clocks synchronised?'
    ]


def test_a_clock_that_is_ahead_is_named(tmp_path: Path) -> None:
    audit = record(tmp_path / 'ahead', wrist=1300)
    assert audit.pairing == {'frames': 0, 'future:wrist': 20}
    assert len(complaints(audit)) == 1


def test_stamps_of_zero_are_named_and_those_of_recording_are_taken(tmp_path: Path) -> None:
    audit = record(tmp_path / 'zero', wrist=None)
    assert audit.pairing['unstamped:/wrist/image_raw'] == 20
    assert '20 messages of /wrist/image_raw have stamps of zero' in complaints(audit)[0]


def test_what_was_never_recorded_is_not_complained_of_twice(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / 'few', TASK, {})
    recorder.write('/shoulder/image_raw', START, cdr(image(START, PIXELS)))
    audit = recorder.close('success')
    assert audit.pairing['frames'] == 0
    assert sum(audit.pairing.values()) == 1
    assert complaints(audit) == []
