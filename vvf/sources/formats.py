# SPDX-License-Identifier: Apache-2.0
"""Which sizes and rates a V4L2 device offers, as `v4l2-ctl` of v4l-utils tells them."""

from __future__ import annotations

import re
import shutil
import subprocess

_FORMAT = re.compile(r"\[\d+\]: '(.{4})'")
_SIZE = re.compile(r'Size: Discrete (\d+x\d+)')
_RATE = re.compile(r'\(([\d.]+) fps\)')
_PATIENCE_S = 5.0


def list_formats(device: str) -> list[str]:
    """Lines such as `MJPG 640x480 30 Hz`; none where `v4l2-ctl` is absent or says nothing."""
    program = shutil.which('v4l2-ctl')
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, '--device', device, '--list-formats-ext'],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_formats(answer.stdout)


def parse_formats(text: str) -> list[str]:
    """Read the output of `v4l2-ctl --list-formats-ext`; of each size the highest rate."""
    best: dict[tuple[str, str], float] = {}
    pixel_format = size = ''
    for line in text.splitlines():
        if found := _FORMAT.search(line):
            pixel_format = found.group(1).strip()
        elif found := _SIZE.search(line):
            size = found.group(1)
        elif found := _RATE.search(line):
            key = (pixel_format, size)
            best[key] = max(best.get(key, 0.0), float(found.group(1)))
    return [f'{name} {size} {rate:g} Hz' for (name, size), rate in best.items()]
