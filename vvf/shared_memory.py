# SPDX-License-Identifier: Apache-2.0
"""Removes the shared memory that killed processes left behind.

Fast DDS keeps a segment and a few ports in /dev/shm for each process. One that is killed leaves
them there, and new processes still announce themselves to those ports first: with some hundred of
them nodes take seconds to find each other, instead of hundredths.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections import defaultdict
from pathlib import Path

FOLDER = Path('/dev/shm')
_PATTERN = '*fastrtps_*'  # segments, ports and their semaphores
_LOCKS = ('_el', '_sl')
# What the files of one segment or port have more than its name.
_STEM = re.compile('^sem[.]|_el$|_sl$|_mutex$')
# What is younger may belong to a process that has not opened it yet.
_AGE_S = 20.0


def remove_stale_segments(folder: Path = FOLDER, age_s: float = _AGE_S) -> int:
    """Remove Fast DDS's files of this user whose process is gone; says how many.

    A process keeps its files open and locks the ones named for that; the locks are seen in other
    containers, too, that share the folder.

    Args:
        folder: where they lie.
        age_s: younger ones are left alone.
    """
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for file in folder.glob(_PATTERN):
        found[_STEM.sub('', file.name)].append(file)
    groups = {
        stem: files
        for stem, files in found.items()
        if all(_is_old(file, age_s) for file in files) and not any(map(_is_locked, files))
    }
    if not groups:
        return 0
    used = _used_files(folder)
    removed = 0
    for files in groups.values():
        if used.isdisjoint(file.name for file in files):
            for file in files:
                with contextlib.suppress(OSError):
                    file.unlink()
                    removed += 1
    return removed


def _is_old(file: Path, age_s: float) -> bool:
    try:
        status = file.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and time.time() - status.st_ctime > age_s


def _is_locked(file: Path) -> bool:
    if not file.name.endswith(_LOCKS):
        return False
    try:
        with file.open('rb') as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _used_files(folder: Path) -> set[str]:
    """Names of the files in a folder that some process has mapped or open."""
    used = set()
    for process in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            for line in (process / 'maps').read_text('utf-8', 'replace').splitlines():
                if f'{folder}/' in line:
                    used.add(line.rpartition('/')[2].removesuffix(' (deleted)'))
        with contextlib.suppress(OSError):
            for link in (process / 'fd').iterdir():
                with contextlib.suppress(OSError):
                    target = link.readlink()
                    if target.parent == folder:
                        used.add(target.name)
    return used
