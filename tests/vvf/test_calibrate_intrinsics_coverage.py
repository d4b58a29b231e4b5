# SPDX-License-Identifier: Apache-2.0
"""What views of a board cover, which ones are taken, and what a result is not to be trusted in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.vvf.board_views import Lens, photograph, places
from vvf.calibration.board import Chessboard, Detection
from vvf.calibration.capture import Chooser, Views, blur, moved
from vvf.calibration.coverage import Coverage, look
from vvf.calibration.intrinsics import View, _deviations, calibrate
from vvf.calibration.lens import Fit
from vvf.calibration.lens import Lens as Fitted
from vvf.calibration.pictures import Picture
from vvf.calibration.trust import folds, warnings

BOARD = Chessboard(9, 6, 0.025)
LENS = Lens()
SIZE = (640, 480)
SMALL = Lens(320, 240, 306.0, 304.0, 165.0, 114.0, (-0.2, 0.05, 0.001, 0.0, 0.0))


def seen(turn: tuple[float, ...], centre: tuple[float, ...], noise: float = 0.0) -> Detection:
    """The corners as the lens projects them."""
    rotation = cv2.Rodrigues(np.array(turn, float))[0]
    shift = np.array(centre) - rotation @ BOARD.corners.mean(0)
    points, _ = cv2.projectPoints(
        BOARD.corners, np.array(turn, float), shift, LENS.matrix, np.array(LENS.distortion)
    )
    points = points.reshape(-1, 2) + np.random.default_rng(0).normal(0, noise, (54, 2))
    return Detection(np.arange(54), points.astype(np.float32))


@pytest.mark.parametrize(
    ('turn', 'hint'),
    [
        ((0.0, -0.4, 0.0), 'tilt its right edge away from the camera'),
        ((0.0, 0.4, 0.0), 'tilt its left edge away from the camera'),
        ((0.4, 0.0, 0.0), 'tilt its bottom edge away from the camera'),
        ((-0.4, 0.0, 0.0), 'tilt its top edge away from the camera'),
    ],
)
def test_a_tilt_is_asked_for_until_it_was_seen(turn: tuple[float, ...], hint: str) -> None:
    # That the edge is farther away is told by the pose itself.
    rotated = BOARD.corners @ cv2.Rodrigues(np.array(turn))[0].T
    edge = {'right': 8, 'left': 0, 'bottom': 45, 'top': 0}[hint.split()[2]]
    assert rotated[edge, 2] > rotated[:, 2].mean()
    coverage = Coverage(BOARD, SIZE)
    coverage.add(seen((0.0, 0.0, 0.0), (0.0, 0.0, 0.4)))
    assert hint in coverage.missing()
    coverage.add(seen(turn, (0.0, 0.0, 0.4)))
    assert hint not in coverage.missing()


def test_places_and_distances_that_are_missing_are_named() -> None:
    coverage = Coverage(BOARD, SIZE)
    assert coverage.progress() == dict.fromkeys(('X', 'Y', 'Size', 'Skew'), 0.0)
    coverage.add(seen((0.0, 0.0, 0.0), (-0.3, -0.2, 1.0)))
    first = coverage.missing()
    assert 'to the top and the top right' in first[0]
    assert 'bring it nearer' in first
    for turn, centre in places(20, BOARD, LENS):
        coverage.add(seen(turn, centre))
    assert coverage.missing() == ['move it farther up and down, to the very edge of the image']
    coverage.add(seen((0.0, 0.0, 0.0), (-0.27, -0.22, 0.7)))
    assert coverage.missing() == []
    assert min(coverage.progress().values()) == 1.0


def test_measures_are_those_of_ros() -> None:
    """X, Y, Size and Skew of a board that fills a quarter in the middle, and of one at the left."""
    middle = look(BOARD, seen((0.0, 0.0, 0.0), (0.0, 0.0, 0.4)), SIZE)
    x, y, size, skew = middle.measures
    assert x == pytest.approx(0.5, abs=0.05)
    assert y == pytest.approx(0.5, abs=0.05)
    assert size == pytest.approx(np.sqrt(0.2 * 0.125 / 0.4**2 * 612 * 609 / (640 * 480)), rel=0.05)
    assert skew < 0.05
    border = size * np.sqrt(640 * 480)
    aside = look(BOARD, seen((0.0, 0.0, 0.0), (-0.1, 0.0, 0.4)), SIZE)
    expected = (331 - 612 * 0.1 / 0.4 - border / 2) / (640 - border)
    assert aside.measures[0] == pytest.approx(expected, abs=0.05)
    assert look(BOARD, seen((0.4, -0.4, 0.0), (0.0, 0.0, 0.4)), SIZE).measures[3] > 0.2


def still(image: np.ndarray, chooser: Chooser, at: float) -> list[str]:
    """What is said of a picture that is shown twice."""
    return [chooser.offer(Picture(str(t), image, t)).reason for t in (at, at + 0.1)]


def test_a_view_is_taken_when_it_is_still_sharp_and_new() -> None:
    chooser = Chooser(Views(BOARD))
    middle = photograph(BOARD, SMALL, (0.0, 0.0, 0.0), (0.0, 0.0, 0.4))
    aside = photograph(BOARD, SMALL, (0.0, 0.3, 0.0), (0.06, 0.03, 0.5))
    smeared = cv2.blur(aside, (9, 1))
    nothing = np.full_like(middle, 90)
    assert still(middle, chooser, 0.0) == ['wait', 'view 1 taken']
    assert still(middle, chooser, 1.0) == ['much like view 1'] * 2
    assert still(aside, chooser, 2.0) == ['hold it still', 'view 2 taken']
    assert still(nothing, chooser, 3.0) == ['no board'] * 2
    assert still(aside, chooser, 4.0) == ['wait', 'much like view 2']
    assert still(smeared, chooser, 5.0)[1] == 'blurred'
    assert chooser.offer(Picture('again', middle, 1.0)).reason == 'wait'  # the clock was set back
    assert chooser.views.seen == 11
    assert chooser.views.looked_at == 13


def test_blur_is_measured_in_pixels() -> None:
    image = photograph(BOARD, LENS, (0.2, 0.1, 0.0), (0.0, 0.0, 0.4))[..., 0].copy()
    found = BOARD.find(image)
    assert found is not None
    assert blur(image, found) < 1.0
    assert blur(cv2.GaussianBlur(image, (0, 0), 2.0), found) == pytest.approx(2.1, abs=0.2)
    # Motion along one direction leaves the edges along it sharp.
    assert blur(cv2.blur(image, (9, 1)), found) > 2.0


def test_how_far_a_board_moved_is_told_by_common_corners() -> None:
    a = Detection(np.array([1, 2, 3]), np.zeros((3, 2), np.float32))
    b = Detection(np.array([2, 3, 4]), np.full((3, 2), 3.0, np.float32))
    assert moved(a, b) == pytest.approx(np.sqrt(18))
    assert moved(a, Detection(np.array([7]), np.zeros((1, 2), np.float32))) == float('inf')


def views(poses: list[tuple], noise: float = 0.1) -> list[View]:
    return [View(str(i), seen(*pose, noise)) for i, pose in enumerate(poses)]


def test_good_views_raise_no_doubt() -> None:
    result = calibrate(BOARD, views(places(20, BOARD, LENS)), SIZE)
    assert warnings(result) == []
    assert result.fit.lens.matrix[0, 0] == pytest.approx(LENS.fx, rel=0.003)


def test_views_that_say_too_little_are_told() -> None:
    flat = [((0.0, 0.0, 0.1 * i), (0.02 * i - 0.06, 0.0, 0.5)) for i in range(6)]
    doubts = ' '.join(warnings(calibrate(BOARD, views(flat), SIZE)))
    assert 'only 6 views' in doubts
    assert 'nearly the same angle' in doubts
    assert 'hardly any corner in the top left' in doubts
    assert 'the focal length is known to' in doubts


def test_the_deviations_are_those_of_many_trials() -> None:
    rng = np.random.default_rng(0)
    clean = views(places(12, BOARD, LENS), 0.0)
    trials = []
    for _ in range(25):
        noisy = [
            View(
                v.name, Detection(v.detection.ids, v.detection.points + rng.normal(0, 0.2, (54, 2)))
            )
            for v in clean
        ]
        result = calibrate(BOARD, noisy, SIZE)
        (fx, _, cx), (_, fy, cy) = result.fit.lens.matrix[:2]
        trials.append([fx, fy, cx, cy, *result.fit.lens.distortion])
    assert np.std(trials, axis=0) / result.deviations == pytest.approx(np.ones(9), abs=0.4)


def test_a_focal_length_that_is_unknown_has_no_small_deviation() -> None:
    """OpenCV's own would say 2 pixels of one that is wrong by a factor of nearly four."""
    flat = [((0.0, 0.0, 0.1 * i), (0.02 * i - 0.06, 0.0, 0.5)) for i in range(6)]
    result = calibrate(BOARD, views(flat), SIZE)
    error = abs(result.fit.lens.matrix[0, 0] - LENS.fx)
    assert error > 500
    assert result.deviations[0] > 0.3 * error


def test_coefficients_that_cancel_each_other_leave_the_focal_length_known() -> None:
    """Of the rational model's, one combination changes nothing: its information is rounding."""
    poses = places(14, BOARD, LENS)
    turns = np.array([turn for turn, _ in poses])
    middle = BOARD.corners.mean(0)
    shifts = np.array([np.array(to) - cv2.Rodrigues(np.array(by))[0] @ middle for by, to in poses])
    cancelling = np.array([-1.1, -6.16, 0.0011, -0.0008, -0.994, -0.819, -6.514, -2.67])
    for i in range(12):  # in each the rounding is another one
        lens = Fitted(SIZE, 'rational_polynomial', LENS.matrix, cancelling + 1e-6 * i)
        found = _deviations(Fit(lens, turns, shifts), [BOARD.corners] * len(poses), 0.07)
        assert (found[:4] < 1.0).all()


def test_wrong_residuals_are_told() -> None:
    doubts = warnings(calibrate(BOARD, views(places(20, BOARD, LENS), noise=1.5), SIZE))
    assert any('the residuals are large' in doubt for doubt in doubts)


def test_a_distortion_that_folds_the_image_is_told() -> None:
    good = Fitted(SIZE, 'plumb_bob', LENS.matrix, np.array(LENS.distortion))
    bad = Fitted(SIZE, 'plumb_bob', LENS.matrix, np.array([-0.6, 0.0, 0.0, 0.0, 0.0]))
    assert not folds(good)
    assert folds(bad)
