# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mmap
import subprocess
from pathlib import Path

from vvf.shared_memory import remove_stale_segments


def test_only_what_nobody_uses_is_removed(tmp_path: Path) -> None:
    names = ('fastrtps_a', 'fastrtps_a_el', 'sem.fastrtps_port74_mutex', 'fastrtps_open')
    names += ('fastrtps_mapped', 'fastrtps_locked', 'fastrtps_locked_el')
    for name in (*names, 'somebody_elses'):
        (tmp_path / name).write_bytes(b'\0' * 4096)
    mapped = (tmp_path / 'fastrtps_mapped').open('r+b')
    memory = mmap.mmap(mapped.fileno(), 0)
    mapped.close()
    with (tmp_path / 'fastrtps_open').open('rb'):
        assert remove_stale_segments(tmp_path) == 0, 'young files are left alone'
        # As in another container: whose process it is cannot be seen, but the lock can.
        locker = subprocess.Popen(
            ['flock', str(tmp_path / 'fastrtps_locked_el'), 'sh', '-c', 'echo locked; read x'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert locker.stdout.readline() == b'locked\n'
        assert remove_stale_segments(tmp_path, age_s=-1.0) == 3
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {*names[3:], 'somebody_elses'}
    memory.close()
    locker.communicate(b'\n')
    assert remove_stale_segments(tmp_path, age_s=-1.0) == 4


def test_where_there_is_no_shared_memory_nothing_happens(tmp_path: Path) -> None:
    assert remove_stale_segments(tmp_path / 'none') == 0
