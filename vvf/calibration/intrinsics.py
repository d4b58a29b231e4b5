# SPDX-License-Identifier: Apache-2.0
"""A camera's intrinsics from views of a board: outliers left out, and what can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vvf.calibration.board import Board, Detection
from vvf.calibration.lens import Array, Fit, Points, fit_lens
from vvf.errors import UserError

MIN_VIEWS = 3
# A view is left out whose residual lies this far above the others', in robust deviations and as a
# multiple: few views agree by chance to a hundredth of a pixel, and then any other looks far off.
_DEVIATIONS = 5.0
_MULTIPLE = 2.0
_NEGLIGIBLE_PX = 0.3
_MOST_REJECTED = 0.3


@dataclass(frozen=True)
class View:
    """A board in one image.

    Attributes:
        name: of the image.
        detection: its corners.
    """

    name: str
    detection: Detection


@dataclass(frozen=True)
class ViewFit:
    """How well a view agrees with the result.

    Attributes:
        view: see there.
        rms_px: root mean square of the distances between corners seen and reprojected.
        used: whether the result rests on it.
        residuals: (N, 2) seen minus reprojected, pixels; empty where the view was not used.
    """

    view: View
    rms_px: float
    used: bool
    residuals: Array


@dataclass(frozen=True)
class Intrinsics:
    """A calibrated camera.

    Attributes:
        fit: the lens, and where the board was in the views used, in their order.
        views: every view, those left out, too.
        rms_px: of all corners of the views used.
        deviations: standard deviations of fx, fy, cx, cy and the coefficients, as they follow from
            the residuals if those are independent; infinite where the views do not determine them.
    """

    fit: Fit
    views: tuple[ViewFit, ...]
    rms_px: float
    deviations: Array

    @property
    def used(self) -> list[ViewFit]:
        """The views that the result rests on."""
        return [view for view in self.views if view.used]

    @property
    def rejected(self) -> list[ViewFit]:
        """The views that contradict the others."""
        return [view for view in self.views if not view.used]


def calibrate(
    board: Board, views: Sequence[View], size: tuple[int, int], model: str = 'plumb_bob'
) -> Intrinsics:
    """Fit a lens; views that contradict the others are left out, the worst first.

    Args:
        board: what is seen.
        views: at least three.
        size: width and height of the images.
        model: one of `vvf.calibration.lens.MODELS`.

    Raises:
        UserError: there are too few views, or they do not determine the model.
    """
    if len(views) < MIN_VIEWS:
        raise UserError(
            f'the board is seen in {len(views)} images only, and {MIN_VIEWS} are the least: take '
            '20 with the board at other places, distances and tilts.'
        )
    kept = list(range(len(views)))
    errors_when_left: dict[int, float] = {}
    while True:
        fit = fit_lens(
            [board.corners[views[i].detection.ids] for i in kept],
            [views[i].detection.points for i in kept],
            size,
            model,
        )
        residuals = {i: _residuals(board, views[i], fit, n) for n, i in enumerate(kept)}
        errors = np.array([_rms(residuals[i]) for i in kept])
        worst = int(errors.argmax())
        least = max(MIN_VIEWS, int(np.ceil((1 - _MOST_REJECTED) * len(views))))
        if len(kept) <= least or not _stands_out(errors, worst):
            break
        errors_when_left[kept.pop(worst)] = float(errors[worst])
    parts = tuple(
        ViewFit(view, _rms(residuals[i]), True, residuals[i])
        if i in residuals and i not in errors_when_left
        else ViewFit(view, errors_when_left[i], False, np.zeros((0, 2)))
        for i, view in enumerate(views)
    )
    rms = _rms(np.concatenate([residuals[i] for i in kept]))
    on_board = [board.corners[views[i].detection.ids] for i in kept]
    return Intrinsics(fit, parts, rms, _deviations(fit, on_board, rms))


def _deviations(fit: Fit, on_board: Sequence[Points], rms: float) -> Array:
    """See `Intrinsics`.

    Not those of OpenCV: it drops the directions that the views hardly determine, and so says of a
    focal length that is off by a factor that it is known to a pixel.
    """
    count = 4 + len(fit.lens.distortion)
    known = np.zeros((count, count))  # information about the lens once the poses are unknown
    corners = 0
    for points, turn, shift in zip(on_board, fit.turns, fit.shifts, strict=True):
        by_lens, by_pose = fit.lens.slopes(points, turn, shift)
        basis, _ = np.linalg.qr(by_pose)
        rest = by_lens - basis @ (basis.T @ by_lens)
        known += rest.T @ rest
        corners += len(points)
    free = 2 * corners - 6 * len(on_board) - count
    scale = np.sqrt(np.diag(known))
    if free < 1 or not (scale > 0).all():
        return np.full(count, np.inf)
    values, vectors = np.linalg.eigh(known / np.outer(scale, scale))
    # What is smaller than this is rounding, of either sign: coefficients of the rational model that
    # cancel each other would make a focal length uncertain of which they say nothing.
    rounding = count * np.finfo(float).eps * values[-1]
    spread = (vectors**2 / np.maximum(values, rounding)).sum(1)
    # Two residuals for each corner, whose squares the mean of `rms` adds up.
    return np.asarray(rms * np.sqrt(corners / free * spread) / scale)


def _residuals(board: Board, view: View, fit: Fit, number: int) -> Array:
    points = board.corners[view.detection.ids]
    seen = view.detection.points
    return np.asarray(seen - fit.lens.project(points, fit.turns[number], fit.shifts[number]))


def _rms(residuals: Array) -> float:
    return float(np.sqrt((residuals**2).sum(1).mean()))


def _stands_out(errors: Array, worst: int) -> bool:
    others = np.delete(errors, worst)
    middle = float(np.median(others))
    spread = 1.4826 * float(np.median(np.abs(others - middle)))
    limit = max(middle + _DEVIATIONS * spread, _MULTIPLE * middle, _NEGLIGIBLE_PX)
    return bool(errors[worst] > limit)
