# SPDX-License-Identifier: Apache-2.0
import json
import math
from pathlib import Path

import numpy as np
import pytest

from vvf_sim.mj import mujoco
from vvf_sim.robots import widowx
from vvf_sim.robots.kinematics import pose_to_vector
from vvf_sim.rotations import rotation_exp, rotation_log

FK_CASES = Path(__file__).with_name('fk_cases.json')
# Poses that a gripper over the table is in.
LOW = np.array([-1.0, -1.0, -0.5, -0.5, 0.8, -1.5])
HIGH = np.array([1.0, 0.5, 1.0, 0.5, 2.0, 1.5])


def pose_difference(a, b):
    return np.linalg.norm(a[:3, 3] - b[:3, 3]), np.linalg.norm(
        rotation_log(a[:3, :3].T @ b[:3, :3])
    )


def test_forward_equals_the_published_kinematics():
    cases = json.loads(FK_CASES.read_text())['wx250s']
    assert len(cases) == 8
    for case in cases:
        pose = widowx.WX250S.kinematics().forward(np.array(case['q']))
        np.testing.assert_allclose(pose[:3], case['pose'], atol=1e-9)


def test_forward_at_zero_is_the_published_home_pose():
    pose = widowx.WX250S.kinematics().forward(np.zeros(6))
    np.testing.assert_allclose(pose[:3, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [0.458325, 0.0, 0.36065], atol=1e-12)


def test_forward_equals_the_simulated_arm():
    model = mujoco.MjModel.from_xml_string(widowx.WX250S.mjcf)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for _ in range(20):
        q = rng.uniform(widowx.JOINT_LOWER, widowx.JOINT_UPPER)
        data.qpos[:6] = q
        mujoco.mj_forward(model, data)
        pose = widowx.WX250S.kinematics().forward(q)
        np.testing.assert_allclose(data.site('ee').xpos, pose[:3, 3], atol=1e-6)
        np.testing.assert_allclose(data.site('ee').xmat.reshape(3, 3), pose[:3, :3], atol=1e-6)


def test_limits_of_the_simulated_arm_are_the_published_ones():
    model = mujoco.MjModel.from_xml_string(widowx.WX250S.mjcf)
    for index, name in enumerate(widowx.JOINT_NAMES):
        expected = [widowx.JOINT_LOWER[index], widowx.JOINT_UPPER[index]]
        np.testing.assert_allclose(model.joint(name).range, expected, atol=1e-7)
    np.testing.assert_allclose(model.joint('left_finger').range, widowx.FINGER_RANGE)
    assert math.isclose(widowx.JOINT_LOWER[1], -math.radians(108))
    assert math.isclose(widowx.JOINT_UPPER[4], math.radians(123))


def test_jacobian_is_the_derivative_of_forward():
    kinematics = widowx.WX250S.kinematics()
    q = np.array([0.3, -0.5, 0.4, 0.2, 1.2, -0.7])
    step = 1e-6
    numeric = np.zeros((6, 6))
    for i, unit in enumerate(np.eye(6) * step):
        after, before = kinematics.forward(q + unit), kinematics.forward(q - unit)
        numeric[:3, i] = (after - before)[:3, 3]
        numeric[3:, i] = rotation_log(after[:3, :3] @ before[:3, :3].T)
    np.testing.assert_allclose(kinematics.jacobian(q), numeric / (2 * step), atol=1e-8)


def test_inverse_reaches_what_is_reachable():
    kinematics = widowx.WX250S.kinematics()
    rng = np.random.default_rng(1)
    for _ in range(100):
        pose = kinematics.forward(rng.uniform(LOW, HIGH))
        guess = np.clip(rng.uniform(LOW, HIGH), LOW, HIGH)
        near = kinematics.inverse(pose, guess)
        metres, radians = pose_difference(pose, kinematics.forward(near.q))
        assert metres == pytest.approx(near.position_error, abs=1e-9)
        if near.converged:
            assert metres < 1e-5
            assert radians < 1e-4


def test_inverse_from_a_near_guess_always_converges():
    kinematics = widowx.WX250S.kinematics()
    rng = np.random.default_rng(2)
    for _ in range(200):
        q = rng.uniform(LOW, HIGH)
        assert kinematics.inverse(kinematics.forward(q), q + rng.normal(0, 0.1, 6)).converged


def test_inverse_respects_limits_and_admits_what_it_cannot_reach():
    kinematics = widowx.WX250S.kinematics()
    pose = kinematics.forward(np.zeros(6))
    pose[:3, 3] = [0.9, 0.0, 0.3]
    found = kinematics.inverse(pose, np.zeros(6))
    assert not found.converged
    assert found.position_error > 0.1
    assert (found.q >= widowx.JOINT_LOWER).all()
    assert (found.q <= widowx.JOINT_UPPER).all()


@pytest.mark.parametrize('bad', [np.full((4, 4), np.nan), np.eye(3)])
def test_inverse_refuses_bad_poses(bad):
    with pytest.raises(ValueError, match=r'finite|expected'):
        widowx.WX250S.kinematics().inverse(bad, np.zeros(6))


@pytest.mark.parametrize('angle', [0.0, 1e-10, 0.5, 3.1, math.pi])
def test_rotation_vectors_round_trip(angle):
    axis = np.array([0.6, -0.48, 0.64])
    back = rotation_log(rotation_exp(axis * angle))
    np.testing.assert_allclose(rotation_exp(back), rotation_exp(axis * angle), atol=1e-7)
    assert np.linalg.norm(back) == pytest.approx(angle, abs=1e-6)


def test_pose_vector_holds_two_columns():
    pose = widowx.WX250S.kinematics().forward(np.array([0.3, -0.5, 0.4, 0.2, 1.2, -0.7]))
    vector = pose_to_vector(pose)
    np.testing.assert_array_equal(vector, [*pose[:3, 3], *pose[:3, 0], *pose[:3, 1]])
