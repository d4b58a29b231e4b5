# SPDX-License-Identifier: Apache-2.0
"""Pairs of poses for hand-eye calibration: where the gripper was, and where the camera saw a board.

Two layouts of JSON are read. MoveIt's is a list of pairs of matrices, `[[4x4, 4x4], ...]`: the
gripper in the base, the board in the camera. Ours names them, and may name their frames::

    {"gripper_frame": "hand",
     "poses": [{"gripper_in_base": {"translation_m": [x, y, z], "rotation_xyzw": [x, y, z, w],
                                    "frame": "base_link"},
                "board_in_camera": {..., "frame": "camera_optical_frame"}}, ...]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from vvf.calibration.camera_file import write_new
from vvf.errors import UserError

Poses = npt.NDArray[np.float64]

_KINDS = ('gripper_in_base', 'board_in_camera')
# Poses are written with six digits or more; what is farther off is no rotation.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class PosePairs:
    """What was measured.

    Attributes:
        gripper: (N, 4, 4) gripper in the base frame, metres.
        board: (N, 4, 4) board in the camera's optical frame, metres.
        names: (N,) how each pair is called in messages.
        base_frame: name of the base frame; empty where it was not said.
        gripper_frame: name of the gripper's frame; empty where it was not said.
        camera_frame: name of the camera's frame; empty where it was not said.
    """

    gripper: Poses
    board: Poses
    names: tuple[str, ...]
    base_frame: str = ''
    gripper_frame: str = ''
    camera_frame: str = ''

    def __len__(self) -> int:
        return len(self.names)


def read_poses(path: str | Path) -> PosePairs:
    """Read a JSON file of pairs.

    Raises:
        UserError: It cannot be read, has another layout, a number is not finite, a rotation is
            none, or the poses are of several frames.
    """
    try:
        data = json.loads(Path(path).read_text('utf-8'))
    except OSError as error:
        raise UserError(
            f'{path} cannot be read: {error.strerror}; give a JSON of poses.'
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        line = getattr(error, 'lineno', None)
        at = f' at line {line}' if line else ''
        raise UserError(f'{path} is not valid JSON{at}; correct it there.') from error
    entries = data.get('poses') if isinstance(data, Mapping) else data
    if not isinstance(entries, list):
        raise UserError(
            f'{path} holds no list of poses: give [[4x4, 4x4], ...], or "poses" with '
            f'{" and ".join(_KINDS)}.'
        )
    found: dict[str, list[Poses]] = {kind: [] for kind in _KINDS}
    frames: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    for number, entry in enumerate(entries, 1):
        for kind, part in zip(_KINDS, _parts(entry, f'{path}, pose {number}'), strict=True):
            found[kind].append(_pose(part, f'{path}, pose {number}, {kind}'))
            if isinstance(part, Mapping):
                frames[kind].add(str(part.get('frame', '')))
    for kind, given in frames.items():
        if len(given) > 1:
            listed = ' and '.join(repr(name) for name in sorted(given))
            raise UserError(
                f'{path}: {kind} is given in the frames {listed}; give all poses in one frame.'
            )
    base, camera = (next(iter(frames[kind]), '') for kind in _KINDS)
    hand = str(data.get('gripper_frame', '')) if isinstance(data, Mapping) else ''
    gripper, board = (np.reshape(found[kind], (-1, 4, 4)) for kind in _KINDS)
    names = tuple(map(str, range(1, len(entries) + 1)))
    return PosePairs(gripper, board, names, base, hand, camera)


def write_poses(path: str | Path, pairs: PosePairs, *, overwrite: bool = False) -> None:
    """Write pairs as the JSON that `read_poses` reads; it is there whole or not at all.

    Raises:
        UserError: There is such a file already, and it is not to be overwritten.
    """
    both = (pairs.gripper, pairs.base_frame), (pairs.board, pairs.camera_frame)
    poses = [
        {
            kind: {**plain_pose(poses[i]), 'frame': frame}
            for kind, (poses, frame) in zip(_KINDS, both, strict=True)
        }
        for i in range(len(pairs))
    ]
    content = {'gripper_frame': pairs.gripper_frame, 'poses': poses}
    write_new(Path(path), json.dumps(content, indent=1) + '\n', overwrite=overwrite)


def plain_pose(pose: Poses) -> dict[str, list[float]]:
    """A pose (4, 4) as `translation_m` and `rotation_xyzw`."""
    quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat(canonical=True)
    return {
        'translation_m': [float(x) for x in pose[:3, 3]],
        'rotation_xyzw': [float(x) for x in quaternion],
    }


def pose_from(data: Any, where: str) -> Poses:
    """A pose (4, 4) out of `translation_m` and `rotation_xyzw`.

    Raises:
        UserError: A number is missing or not finite, or the quaternion is not of unit length.
    """
    translation, quaternion = (
        _numbers(data.get(key), shape, f'{where}: {key}')
        for key, shape in (('translation_m', (3,)), ('rotation_xyzw', (4,)))
    )
    length = float(np.linalg.norm(quaternion))
    if abs(length - 1) > _TOLERANCE:
        raise UserError(
            f'{where}: rotation_xyzw has length {length:.4g} and has to be a unit quaternion.'
        )
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    pose[:3, 3] = translation
    return pose


def _parts(entry: Any, where: str) -> Sequence[Any]:
    if isinstance(entry, Mapping) and all(kind in entry for kind in _KINDS):
        return [entry[kind] for kind in _KINDS]
    if isinstance(entry, list) and len(entry) == 2:
        return entry
    raise UserError(f'{where} is no pair: give {" and ".join(_KINDS)}, or two 4x4 matrices.')


def _pose(part: Any, where: str) -> Poses:
    if isinstance(part, Mapping):
        return pose_from(part, where)
    pose = _numbers(part, (4, 4), where)
    rotation = pose[:3, :3]
    proper = np.abs(rotation @ rotation.T - np.eye(3)).max() < _TOLERANCE
    if not (proper and np.linalg.det(rotation) > 0 and np.allclose(pose[3], [0, 0, 0, 1])):
        raise UserError(f'{where} is no pose: its upper left 3x3 has to be a rotation matrix.')
    # What was rounded in the file would be taken for noise of the rotation.
    pose[:3, :3] = Rotation.from_matrix(rotation).as_matrix()
    return pose


def _numbers(data: Any, shape: tuple[int, ...], where: str) -> Poses:
    try:
        numbers = np.array(data, np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise UserError(f'{where} needs {"x".join(map(str, shape))} finite numbers.')
    return numbers
