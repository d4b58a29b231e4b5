# SPDX-License-Identifier: Apache-2.0
"""Is there room for a recording?"""

from __future__ import annotations

import shutil
from pathlib import Path

_GIB = 1 << 30


def free_gib(folder: Path) -> float:
    """Free space where a folder is, or will be made, in GiB."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free / _GIB


def shortage(folder: Path, least_gib: float) -> str:
    """One sentence where less than `least_gib` is free for a folder; '' where there is enough."""
    free = free_gib(folder)
    if free >= least_gib:
        return ''
    return (
        f'only {free:.1f} GiB are free in {folder} and {least_gib:g} are wanted: make room, '
        'record elsewhere (directory), or lower min_free_gib'
    )
