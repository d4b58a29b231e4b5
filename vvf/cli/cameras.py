# SPDX-License-Identifier: Apache-2.0
"""`vvf cameras`: the cameras of this machine, and the image topics of a running graph."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vvf.cli.output import add_json_option, write_json
from vvf.errors import UserError

if TYPE_CHECKING:
    from vvf.camera_topics import TopicView
    from vvf.sources.names import Device

_WIDTH = 160  # where no terminal says how wide it is
_SETTLE = 10  # frames until a camera has found its exposure


def add_parser(subparsers: Any) -> None:
    """Add `vvf cameras`."""
    parser = subparsers.add_parser(
        'cameras',
        help='list the cameras of this machine and the image topics of a running graph',
        description='List the V4L2 devices of this machine with the names that stay when they are '
        'plugged again, and the image topics of a running graph: rate, size, encoding, age of the '
        'stamps, calibration. Formats are listed where v4l2-ctl (package v4l-utils) is installed.',
        epilog='example: vvf cameras --save cameras.png',
    )
    parser.add_argument('--seconds', type=float, default=3.0, metavar='S',
                        help='how long to listen to the topics; 0: devices only [3]')  # fmt: skip
    parser.add_argument('--save', type=Path, metavar='FILE.png',
                        help='write one frame of each, on one sheet')  # fmt: skip
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf cameras`."""
    from vvf.sources.formats import list_formats
    from vvf.sources.names import list_devices

    if not 0.0 <= args.seconds <= 600.0:
        raise UserError('--seconds must lie between 0 and 600.')
    if args.save and args.save.suffix.lower() not in ('.png', '.jpg'):
        raise UserError(f'--save {args.save}: give a name that ends in .png or .jpg.')
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=_WIDTH)
    devices = list_devices()
    formats = {d.path: list_formats(d.path) for d in devices}
    _print_devices(console, devices, formats)
    topics = _look(args.seconds) if args.seconds else []
    if args.seconds:
        _print_topics(console, topics)
    if args.save:
        _save(console, args.save, devices, topics)
    write_json(
        args.json,
        {
            'devices': [{**asdict(d), 'formats': formats[d.path]} for d in devices],
            'topics': [{k: v for k, v in vars(view).items() if k != 'image'} for view in topics],
        },
    )
    return 0


def _look(seconds: float) -> list[TopicView]:
    from vvf.camera_topics import CameraTopics

    with CameraTopics() as graph:
        return graph.look(seconds)


def _print_devices(console: Console, devices: list[Device], formats: dict[str, list[str]]) -> None:
    cameras = [d for d in devices if d.index == 0]
    if not cameras:
        console.print('No V4L2 camera is plugged into this machine.')
        return
    table = Table(title='cameras of this machine', title_justify='left')
    for column in ('device', 'name', 'give this as `device`', 'formats'):
        table.add_column(column, overflow='fold')
    for device in cameras:
        offered = formats[device.path]
        table.add_row(
            device.path, device.name, device.stable or device.path, ', '.join(offered[:6]) or '-'
        )
    console.print(table)


def _print_topics(console: Console, topics: list[TopicView]) -> None:
    if not topics:
        domain = os.environ.get('ROS_DOMAIN_ID', '0')
        console.print(f'Nobody publishes images in ROS domain {domain}.')
        return
    table = Table(title='image topics', title_justify='left')
    for column in ('topic', 'Hz', 'size', 'encoding', 'age', 'calibrated', 'complaint'):
        table.add_column(column, overflow='fold')
    for view in topics:
        table.add_row(
            view.topic,
            f'{view.rate_hz:.1f}',
            f'{view.width}x{view.height}' if view.width else '-',
            view.encoding or '-',
            '-' if view.age_s is None else f'{view.age_s * 1e3:.0f} ms',
            {True: 'yes', False: 'no', None: '-'}[view.calibrated],
            Text(view.problem, style='red'),
        )
    console.print(table)


def _save(console: Console, path: Path, devices: list[Device], topics: list[TopicView]) -> None:
    import cv2

    from vvf.viz.contact_sheet import contact_sheet

    pictures = [
        (d.path, frame) for d in devices if d.index == 0 and (frame := _grab(d)) is not None
    ]
    pictures += [(view.topic, view.image) for view in topics if view.image is not None]
    if not pictures:
        console.print(f'There is no frame to save: {path} is not written.')
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = cv2.cvtColor(contact_sheet(pictures), cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), sheet):
        raise UserError(f'cannot write {path}; choose another place.')
    console.print(f'{len(pictures)} frames: {path}')


def _grab(device: Device) -> NDArray[np.uint8] | None:
    """A frame of a device, once its exposure has settled; `None` where another program has it."""
    from vvf.sources import DeviceSource

    source = DeviceSource(device.path, 0, 0, 0.0)
    try:
        frame = None
        for _ in range(_SETTLE):
            frame = source.read()
            if frame is None:
                break
        return frame
    finally:
        source.close()
