# SPDX-License-Identifier: Apache-2.0
"""One process, several, or Ray: the same numbers, bit for bit, and nothing left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests.vvf.bag_factory import write_episode
from tests.vvf.relabel_models import write_icvf
from vvf.cli import main as cli
from vvf.environment import ros_environment


def run(*words: object) -> int:
    return cli.main([str(w) for w in ('relabel', *words)])


def scores_in(out: Path) -> dict[str, bytes]:
    found = {}
    for file in sorted((out / '.scores').glob('*.npz')):
        with np.load(file, allow_pickle=False) as data:
            found[file.name] = b''.join(data[name].tobytes() for name in data.files)
    return found


def test_processes_and_ray_give_the_same_bits(tmp_path: Path) -> None:
    bags = tmp_path / 'bags'
    for number in range(4):
        outcome = 'success' if number % 2 else 'failure'
        write_episode(bags / f'ep{number}', frames=5 + number, seed=number, outcome=outcome)
    videos = tmp_path / 'videos'
    videos.mkdir()
    (videos / 'c.mp4').write_bytes(b'no video')
    model = write_icvf(tmp_path / 'icvf', ('shoulder',))
    found = []
    for name, more in [
        ('alone', ()),
        ('processes', ('--workers', 2)),
        ('ray', ('--workers', 2, '--engine', 'ray')),
    ]:
        numbers = tmp_path / 'numbers.json'
        words = (bags, videos, '--value', model, '--out', tmp_path / name, '--skip-bad')
        assert run(*words, '--json', numbers, *more) == 0
        summary = json.loads(numbers.read_text())
        assert summary['frames_scored'] == 26
        assert [line.partition(' is no ')[0] for line in summary['left_out']] == [
            str(videos / 'c.mp4')
        ]
        found.append(scores_in(tmp_path / name))
    assert len(found[0]) == 4
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_stopped_workers_leave_whole_scores_and_no_process(tmp_path: Path) -> None:
    bags = tmp_path / 'bags'
    for number in range(2):
        write_episode(bags / f'long{number}', frames=40, seed=number)
    write_episode(bags / 'a_short', frames=3)
    model = write_icvf(tmp_path / 'icvf', size=128)
    out = tmp_path / 'out'
    words = ['relabel', bags, '--value', model, '--out', out, '--workers', '2', '--batch', '1']
    command = [sys.executable, '-m', 'vvf', *map(str, words)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, env=ros_environment(), start_new_session=True
    )
    try:
        while process.poll() is None and not list((out / '.scores').glob('*.npz')):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode in (0, 130)
    with contextlib.suppress(ProcessLookupError):
        while True:  # until nothing of its group is left
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    assert run(bags, '--value', model, '--out', out, '--json', tmp_path / 'numbers.json') == 0
    numbers = json.loads((tmp_path / 'numbers.json').read_text())
    assert numbers['frames_scored'] == 83
    assert numbers['episodes_skipped'] >= 1
