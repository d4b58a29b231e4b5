# SPDX-License-Identifier: Apache-2.0
"""`vvf calibrate`: measure a camera, where it is on the robot, and whether that holds."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

#: Name -> help line. The module is `vvf.cli.calibrate_<name>`, with `add_arguments` and `run`.
CALIBRATIONS = {
    'intrinsics': "a camera's focal length, centre and distortion, from views of a board",
    'handeye': 'where a camera is on the robot, or beside it, from pairs of poses',
    'check': 'draw the robot into the image where the calibration says that it is',
}


def add_parser(subparsers: Any) -> None:
    """Add `vvf calibrate`, with one sub-command for each step."""
    parser = subparsers.add_parser(
        'calibrate',
        help="measure a camera's lens, and where it is on the robot",
        epilog='example: vvf calibrate intrinsics FOLDER --chessboard 9x6 --square 0.025',
    )
    names = parser.add_subparsers(dest='calibration', metavar='STEP', required=True)
    for name, line in CALIBRATIONS.items():
        module = importlib.import_module(f'vvf.cli.calibrate_{name}')
        step = names.add_parser(name, help=line, description=module.__doc__)
        module.add_arguments(step)


def run(args: argparse.Namespace) -> int:
    """Run the step that was asked for."""
    return int(importlib.import_module(f'vvf.cli.calibrate_{args.calibration}').run(args))
