# SPDX-License-Identifier: Apache-2.0
"""Writes camera_info YAML files as ROS's camera_calibration_parsers writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from vvf.errors import UserError
from vvf.whole_file import write_whole


class _Flow(list[float]):
    """Numbers that are written in one line."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Flow,
    lambda dumper, numbers: dumper.represent_sequence(
        'tag:yaml.org,2002:seq', list(numbers), flow_style=True
    ),
)


def camera_yaml(
    name: str,
    size: tuple[int, int],
    distortion_model: str,
    distortion: Sequence[float],
    camera_matrix: npt.ArrayLike,
    projection: npt.ArrayLike,
) -> str:
    """The text of a camera_info YAML file; its numbers are exact.

    Args:
        name: of the camera.
        size: width and height, pixels.
        distortion_model: plumb_bob, rational_polynomial or equidistant.
        distortion: its coefficients.
        camera_matrix: (3, 3).
        projection: (3, 4), of the rectified image.
    """
    width, height = size
    content = {
        'image_width': int(width),
        'image_height': int(height),
        'camera_name': name,
        'camera_matrix': _matrix(camera_matrix),
        'distortion_model': distortion_model,
        'distortion_coefficients': _matrix(np.reshape(distortion, (1, -1))),
        'rectification_matrix': _matrix(np.eye(3)),
        'projection_matrix': _matrix(projection),
    }
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1 << 16)


def write_new(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a text, whole or not at all, where no file would be lost by it.

    Raises:
        UserError: there is such a file already, and it is not to be overwritten.
    """
    check_free(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise UserError where an earlier file would be lost."""
    if path.is_dir():
        raise UserError(f'{path} is a folder: give the name of a file in it.')
    if path.exists() and not overwrite:
        raise UserError(f'{path} exists: choose another name, or add --overwrite.')


def _matrix(values: npt.ArrayLike) -> dict[str, Any]:
    rows = np.asarray(values, float)
    return {
        'rows': rows.shape[0],
        'cols': rows.shape[1],
        'data': _Flow(float(x) for x in rows.ravel()),
    }
