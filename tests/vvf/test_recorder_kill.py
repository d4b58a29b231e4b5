# SPDX-License-Identifier: Apache-2.0
"""A recorder that is killed (SIGKILL) leaves a bag with everything that it had handed over."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vvf.bags.reader import open_bag

# Writes messages of growing numbers, small and large, and says how many would survive now.
RECORDING = """
import os, sys, time
from pathlib import Path
from vvf.bags.recorder import Recorder
from vvf.task import load_task

recorder = Recorder(Path(sys.argv[1]), load_task('pick_place'), {'episode_id': 'killed'})
said = number = 0
while True:
    topic, size = ('/shoulder/image_raw', 40_000) if number % 8 == 0 else ('/joint_states', 200)
    recorder.write(topic, number, number.to_bytes(8, 'little') + os.urandom(size))
    number += 1
    if recorder.flushed != said:
        said = recorder.flushed
        print(said, flush=True)
    time.sleep(0.0005)
"""


@pytest.mark.parametrize('lines', [2, 7])
def test_what_was_flushed_before_the_kill_is_in_the_bag(tmp_path: Path, lines: int) -> None:
    path = tmp_path / 'bag'
    with subprocess.Popen(
        [sys.executable, '-c', RECORDING, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        flushed = 0
        for _ in range(lines):
            flushed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    with open_bag(path) as bag:
        assert bag.custom_data['episode_id'] == 'killed'
        assert bag.custom_data['outcome'] == 'unlabelled'
        assert bag.custom_data['complete'] == 'false'
        numbers = [int.from_bytes(data[:8], 'little') for *_, data in bag.messages()]
    assert len(numbers) >= flushed > 0
    assert numbers == list(range(len(numbers))), 'no hole before the end'
