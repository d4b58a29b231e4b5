# SPDX-License-Identifier: Apache-2.0
"""Draws the robot into the image where joints, intrinsics and hand-eye result say that it is.

Where the drawing leaves the robot, one of the three is wrong. With the board that was used for the
hand-eye calibration in view, the check gives a number, too.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rich.console import Console

from vvf.cli.calibrate_board import add_board_options, board_of
from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError

if TYPE_CHECKING:
    from vvf.calibration.poses_robot import Robot
    from vvf.calibration.robot_check_run import Checker

_EXAMPLES = """\
examples:
  vvf calibrate check BAG --camera front --intrinsics calibration/table/front.yaml \\
      --handeye calibration/table/front_handeye.yaml --save check.mp4
  vvf calibrate check /front/image_raw --robot wx250s --joint-topic /wx250s/joint_states \\
      --intrinsics front.yaml --handeye front_handeye.yaml      # shows /vvf/calibration/check
  vvf calibrate check photo.png --robot fr3 --joints=-0.5,0.15,0,-2.4,0,2.55,0.785 \\
      --intrinsics front.yaml --handeye front_handeye.yaml --save check.png
"""
_TELL_S = 2.0
_TOPIC = re.compile(r'(/[A-Za-z_][A-Za-z0-9_]*)+')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `vvf calibrate check` takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument('source', metavar='SOURCE',
                        help='a bag, an image, or an image topic of a running graph')  # fmt: skip
    parser.add_argument('--intrinsics', type=Path, required=True, metavar='YAML',
                        help='camera_info of the camera')  # fmt: skip
    parser.add_argument('--handeye', type=Path, required=True, metavar='YAML',
                        help='what `vvf calibrate handeye` wrote')  # fmt: skip
    parser.add_argument('--robot', choices=('wx250s', 'fer', 'fr3'), help="[the bag's]")
    parser.add_argument('--side', choices=('left', 'right'), default='', help='of two arms')
    parser.add_argument('--camera', default='', help='of a bag: its name or its image topic')
    parser.add_argument('--joints', metavar='Q1,Q2,...', help='of an image: joint angles, rad; '
                        'with =, as the first may be negative: --joints=-0.5,0.15,...')  # fmt: skip
    parser.add_argument('--joint-topic', default='', help='[of a bag: the one with the joints; '
                        'live: /joint_states]')  # fmt: skip
    parser.add_argument('--table', type=float, default=0.0, metavar='M',
                        help='height of the table above the base [0]')  # fmt: skip
    parser.add_argument('--at', type=float, metavar='S', help='of a bag: which frame [the middle]')
    parser.add_argument('--save', type=Path, metavar='FILE',
                        help='.png of one frame, or .mp4 of a bag')  # fmt: skip
    add_board_options(parser.add_argument_group('the board of the hand-eye calibration'))
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf calibrate check`."""
    from vvf.bags.reader import is_bag
    from vvf.calibration.handeye_file import read_place
    from vvf.calibration.poses_bag import bag_robot
    from vvf.calibration.poses_camera import read_lens
    from vvf.calibration.poses_robot import robot
    from vvf.calibration.robot_check import RobotPainter
    from vvf.calibration.robot_check_run import Checker

    if not math.isfinite(args.table):
        raise UserError('--table has to be a height in metres.')
    path = Path(args.source)
    live = _TOPIC.fullmatch(args.source) is not None and not path.exists()
    if not live and not path.exists():
        raise UserError(
            f'{args.source} is neither a bag, an image, nor a topic such as /cam/image.'
        )
    bag = not live and (path.is_dir() or is_bag(path))
    if args.save is None and not live:
        raise UserError('say where the picture goes with --save FILE.png (of a bag, also .mp4).')
    suffixes = ('.png', '.mp4') if bag else ('.png',)
    if args.save is not None and args.save.suffix not in suffixes:
        raise UserError(f'--save {args.save}: the name has to end in {" or ".join(suffixes)}.')
    name = args.robot or (bag_robot(path) if bag else '')
    if not name:
        raise UserError('say which arm it is with --robot wx250s, fer or fr3.')
    arm = robot(name, args.side)
    lens, place = read_lens(args.intrinsics), read_place(args.handeye)
    checker = Checker(RobotPainter(arm, lens, place, table_m=args.table), board_of(args))
    if live:
        _run_live(args, arm, checker)
    elif bag:
        _run_bag(args, path, arm, checker)
    else:
        _run_image(args, path, arm, checker)
    _tell(checker)
    write_json(args.json, checker.tally.numbers())
    if args.save is not None:
        print(f'wrote {args.save}')
    return 0


def _run_image(args: argparse.Namespace, path: Path, arm: Robot, checker: Checker) -> None:
    from vvf.calibration.poses_views import read_image

    names = [arm.prefix + name for name in arm.arm.joint_names]
    try:
        angles = [float(word) for word in (args.joints or '').split(',')]
    except ValueError:
        angles = []
    joints = arm.joints(names, angles) if len(angles) == len(names) else None
    if joints is None:
        raise UserError(f'of an image, give {len(names)} angles in rad: --joints=Q1,Q2,...')
    _save(args.save, checker.check(read_image(path), joints, str(path)))


def _run_bag(args: argparse.Namespace, bag: Path, arm: Robot, checker: Checker) -> None:
    from vvf.calibration.robot_check_run import bag_frames, write_video

    frames = bag_frames(bag, args.camera, arm, args.joint_topic)
    if args.save.suffix == '.png':
        time_s, image, joints = _nearest(bag, args, arm, frames)
        canvas = checker.check(image, joints, str(bag))
        if canvas is None:
            raise UserError(f'{bag} has no joints within 0.1 s of the image at {time_s:.1f} s: '
                            'choose another with --at.')  # fmt: skip
        _save(args.save, canvas)
        return
    with progress_bar('frames', Console(stderr=True)) as bar:
        job = bar.add_task('drawing', total=None)
        write_video(
            args.save, frames, checker, str(bag), lambda done: bar.update(job, completed=done)
        )


def _nearest(bag: Path, args: argparse.Namespace, arm: Robot, frames: Iterator[Any]) -> Any:
    """The frame that is asked for."""
    at = args.at
    if at is None:
        from vvf.bags.reader import open_bag

        with open_bag(bag) as reader:
            first, last = reader.span_ns()
        at = (last - first) * 0.5e-9
    best = None
    for frame in frames:
        if best is not None and abs(frame[0] - at) > abs(best[0] - at):
            break
        best = frame
    if best is None:
        raise UserError(f'{bag} has no image that can be read: choose another camera or bag.')
    return best


def _run_live(args: argparse.Namespace, arm: Robot, checker: Checker) -> None:
    from vvf.calibration.robot_check_live import OUTPUT, CheckNode

    if args.save is None:
        print(f'the robot is drawn on {OUTPUT}; Ctrl-C ends')
    told = time.monotonic()
    with CheckNode(arm, args.joint_topic or '/joint_states') as node:
        try:
            for frame in node.frames(args.source):
                if frame is None or not (args.save or node.watched or checker.board):
                    continue
                canvas = checker.check(frame[1], frame[2], args.source)
                if canvas is None:
                    continue
                if args.save is not None:
                    _save(args.save, canvas)
                    return
                node.show(canvas)
                if checker.board and time.monotonic() - told > _TELL_S:
                    told = time.monotonic()
                    _tell(checker)
        except KeyboardInterrupt:
            print()


def _save(path: Path, canvas: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(canvas)).save(path)


def _tell(checker: Checker) -> None:
    tally = checker.tally
    words = f'{tally.frames} frames drawn'
    if tally.without_joints:
        words += f', {tally.without_joints} without joints'
    if checker.board is not None:
        numbers = tally.numbers()
        words += f', the board seen in {len(tally.corner_px)}'
        if tally.corner_px:
            words += (
                f': corners off by {numbers["corner_px"]:.2f} px (at most '
                f'{numbers["corner_px_max"]:.2f}), the board by {numbers["board_off_mm"]:.1f} mm '
                f'and {numbers["board_off_deg"]:.2f} deg'
            )
    print(words)
