# SPDX-License-Identifier: Apache-2.0
"""Reads camera_info YAML files (the format of camera_calibration_parsers)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vvf.errors import UserError

_MATRICES = {
    'k': ('camera_matrix', 9),
    'r': ('rectification_matrix', 9),
    'p': ('projection_matrix', 12),
}


def camera_info_fields(path: str | Path) -> dict[str, Any]:
    """The fields `width height d k r p distortion_model` of a `sensor_msgs/CameraInfo`.

    Width and height are 0 where the file does not say which images it is for.

    Raises:
        UserError: the file is missing, is no YAML, or a matrix or a side has not its numbers.
    """
    try:
        data = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'calibration {path} cannot be read; give a camera_info YAML.') from error
    if not isinstance(data, dict):
        raise UserError(f'calibration {path} is no camera_info YAML: it has no entries.')
    fields: dict[str, Any] = {'distortion_model': str(data.get('distortion_model', 'plumb_bob'))}
    for field in ('width', 'height'):
        fields[field] = _side(data, f'image_{field}', path)
    for field, (key, length) in _MATRICES.items():
        fields[field] = _numbers(data, key, path, length)
    fields['d'] = _numbers(data, 'distortion_coefficients', path, None)
    return fields


def _side(data: dict[str, Any], key: str, path: str | Path) -> int:
    try:
        side = int(data.get(key, 0))
    except (TypeError, ValueError):
        side = -1
    if side < 0:
        raise UserError(f'calibration {path}: {key} has to be a number of pixels.')
    return side


def _numbers(data: dict[str, Any], key: str, path: str | Path, length: int | None) -> list[float]:
    try:
        numbers = [float(x) for x in data[key]['data']]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'calibration {path}: {key} needs a list of numbers under data.') from error
    if length is not None and len(numbers) != length:
        raise UserError(f'calibration {path}: {key} needs {length} numbers, it has {len(numbers)}.')
    return numbers
