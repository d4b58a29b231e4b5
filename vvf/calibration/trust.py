# SPDX-License-Identifier: Apache-2.0
"""What of a calibration its views do not support, as sentences."""

from __future__ import annotations

import math

import cv2
import numpy as np

from vvf.calibration.coverage import count_cells, uncovered
from vvf.calibration.intrinsics import Intrinsics
from vvf.calibration.lens import Array, Lens
from vvf.errors import UserError

_FEW_VIEWS = 8
_PARALLEL = math.radians(15.0)
_UNSURE = 0.01
_HOPELESS = 0.2
_LARGE_RMS_PX = 1.0
_OFF_CENTRE = 0.1
_ASPECT = 0.05


def warnings(result: Intrinsics) -> list[str]:
    """What should make one doubt a result; empty where nothing does."""
    lens = result.fit.lens
    doubts = []
    used = result.used
    if len(used) < _FEW_VIEWS:
        doubts.append(f'only {len(used)} views: take 15 to 20.')
    if widest_angle(result.fit.turns) < _PARALLEL:
        doubts.append(
            'all views show the board under nearly the same angle, which does not tell the focal '
            'length from the distance: tilt it to all four sides.'
        )
    places = uncovered(count_cells([v.view.detection.points for v in used], lens.size))
    if places:
        doubts.append(
            f'hardly any corner in the {", the ".join(places)} of the image: there the distortion '
            'is a guess.'
        )
    doubts += _about_numbers(result, lens)
    if folds(lens):
        doubts.append(
            'the distortion folds the image back before its corners: do not undistort images with '
            'it; take views whose corners reach into the corners of the image.'
        )
    return doubts


def refuse_hopeless(result: Intrinsics) -> None:
    """Raise UserError for a result that is none: nobody should find it in a file later."""
    part = _unsure(result)
    if part > _HOPELESS:
        raise UserError(
            f'these views leave the focal length open ({100 * part:.0f} %), so nothing is written: '
            'add views with the board tilted to all four sides.'
        )


def _unsure(result: Intrinsics) -> float:
    """The deviation of the focal length as part of it."""
    matrix = result.fit.lens.matrix
    return float(max(result.deviations[0] / matrix[0, 0], result.deviations[1] / matrix[1, 1]))


def _about_numbers(result: Intrinsics, lens: Lens) -> list[str]:
    doubts = []
    (fx, _, cx), (_, fy, cy) = lens.matrix[:2]
    if _unsure(result) > _UNSURE:
        doubts.append(
            f'the focal length is known to {100 * _unsure(result):.1f} % only: take more views, '
            'nearer and more tilted.'
        )
    if result.rms_px > _LARGE_RMS_PX:
        doubts.append(
            f'the residuals are large ({result.rms_px:.1f} px): is the board flat, the image sharp,'
            ' and --model right for this lens?'
        )
    width, height = lens.size
    if abs(cx - width / 2) > _OFF_CENTRE * width or abs(cy - height / 2) > _OFF_CENTRE * height:
        doubts.append(
            f'the centre ({cx:.0f}, {cy:.0f}) is far from the middle of the image: the views do '
            'not determine it, or the images were cropped.'
        )
    if abs(fx / fy - 1) > _ASPECT:
        doubts.append(
            f'fx and fy differ by {100 * abs(fx / fy - 1):.0f} %: cameras have square pixels, so '
            'the board is not square, or the images were stretched.'
        )
    return doubts


def widest_angle(turns: Array) -> float:
    """The widest angle between the boards of two views, radians; turns about the normal aside.

    Args:
        turns: (V, 3) rotation vectors.
    """
    normals = np.array([cv2.Rodrigues(turn)[0][:, 2] for turn in turns])
    return float(np.arccos(np.clip((normals @ normals.T).min(), -1, 1)))


def folds(lens: Lens) -> bool:
    """Whether a lens maps two directions to one pixel, inside the image."""
    if lens.distortion_model == 'equidistant':
        return False
    width, height = lens.size
    fx, fy, cx, cy = lens.matrix[0, 0], lens.matrix[1, 1], lens.matrix[0, 2], lens.matrix[1, 2]
    corner = max(math.hypot((x - cx) / fx, (y - cy) / fy) for x in (0, width) for y in (0, height))
    # Distances from the centre as they are, until the corner of the image is reached.
    radii = np.linspace(0, 3 * corner, 600)
    seen = lens.project(
        np.column_stack([radii, np.zeros_like(radii), np.ones_like(radii)]),
        np.zeros(3),
        np.zeros(3),
    )
    distorted = (seen[:, 0] - cx) / fx
    back = np.flatnonzero(np.diff(distorted) <= 0)
    reached = np.flatnonzero(distorted >= corner)
    return bool(back.size and not (reached.size and reached[0] <= back[0]))
