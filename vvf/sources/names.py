# SPDX-License-Identifier: Apache-2.0
"""Names of V4L2 devices: numbers, which change when a camera is plugged again, and what does not.

The kernel numbers `/dev/videoN` in the order in which devices appear. udev adds links that stay:
`/dev/v4l/by-id` names the make and serial number, `/dev/v4l/by-path` the socket (two cameras of a
make that has no serial numbers share the first, so one of them has only the second).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vvf.errors import UserError

LINKS = Path('/dev/v4l')
CLASS = Path('/sys/class/video4linux')
_NUMBERED = re.compile(r'(?:/dev/video)?(\d+)')


def device_path(device: str) -> str:
    """The path of a device that was given as a path or as its number.

    Raises:
        UserError: it is neither.
    """
    match = _NUMBERED.fullmatch(device)
    if match is not None:
        return f'/dev/video{match.group(1)}'
    if not device.startswith('/dev/'):
        raise UserError(
            f'camera device {device!r}: give /dev/v4l/by-id/NAME (`vvf cameras` lists them) or '
            '/dev/videoN.'
        )
    return device


def is_numbered(device: str) -> bool:
    """Whether a device is named by its number, which may be another camera's tomorrow."""
    return _NUMBERED.fullmatch(device) is not None


def stable_path(device: str, links: Path = LINKS) -> str:
    """The link of udev that leads to a device, of make and serial rather than of socket; or ''."""
    target = os.path.realpath(device)
    for kind in ('by-id', 'by-path'):
        for link in sorted((links / kind).glob('*')):
            if os.path.realpath(link) == target:
                return str(link)
    return ''


def why_absent(device: str) -> str:
    """What may be the reason that a device gives no frames, and what to do."""
    path = Path(device)
    if not path.exists():
        return 'it is not there: is it plugged in? `vvf cameras` lists what is'
    if not os.access(path, os.R_OK | os.W_OK):
        return 'you may not open it: `sudo usermod -aG video $USER`, then log in again'
    return f'it is there but silent: does another program use it (`fuser {device}`)?'


@dataclass(frozen=True)
class Device:
    """A V4L2 device of this machine.

    Attributes:
        path: such as `/dev/video0`.
        name: what its driver calls it.
        stable: link that stays when it is plugged again, '' where there is none.
        index: 0 is the camera's pictures; others are its metadata or further streams.
    """

    path: str
    name: str
    stable: str = ''
    index: int = 0


def list_devices(folder: Path = CLASS, links: Path = LINKS) -> list[Device]:
    """The V4L2 devices of this machine, by their numbers."""
    found = []
    for entry in folder.glob('video*'):
        path = f'/dev/{entry.name}'
        number = int(entry.name.removeprefix('video') or 0)
        name, index = _read(entry / 'name'), _read(entry / 'index')
        device = Device(path, name, stable_path(path, links), int(index or 0))
        found.append((number, device))
    return [device for _, device in sorted(found, key=lambda pair: pair[0])]


def _read(file: Path) -> str:
    try:
        return file.read_text('utf-8', errors='replace').strip()
    except OSError:
        return ''
