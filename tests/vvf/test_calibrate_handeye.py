# SPDX-License-Identifier: Apache-2.0
"""Hand-eye calibration: all methods find a known camera; wrong poses are named and left out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.shared_data import shared_data
from tests.vvf.handeye_poses import BOARD, CAMERA, apart, make_pairs, pose
from vvf.calibration.handeye import calibrate
from vvf.calibration.handeye_advice import advise
from vvf.calibration.handeye_methods import METHODS, SETUPS, motions, refine, solve
from vvf.calibration.handeye_outliers import find_fitting
from vvf.calibration.poses import PosePairs, read_poses
from vvf.errors import UserError

both = pytest.mark.parametrize('setup', SETUPS)


def test_this_opencv_has_the_methods() -> None:
    # The wheels of OpenCV 5 have not: hence the bound in requirements/core.txt.
    assert hasattr(cv2, 'calibrateHandEye')
    assert hasattr(cv2, 'calibrateRobotWorldHandEye')


@both
@pytest.mark.parametrize('method', METHODS)
def test_every_method_finds_the_camera_without_noise(method: str, setup: Any) -> None:
    pairs = make_pairs(12, setup)
    off = apart(solve(method, motions(pairs, setup), pairs.board), CAMERA[setup])
    assert max(off) < 1e-3, off


@both
def test_noise_is_averaged_and_the_board_is_found_too(setup: Any) -> None:
    result = calibrate(make_pairs(30, setup, mm=1.0, deg=0.1), setup)
    assert list(result.methods) == list(METHODS)
    mm, deg = apart(result.best.pose, CAMERA[setup])
    assert mm < 1.5
    assert deg < 0.15
    assert apart(result.board, BOARD[setup])[0] < 1.5
    assert result.best.residuals.rms_mm == pytest.approx(1.0 * np.sqrt(3), rel=0.25)
    assert result.best.held_out_mm > result.best.residuals.rms_mm


def test_the_uncertainty_is_what_the_error_scatters_by() -> None:
    scores = []
    for seed in range(25):
        pairs = make_pairs(12, 'eye-to-hand', mm=2.0, deg=0.2, seed=seed)
        motion = motions(pairs, 'eye-to-hand')
        x, _, covariance, _ = refine(CAMERA['eye-to-hand'], motion, pairs.board)
        error = x[:3, 3] - CAMERA['eye-to-hand'][:3, 3]
        scores.append(error @ np.linalg.solve(covariance[3:6, 3:6], error))
    # Chi-squared with three degrees of freedom has a mean of 3.
    assert 2.0 < np.mean(scores) < 4.5


def test_real_poses_give_the_published_camera_by_every_method() -> None:
    folder = shared_data('handeye_poses')
    expected = json.loads((folder / 'expected.json').read_text())['expected_camera_in_base']
    true = np.eye(4)
    true[:3, :3] = Rotation.from_euler('XYZ', expected['euler_XYZ_rad']).as_matrix()
    true[:3, 3] = expected['t_m']
    result = calibrate(read_poses(folder / 'pose_samples.json'), 'eye-to-hand')
    for name, method in result.methods.items():
        mm, deg = apart(method.pose, true)
        assert mm < 5, name
        assert deg < 0.5, name
    assert result.used.all()


@both
def test_wrong_poses_are_named_and_left_out(setup: Any) -> None:
    pairs = make_pairs(16, setup, mm=0.5, deg=0.05)
    board = pairs.board.copy()
    board[3, :3, 3] += (0.0, 0.03, 0.0)
    board[10] = board[10] @ pose((0, 0, 0), (0, 0, 12))
    board[12] = np.eye(4)
    result = calibrate(replace(pairs, board=board), setup)
    assert [r.name for r in result.rejected] == ['4', '11', '13']
    assert 'pose 4 is left out: it has the board 3' in str(result.rejected[0])
    mm, deg = apart(result.best.pose, CAMERA[setup])
    assert mm < 1.5
    assert deg < 0.15


def test_no_pose_is_left_out_without_a_reason() -> None:
    for seed in range(5):
        pairs = make_pairs(15, 'eye-in-hand', mm=3.0, deg=0.3, seed=seed)
        assert find_fitting(pairs.gripper, pairs.board)[0].all()


@pytest.mark.parametrize('axis', range(3))
def test_the_axis_about_which_nothing_tilts_is_advised_and_helps(axis: int) -> None:
    tilts = [40.0, 40.0, 40.0]
    tilts[axis] = 4.0
    pairs = make_pairs(15, 'eye-in-hand', mm=1.0, deg=0.1, tilts_deg=(*tilts,))  # type: ignore[arg-type]
    result = calibrate(pairs, 'eye-in-hand')
    sentence = advise(pairs, result)[0]
    assert f'about its {"xyz"[axis]} axis by 30 deg or more in at least 3 poses' in sentence
    before, after = (float(word) for word in sentence.split('from ')[1].split()[:3:2])
    assert after < before == pytest.approx(result.uncertainty_mm, abs=0.05)


def test_a_board_with_larger_squares_than_was_said_is_noticed() -> None:
    pairs = make_pairs(20, 'eye-to-hand', mm=1.0, deg=0.1)
    assert advise(pairs, calibrate(pairs, 'eye-to-hand')) == []
    board = pairs.board.copy()
    board[:, :3, 3] /= 1.03
    shrunk = replace(pairs, board=board)
    advice = advise(shrunk, calibrate(shrunk, 'eye-to-hand'))
    assert 'measure the squares' in advice[0]
    percent = float(advice[0].split('they are ')[1].split()[0])
    assert percent == pytest.approx(3.0, abs=0.5)
    assert '% larger than was said' in advice[0]


def test_few_poses_at_one_distance_are_advised_against() -> None:
    pairs = make_pairs(5, 'eye-in-hand', mm=0.1, deg=0.01)
    board = pairs.board
    # The gripper turns about the board, so that its distance stays.
    away = board[:, :3, 3] * (0.3 / np.linalg.norm(board[:, :3, 3], axis=1, keepdims=True) - 1)
    gripper = pairs.gripper.copy()
    camera = gripper @ CAMERA['eye-in-hand']
    gripper[:, :3, 3] -= np.einsum('nij,nj->ni', camera[:, :3, :3], away)
    board = board.copy()
    board[:, :3, 3] += away
    pairs = PosePairs(gripper, board, pairs.names)
    advice = ' '.join(advise(pairs, calibrate(pairs, 'eye-in-hand')))
    assert 'take 15 poses or more: 5 are used' in advice
    assert 'always 0.30 m from it' in advice


def test_what_fits_the_other_setup_only_is_told() -> None:
    pairs = make_pairs(15, 'eye-in-hand', mm=1.0, deg=0.1)
    wrong = advise(pairs, calibrate(pairs, 'eye-to-hand'))[0]
    assert 'they do as --setup eye-in-hand' in wrong
    mixed = replace(pairs, board=pairs.board[::-1])
    assert 'is the board fixed' in advise(mixed, calibrate(mixed, 'eye-in-hand'))[0]


@pytest.mark.parametrize(
    ('tilts', 'count', 'sentence'),
    [
        ((35.0, 35.0, 35.0), 2, 'needs 3 poses at least, better 15, here are 2'),
        ((0.0, 0.0, 0.0), 10, 'does not turn between the poses'),
        ((0.0, 0.0, 60.0), 10, 'turns about one axis only'),
    ],
)
def test_poses_that_say_nothing_are_refused(tilts: Any, count: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        calibrate(make_pairs(count, 'eye-to-hand', tilts_deg=tilts), 'eye-to-hand')


def test_three_poses_are_enough_where_they_differ() -> None:
    result = calibrate(make_pairs(3, 'eye-to-hand'), 'eye-to-hand')
    assert max(apart(result.best.pose, CAMERA['eye-to-hand'])) < 1e-2
