# SPDX-License-Identifier: Apache-2.0
"""The recorder counts what it cannot write, and keeps what it could."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.vvf.bag_factory import cdr, joints
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
    assert made.close('success').dropped == 5


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
