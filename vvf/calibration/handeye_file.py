# SPDX-License-Identifier: Apache-2.0
"""The result of hand-eye calibration at rest: a YAML that says what it is and where it is from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import yaml

from vvf import __version__
from vvf.calibration.camera_file import write_new
from vvf.calibration.handeye import HandEye
from vvf.calibration.handeye_methods import SETUPS, Setup
from vvf.calibration.poses import plain_pose, pose_from
from vvf.errors import UserError

Poses = npt.NDArray[np.float64]

_HEAD = """\
# Where a camera is: the pose of child_frame (optical: z forward, x right, y down) in parent_frame.
# Written by `vvf calibrate handeye`. Publish it with:
#   {command}
"""


@dataclass(frozen=True)
class CameraPlace:
    """Where a camera is.

    Attributes:
        setup: `eye-to-hand`: in the base; `eye-in-hand`: in the gripper.
        parent_frame: name of the base's or the gripper's frame.
        child_frame: name of the camera's optical frame.
        pose: (4, 4), m.
        board: (4, 4) of the board that was used, in the gripper (eye-to-hand) or in the base; None
            where it is not known.
    """

    setup: Setup
    parent_frame: str
    child_frame: str
    pose: Poses
    board: Poses | None = None

    def base_to_camera(self, tip: Poses) -> Poses:
        """Pose (4, 4) of the base in the camera's frame, for a tip (4, 4) in the base."""
        camera = self.pose if self.setup == 'eye-to-hand' else tip @ self.pose
        return np.asarray(np.linalg.inv(camera))

    def publish_command(self) -> str:
        """The command that publishes it on /tf_static."""
        pose = plain_pose(self.pose)
        numbers = [*pose['translation_m'], *pose['rotation_xyzw']]
        flags = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw')
        words = [f'--{flag} {number:.6f}' for flag, number in zip(flags, numbers, strict=True)]
        words += [
            f'--frame-id {shlex.quote(self.parent_frame)}',
            f'--child-frame-id {shlex.quote(self.child_frame)}',
        ]
        return ' '.join(['ros2 run tf2_ros static_transform_publisher', *words])


def place_of(result: HandEye, parent_frame: str, child_frame: str) -> CameraPlace:
    """What the chosen method found."""
    return CameraPlace(
        result.setup, parent_frame, child_frame, result.best.pose, board=result.board
    )


def write_place(
    path: Path, place: CameraPlace, result: HandEye, source: Mapping[str, str], *, overwrite: bool
) -> None:
    """Write the YAML.

    Args:
        path: of the file.
        place: where the camera is.
        result: how that was found.
        source: what it was found in; without dates, so that the same data give the same file.
        overwrite: whether there may be such a file already.

    Raises:
        UserError: There is one, and it is not to be overwritten.
    """
    best = result.best
    content = {
        'setup': place.setup,
        'parent_frame': place.parent_frame,
        'child_frame': place.child_frame,
        **plain_pose(place.pose),
        'method': result.chosen,
        'residual_mm': round(best.residuals.rms_mm, 4),
        'residual_deg': round(best.residuals.rms_deg, 5),
        'uncertainty_mm': round(result.uncertainty_mm, 4),
        'uncertainty_deg': round(result.uncertainty_deg, 5),
        'poses_used': int(result.used.sum()),
        'poses_left_out': [rejected.name for rejected in result.rejected],
        'board': plain_pose(result.board),
        'source': {**source, 'vvf': __version__},
    }
    text = yaml.safe_dump(content, sort_keys=False, width=1 << 16, default_flow_style=None)
    head = _HEAD.format(command=place.publish_command())
    write_new(path, head + text, overwrite=overwrite)


def read_place(path: str | Path) -> CameraPlace:
    """Read such a YAML.

    Raises:
        UserError: It cannot be read, or an entry is missing or wrong.
    """
    try:
        data: Any = yaml.safe_load(Path(path).read_text('utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f'{path} cannot be read: give what `vvf calibrate handeye` wrote.'
        ) from error
    if not isinstance(data, dict) or data.get('setup') not in SETUPS:
        raise UserError(f'{path} is no hand-eye result: setup has to be {" or ".join(SETUPS)}.')
    board = data.get('board')
    return CameraPlace(
        cast(Setup, data['setup']),
        str(data.get('parent_frame', '')),
        str(data.get('child_frame', '')),
        pose_from(data, str(path)),
        pose_from(board, f'{path}, board') if isinstance(board, dict) else None,
    )
