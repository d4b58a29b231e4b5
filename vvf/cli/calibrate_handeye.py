# SPDX-License-Identifier: Apache-2.0
"""Finds where a camera is: beside the robot (eye-to-hand) or on its gripper (eye-in-hand).

The board is fixed to the gripper (eye-to-hand) or to the table (eye-in-hand). All methods are
compared; poses that do not fit are left out, and poses to be added are named.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from vvf.cli.calibrate_board import add_board_options, board_of
from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError

if TYPE_CHECKING:
    from vvf.calibration.handeye import HandEye
    from vvf.calibration.poses import PosePairs

_EXAMPLES = """\
examples:
  vvf calibrate handeye poses.json --setup eye-to-hand --out calibration/table/front_handeye.yaml
  vvf calibrate handeye --bag BAG --camera wrist --robot wx250s --setup eye-in-hand \\
      --chessboard 9x6 --square 0.025 --intrinsics calibration/table/wrist.yaml
  vvf calibrate handeye --images FOLDER --joints joints.csv --robot fr3 --setup eye-to-hand \\
      --charuco 7x5 --square 0.04 --marker 0.03 --intrinsics calibration/table/front.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `vvf calibrate handeye` takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument('poses', nargs='?', type=Path, metavar='POSES.json',
                        help='pairs of poses: gripper in base, board in camera')  # fmt: skip
    parser.add_argument('--setup', required=True, choices=('eye-to-hand', 'eye-in-hand'),
                        help='camera beside the robot, or on its gripper')  # fmt: skip
    images = parser.add_argument_group('poses out of images')
    images.add_argument('--bag', type=Path, help='a bag in which the arm rests in each pose')
    images.add_argument('--camera', default='', help='of the bag: its name or its image topic')
    images.add_argument('--joint-topic', default='', help='of the bag [the one with the joints]')
    images.add_argument('--images', type=Path, metavar='FOLDER', help='PNG or JPEG files')
    images.add_argument('--joints', type=Path, metavar='CSV',
                        help='of the folder: columns image and joints by name, rad')  # fmt: skip
    images.add_argument('--robot', choices=('wx250s', 'fer', 'fr3'), help="[the bag's]")
    images.add_argument('--side', choices=('left', 'right'), default='', help='of two arms')
    images.add_argument('--intrinsics', type=Path, metavar='YAML', help='camera_info of the camera')
    images.add_argument('--save-poses', type=Path, metavar='FILE', help='write the pairs as JSON')
    add_board_options(images)
    result = parser.add_argument_group('the result')
    result.add_argument('--parent', help='frame of the base or the gripper')
    result.add_argument('--child', help="the camera's optical frame")
    result.add_argument('--out', type=Path, metavar='YAML',
                        help='calibration/RIG/CAMERA_handeye.yaml')  # fmt: skip
    result.add_argument('--overwrite', action='store_true', help='replace earlier files')
    result.add_argument('--picture', type=Path, metavar='PNG', help='residuals and tilts')
    add_json_option(result)  # type: ignore[arg-type]


def run(args: argparse.Namespace) -> int:
    """Run `vvf calibrate handeye`."""
    from vvf.calibration.camera_file import check_free
    from vvf.calibration.handeye import calibrate
    from vvf.calibration.handeye_advice import advise
    from vvf.calibration.handeye_file import place_of, write_place
    from vvf.calibration.handeye_halfturn import from_one_end
    from vvf.calibration.poses import read_poses, write_poses

    for path in (args.out, args.save_poses):
        if path is not None:
            check_free(path, overwrite=args.overwrite)
    if sum(given is not None for given in (args.poses, args.bag, args.images)) != 1:
        raise UserError('give one of POSES.json, --bag and --images.')
    if args.poses is not None:
        pairs = read_poses(args.poses)
        source = {'poses': args.poses.name, 'sha256': _sha256(args.poses)}
    else:
        board = board_of(args)
        if board is None or args.intrinsics is None:
            raise UserError('of images, --intrinsics and --chessboard or --charuco are needed.')
        pairs, robot_name = _read_images(args, board)
        pairs, turned = from_one_end(pairs, board)
        if turned:
            print(f'the board was read from its other end in pose {", ".join(turned)}')
        source = {
            'images': (args.bag or args.images).name,
            'robot': robot_name,
            'board': str(board),
            'intrinsics_sha256': _sha256(args.intrinsics),
        }
    if args.save_poses is not None:  # before they are refused: that is when one looks at them
        write_poses(args.save_poses, pairs, overwrite=args.overwrite)
        print(f'wrote {args.save_poses}')
    result = calibrate(pairs, args.setup)
    place = place_of(result, *_frames(args, pairs))
    advice = advise(pairs, result)
    _print(pairs, result, advice)
    print(f'publish it with:\n  {place.publish_command()}')
    write_json(args.json, {
        **_numbers(result), 'parent_frame': place.parent_frame, 'child_frame': place.child_frame,
        'advice': advice,
    })  # fmt: skip
    if args.picture is not None:
        from vvf.calibration.handeye_picture import save

        save(args.picture, pairs, result)
        print(f'wrote {args.picture}')
    if args.out is not None:
        write_place(args.out, place, result, source, overwrite=args.overwrite)
        print(f'wrote {args.out}')
    return 0


def _read_images(args: argparse.Namespace, board: Any) -> tuple[PosePairs, str]:
    from vvf.calibration.poses_bag import bag_robot, views_of_bag
    from vvf.calibration.poses_camera import read_lens
    from vvf.calibration.poses_robot import robot
    from vvf.calibration.poses_views import pairs_of, views_of_folder

    lens = read_lens(args.intrinsics)
    name = args.robot or (bag_robot(args.bag) if args.bag is not None else '')
    if not name:
        raise UserError('say which arm it is with --robot wx250s, fer or fr3.')
    arm = robot(name, args.side)
    if args.bag is not None:
        views = views_of_bag(args.bag, args.camera, arm, args.joint_topic)
    elif args.joints is None:
        raise UserError('of --images, --joints is needed: a CSV with the columns image and joints.')
    else:
        views = views_of_folder(args.images, args.joints, arm)
    with progress_bar('poses', Console(stderr=True)) as bar:
        job = bar.add_task('looking for the board', total=len(views))
        pairs, blind = pairs_of(
            views, arm, board, lens, lambda done: bar.update(job, completed=done)
        )
    if blind:
        print(f'the board is not seen in {len(blind)} of {len(views)} poses: {", ".join(blind)}')
    return pairs, name


def _frames(args: argparse.Namespace, pairs: PosePairs) -> tuple[str, str]:
    """Names of the parent's and of the camera's frame."""
    in_hand = args.setup == 'eye-in-hand'
    parent = (pairs.gripper_frame if in_hand else pairs.base_frame) or (
        'gripper' if in_hand else 'base_link'
    )
    camera = f'{args.camera.strip("/").split("/")[0]}_optical_frame' if args.camera else ''
    child = pairs.camera_frame or camera or 'camera_optical_frame'
    return args.parent or parent, args.child or child


def _numbers(result: HandEye) -> dict[str, Any]:
    from vvf.calibration.poses import plain_pose

    return {
        'setup': result.setup,
        'chosen': result.chosen,
        'methods': {
            name: {
                **plain_pose(method.pose),
                'residual_mm': method.residuals.rms_mm,
                'residual_deg': method.residuals.rms_deg,
                'held_out_mm': method.held_out_mm,
                'held_out_deg': method.held_out_deg,
            }
            for name, method in result.methods.items()
        },
        'failed': result.failed,
        'uncertainty_mm': result.uncertainty_mm,
        'uncertainty_deg': result.uncertainty_deg,
        'poses': len(result.used),
        'poses_used': int(result.used.sum()),
        'rejected': [
            {'pose': r.name, 'off_mm': r.off_mm, 'off_deg': r.off_deg} for r in result.rejected
        ],
    }


def _print(pairs: PosePairs, result: HandEye, advice: list[str]) -> None:
    console = Console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column('method')
    for title in ('x', 'y', 'z (m)', 'mm', 'deg', 'mm', 'deg'):
        table.add_column(title, justify='right')
    for name, method in result.methods.items():
        fitted, others = method.residuals, (method.held_out_mm, method.held_out_deg)
        table.add_row(
            name,
            *(f'{x:.4f}' for x in method.pose[:3, 3]),
            *(
                f'{x:.3f}' if np.isfinite(x) else '-'
                for x in (fitted.rms_mm, fitted.rms_deg, *others)
            ),
            style='bold' if name == result.chosen else '',
        )
    console.print(table)
    print('mm, deg: how far the board is from its mean, in poses that were fitted, then in others')
    for reason in (*result.failed.values(), *map(str, result.rejected)):
        print(f'  {reason}')
    print(
        f'{result.chosen}: {int(result.used.sum())} of {len(pairs)} poses, uncertainty '
        f'{result.uncertainty_mm:.1f} mm and {result.uncertainty_deg:.2f} deg (one sigma)'
    )
    for sentence in advice:
        print(f'  {sentence}')


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
