# SPDX-License-Identifier: Apache-2.0
"""Pose pairs out of images of a board and the arm's joints; images of a folder."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vvf.calibration.board import Board
from vvf.calibration.lens import Lens
from vvf.calibration.poses import PosePairs
from vvf.calibration.poses_camera import board_in_camera, check_size
from vvf.calibration.poses_robot import Robot, need_angles
from vvf.errors import UserError
from vvf.images import ImageError, decode

RgbImage = npt.NDArray[np.uint8]
Angles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """One posture: its name, joint angles (n,) in rad, and its image, or images to be tried."""

    name: str
    q: Angles
    images: Callable[[], Iterator[RgbImage]]


def pairs_of(
    views: Sequence[View],
    robot: Robot,
    board: Board,
    lens: Lens,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[PosePairs, list[str]]:
    """Pose pairs of the views that show the board, and the names of those that do not.

    Raises:
        UserError: An image has another size than the intrinsics, or no image shows the board.
    """
    gripper, seen, names, blind = [], [], [], []
    for done, view in enumerate(views, 1):
        found = None
        for image in view.images():
            check_size(image, lens, f'the image of pose {view.name}')
            found = board.find(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
            if found is not None:
                break
        if found is None:
            blind.append(view.name)
        else:
            gripper.append(robot.tip(view.q))
            seen.append(board_in_camera(board, found, lens)[0])
            names.append(view.name)
        progress(done)
    if not names:
        raise UserError(f'no image shows the {board}: give its true size, or other images.')
    frames = robot.base_frame, robot.tip_frame
    return PosePairs(np.stack(gripper), np.stack(seen), tuple(names), *frames), blind


def views_of_folder(folder: Path, table: Path, robot: Robot) -> list[View]:
    """Images of a folder, with their joints from a table.

    Args:
        folder: of PNG or JPEG files.
        table: CSV whose first column `image` has file names, and whose others have the angles, in
            rad, of the joints that they are named after.
        robot: whose joints they are.

    Raises:
        UserError: The table cannot be read, or an image is missing.
    """
    try:
        with table.open(newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{table} cannot be read: give a CSV of joint angles.') from error
    views = []
    for number, row in enumerate(rows, 2):
        name = (row.pop('image', '') or '').strip()
        path = folder / name
        if not name or not path.is_file():
            raise UserError(
                f'{table}, line {number}: there is no image {name!r} in {folder}; the column '
                '"image" has the names of its files.'
            )
        try:
            angles = {joint: float(value) for joint, value in row.items() if joint and value}
        except (TypeError, ValueError) as error:
            raise UserError(f'{table}, line {number}: an angle is no number.') from error
        q = need_angles(robot.angles([*angles], [*angles.values()]), robot.arm, str(table))
        views.append(View(name, q, partial(_one_image, path)))
    return views


def read_image(path: Path) -> RgbImage:
    """An RGB image (H, W, 3) of a PNG or JPEG file.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return decode(path.read_bytes(), path.suffix)
    except (OSError, ImageError) as error:
        raise UserError(f'{path} cannot be read: give a PNG or a JPEG.') from error


def _one_image(path: Path) -> Iterator[RgbImage]:
    yield read_image(path)
