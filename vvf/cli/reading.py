# SPDX-License-Identifier: Apache-2.0
"""Options of every command that reads episodes: how often, and how much of each image."""

from __future__ import annotations

import argparse
import math
from typing import Any

from vvf.errors import UserError

_TAKEN = 'frames a second taken of videos and LeRobot data sets; 0: all [5]'


def add_reading_options(parser: Any, fps: str = _TAKEN) -> None:
    """Add `--task`, `--skip-bad`, `--fps`, `--crop` and `--actions`.

    Args:
        parser: To what.
        fps: What `--fps` does there.
    """
    parser.add_argument('--task', help='task file of bags that hold none')
    parser.add_argument(
        '--skip-bad', action='store_true', help='leave out bad episodes, naming them'
    )
    # No defaults: a command for whose kind of thing one does nothing can tell that it was given.
    parser.add_argument('--fps', type=float, help=fps)
    parser.add_argument(
        '--crop',
        action=argparse.BooleanOptionalAction,
        help='see the middle square of videos only [for videos without named cameras]',
    )
    parser.add_argument(
        '--actions',
        choices=('clean', 'executed'),
        help='which actions of .npz episodes: what the expert wanted, or what was done, with its '
        'noise [clean]',
    )


def read_options(args: argparse.Namespace, **more: Any) -> Any:
    """The `ReadOptions` that the options ask for.

    Raises:
        UserError: One makes no sense.
    """
    # Imported here, since torch takes a second that `--help` need not wait for.
    from vvf_models.data.options import ReadOptions

    fps = 5.0 if args.fps is None else args.fps
    if not (math.isfinite(fps) and fps >= 0):
        raise UserError('--fps must be 0 or more.')
    return ReadOptions(fps=fps, crop=args.crop, actions=args.actions or 'clean', **more)
