# SPDX-License-Identifier: Apache-2.0
"""The recorder counts what it cannot write, and keeps what it could."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.vvf.bag_factory import cdr, joints
from vvf.bags.audit import AUDIT
from vvf.bags.reader import open_bag
from vvf.bags.recorder import Recorder, set_outcome
from vvf.errors import UserError
from vvf.task import load_task

SECOND = 1_000_000_000
MESSAGE = cdr(joints(0, ('waist',), np.zeros(1)))

# A limit on the size of files is what a full disk is: the write fails with OSError.
FULL_DISK = """
import os, resource, sys, time
from pathlib import Path
from vvf.bags.recorder import Recorder
from vvf.task import load_task

resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
recorder = Recorder(Path(sys.argv[1]), load_task('pick_place'), {'episode_id': 'full'})
for k in range(300):
    recorder.write('/shoulder/image_raw', k * 10**8, os.urandom(20_000))
    time.sleep(0.001)
audit = recorder.close('success')
print(audit.topics['/shoulder/image_raw'].count, audit.dropped, recorder.error is not None)
print(audit.complaints[0])
"""


def recorder(path: Path, **more) -> Recorder:
    return Recorder(path, load_task('pick_place'), {'episode_id': path.name}, **more)


def test_what_is_written_is_in_the_bag_with_its_outcome(tmp_path: Path) -> None:
    made = recorder(tmp_path / 'bag')
    for k in range(50):
        made.write('/joint_states', k * SECOND // 50, MESSAGE)
    audit = made.close('success', 'well done')
    assert audit.topics['/joint_states'].count == 50
    assert audit.dropped == 0
    assert 'nothing was recorded of /shoulder/image_raw' in audit.complaints
    with open_bag(tmp_path / 'bag') as bag:
        assert bag.counts()['/joint_states'] == 50
        assert bag.custom_data['outcome'] == 'success'
        assert bag.custom_data['note'] == 'well done'


def test_what_does_not_fit_into_the_queue_is_counted(tmp_path: Path) -> None:
    made = recorder(tmp_path / 'bag', queue_bytes=10)
    for k in range(5):
        made.write('/joint_states', k, MESSAGE)
    audit = made.close('success')
    assert audit.dropped == audit.topics['/joint_states'].dropped == 5
    assert '5 messages of /joint_states did not fit into the write queue' in audit.complaints


def test_the_audit_finds_pauses_wherever_they_are(tmp_path: Path) -> None:
    made = recorder(tmp_path / 'bag')
    for k in range(101):  # ten seconds; one camera pauses in the middle, the other ends early
        now = k * SECOND // 10
        made.write('/joint_states', now, MESSAGE)
        if not 30 <= k < 50:
            made.write('/shoulder/image_raw', now, MESSAGE)
        if k <= 60:
            made.write('/wrist/image_raw', now, MESSAGE)
    settled = made.settle({'/wrist/image_raw': 2})
    audit = made.close('success', lost={'/wrist/image_raw': 2})
    assert settled.topics == audit.topics
    middle, early = audit.topics['/shoulder/image_raw'], audit.topics['/wrist/image_raw']
    assert (middle.count, middle.longest_gap_s, middle.gap_at_s) == pytest.approx((81, 2.1, 2.9))
    assert (early.count, early.longest_gap_s, early.gap_at_s) == pytest.approx((61, 4.0, 6.0))
    assert early.lost == audit.lost == 2
    paused = [line for line in audit.complaints if 'paused' in line]
    assert paused == [
        '/shoulder/image_raw paused for 2.10 s, 2.9 s after the start (8.0 Hz on average)',
        '/wrist/image_raw paused for 4.00 s, 6.0 s after the start (10.0 Hz on average)',
    ]
    assert '2 messages of /wrist/image_raw were lost on the way to the recorder' in audit.complaints
    with open_bag(tmp_path / 'bag') as bag:
        kept = json.loads(bag.custom_data[AUDIT])
    assert kept['topics']['/shoulder/image_raw']['longest_gap_s'] == 2.1
    assert kept['complaints'] == list(audit.complaints)


def test_a_full_disk_is_one_sentence_and_every_lost_message_is_counted(tmp_path: Path) -> None:
    path = tmp_path / 'full'
    done = subprocess.run(
        [sys.executable, '-c', FULL_DISK, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr
    numbers, complaint = done.stdout.strip().splitlines()
    count, dropped, failed = numbers.split()
    assert failed == 'True'
    assert int(dropped) > 200
    assert int(count) + int(dropped) >= 300
    assert 'cannot be written' in complaint
    with open_bag(path) as bag:
        assert bag.loss
        assert 5 < bag.counts()['/shoulder/image_raw'] < 40


def test_an_outcome_can_be_given_afterwards(tmp_path: Path) -> None:
    recorder(tmp_path / 'bag').close('unlabelled')
    data = {p.name: p.read_bytes() for p in (tmp_path / 'bag').iterdir()}
    set_outcome(tmp_path / 'bag', 'failure')
    with open_bag(tmp_path / 'bag') as bag:
        assert bag.custom_data['outcome'] == 'failure'
    assert (tmp_path / 'bag' / 'bag.mcap').read_bytes() == data['bag.mcap'], 'data are not touched'
    with pytest.raises(UserError, match='choose one of'):
        set_outcome(tmp_path / 'bag', 'splendid')
    with pytest.raises(UserError, match='no recorded episode'):
        set_outcome(tmp_path, 'success')
