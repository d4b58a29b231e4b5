# SPDX-License-Identifier: Apache-2.0
"""The rig file: one real table, its arm or arms, their driver, and where each camera comes from.

The task file says what a task needs, the rig file what stands on the table: tasks are shared
between tables, rigs between tasks. Read from ``config/rigs/<rig>.yaml``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from vvf.errors import UserError
from vvf.paths import config_path
from vvf.schema import build

SIDES = ('left', 'right')


@dataclass(frozen=True)
class RigArm:
    """One arm of the table.

    ``side`` is empty where there is only one, else ``left`` or ``right``. ``options`` are the
    driver's own, see the driver's module.
    """

    side: Literal['', 'left', 'right'] = ''
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RigCamera:
    """Where one camera of the task comes from.

    ``source: topic`` takes a driver's topic as it is (RealSense, usb_cam); ``device`` and
    ``video`` start a ``camera`` node, which ``pixel_format`` and ``controls`` are for. A size or
    rate of 0 is that of the task.
    """

    source: Literal['topic', 'device', 'video']
    topic: str = ''
    transport: Literal['raw', 'compressed'] = 'raw'
    info_topic: str = ''
    frame_id: str = ''
    device: str = ''
    video: str = ''
    calibration: str = ''
    pixel_format: str = ''
    controls: str = ''
    width: int = 0
    height: int = 0
    rate_hz: float = 0.0


@dataclass(frozen=True)
class VendorLaunch:
    """A launch file of a vendor's that a rig needs, such as that of its arm's driver.

    ``fake_arguments`` are added with ``use_fake_hardware:=true``; a vendor's file without them is
    left out then.
    """

    package: str
    file: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    fake_arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RigSpec:
    """A whole rig file.

    ``joint_state_topic`` is where the arm node publishes its joints: another than the vendor's own
    topic, where that one is taken. ``bringup`` is started with the graph by `ros2 launch`.
    """

    robot: str
    driver: Literal['widowx', 'franka']
    arms: tuple[RigArm, ...]
    cameras: Mapping[str, RigCamera]
    joint_state_topic: str = '/joint_states'
    bringup: tuple[VendorLaunch, ...] = ()


def load_rig(name_or_path: str | os.PathLike[str]) -> RigSpec:
    """Load a rig by path, or by name from the folder ``config/rigs``.

    Raises:
        UserError: there is no such rig, or its file is wrong.
    """
    given = os.fspath(name_or_path)
    path = Path(given)
    if path.suffix not in ('.yaml', '.yml') and os.sep not in given:
        path = config_path('rigs', f'{given}.yaml')
    if not path.is_file():
        known = ', '.join(sorted(p.stem for p in config_path('rigs').glob('*.yaml')))
        raise UserError(f'there is no rig {given!r}; known: {known}, or give the path of a file.')
    try:
        data = yaml.safe_load(path.read_text('utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'rig file {path} cannot be read: {error}') from error
    where = f'rig file {path}'
    if not isinstance(data, dict):
        raise UserError(f'{where}: expected a mapping with robot, driver, arms and cameras')
    rig: RigSpec = build(RigSpec, data, where, '')
    _check(rig, where)
    return rig


def _check(rig: RigSpec, where: str) -> None:
    """Raise UserError where the entries contradict each other."""
    sides = tuple(arm.side for arm in rig.arms)
    if sides not in (('',), SIDES):
        raise UserError(f'{where}: give one arm without a side, or the left and then the right one')
    for name, camera in rig.cameras.items():
        if not getattr(camera, camera.source):
            raise UserError(f'{where}: camera {name} of source {camera.source} needs its name')
