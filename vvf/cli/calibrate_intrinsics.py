# SPDX-License-Identifier: Apache-2.0
"""Measures a camera's focal length, centre and distortion from views of a printed board.

The result is a camera_info YAML as ROS's own tools write it, which the `camera` node publishes and
`vvf calibrate handeye` needs.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from vvf.cli.calibrate_board import add_board_options, board_of
from vvf.cli.output import add_json_option
from vvf.errors import UserError

_EXAMPLES = """\
examples:
  vvf calibrate intrinsics FOLDER --chessboard 9x6 --square 0.025
  vvf calibrate intrinsics /dev/video0 --charuco 7x5 --square 0.04 --marker 0.03 \\
      --out calibration/table/wrist.yaml --picture wrist.png
  vvf calibrate intrinsics /wrist/image_raw --chessboard 9x6 --square 0.025 \\
      --preview-topic /calibration/preview --out calibration/table/wrist.yaml
  vvf calibrate intrinsics BAG --topic /wrist/image_raw --chessboard 9x6 --square 0.025
"""
_TOPIC = re.compile(r'(/[A-Za-z_][A-Za-z0-9_]*)+')
_MODELS = ('plumb_bob', 'rational_polynomial', 'fisheye')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `vvf calibrate intrinsics` takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument(
        'source',
        metavar='SOURCE',
        help='a folder of images, a video, a bag, a device such as /dev/video0, or an image topic '
        'of a running graph such as /wrist/image_raw',
    )
    add_board_options(parser.add_argument_group('the board'))
    views = parser.add_argument_group('the views')
    views.add_argument('--topic', default='', help='images of a bag that has several such topics')
    views.add_argument('--camera', default='', help='the same by name, of the task in the bag')
    views.add_argument(
        '--fps', type=float, default=5.0, help='pictures a second taken of videos and bags [5]'
    )
    views.add_argument(
        '--max-speed',
        type=float,
        default=0.1,
        help='fastest that a board may move, image widths a second [0.1]',
    )
    views.add_argument('--size', default='640x480', help='wanted of a device [640x480]')
    views.add_argument('--rate', type=float, default=30.0, help='wanted of a device, Hz [30]')
    views.add_argument(
        '--keep',
        type=Path,
        metavar='FOLDER',
        help='where the pictures of the views go [of a live camera: below runs/calibration]',
    )
    views.add_argument('--preview', type=Path, metavar='PNG', help='a picture of the capture')
    views.add_argument('--preview-topic', default='', help='the same as an image topic')
    result = parser.add_argument_group('the result')
    result.add_argument(
        '--model', choices=_MODELS, default=_MODELS[0], help='of the lens [plumb_bob]'
    )
    result.add_argument('--out', type=Path, metavar='YAML', help='calibration/RIG/CAMERA.yaml')
    result.add_argument('--name', default='', help="the camera's [of --out]")
    result.add_argument('--overwrite', action='store_true', help='replace an earlier result')
    result.add_argument('--picture', type=Path, metavar='PNG', help='residuals and coverage')
    add_json_option(result)  # type: ignore[arg-type]


def run(args: argparse.Namespace) -> int:
    """Run `vvf calibrate intrinsics`."""
    from vvf.calibration.camera_file import check_free, write_new
    from vvf.calibration.capture import Views
    from vvf.calibration.intrinsics import calibrate
    from vvf.calibration.intrinsics_report import camera_text, numbers, print_result, why_no_views
    from vvf.calibration.trust import refuse_hopeless
    from vvf.cli.output import write_json

    board = board_of(args)
    if board is None:
        raise UserError('say which board it is: --chessboard 9x6 or --charuco 7x5, and --square.')
    if args.out is not None:
        check_free(args.out, overwrite=args.overwrite)
    name = args.name or (args.out.stem if args.out else 'camera')
    with contextlib.ExitStack() as stack:
        pictures, node = _open(args, stack)
        views = Views(board, _keep(args, name, live=pictures.live))
        _fill(args, pictures, views, node)
    if not views.views:
        raise UserError(why_no_views(views, args.source))
    if pictures.live:
        print(f'{len(views.views)} pictures are kept in {views.keep}')
    result = calibrate(board, views.views, views.size, args.model)
    print_result(result, views, pictures.unreadable)
    write_json(args.json, numbers(result, views, pictures.unreadable))
    refuse_hopeless(result)
    if args.picture is not None:
        from vvf.calibration.intrinsics_picture import draw

        draw(result, views).save(args.picture)
        print(f'wrote {args.picture}')
    if args.out is not None:
        write_new(args.out, camera_text(result, name), overwrite=args.overwrite)
        print(f'wrote {args.out}')
    return 0


def _open(args: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[Any, Any]:
    """The pictures, and the node that shows how far it is where one is needed."""
    from vvf.calibration.board import parse_size
    from vvf.calibration.pictures import open_recorded

    if not (math.isfinite(args.fps) and args.fps >= 0):
        raise UserError('--fps must be 0 or more.')
    path = Path(args.source)
    device = args.source.startswith('/dev/') or (args.source.isdigit() and not path.exists())
    topic = not device and not path.exists() and _TOPIC.fullmatch(args.source)
    if not device and not topic:
        return open_recorded(path, args.fps, args.topic, args.camera), None
    from vvf.calibration.live import CaptureNode, DevicePictures, open_device

    if device:
        width, height = parse_size(args.size, '--size', most=16384)
        source = open_device(args.source, width, height, args.rate)
        stack.callback(source.close)
    node = None
    if topic or args.preview_topic:
        node = stack.enter_context(CaptureNode(args.preview_topic))
    if device:
        return DevicePictures(source, args.source), node
    assert node is not None
    return node.take(args.source), node


def _keep(args: argparse.Namespace, name: str, *, live: bool) -> Path | None:
    keep: Path | None = args.keep
    if keep is None:
        return Path('runs/calibration', name, f'{datetime.now():%Y%m%d-%H%M%S}') if live else None
    if keep.exists() and not (keep.is_dir() and not any(keep.iterdir())):
        raise UserError(f'{keep} is there already: give --keep a folder that is new or empty.')
    return keep


def _fill(args: argparse.Namespace, pictures: Any, views: Any, node: Any) -> None:
    """Look at the pictures, until there are no more, or enough, or Ctrl-C."""
    from vvf.calibration.capture import Chooser
    from vvf.calibration.capture_watch import Watch
    from vvf.calibration.pictures import Folder

    with Watch(views, live=pictures.live, preview=args.preview, node=node) as watch:
        try:
            if isinstance(pictures, Folder):
                for verdict in views.find_all(watch.counted(pictures, len(pictures.files))):
                    watch.show(None, verdict)
                return
            chooser = Chooser(views, args.max_speed)
            for picture in watch.counted(pictures):
                watch.show(picture, chooser.offer(picture) if picture else None)
                if pictures.live and views.complete:
                    return
        except KeyboardInterrupt:
            if not views.views:
                raise
            print('stopped: calibrating with what is there', file=sys.stderr)
