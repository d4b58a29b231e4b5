# SPDX-License-Identifier: Apache-2.0
"""The Frankas' kinematics are the vendor's, and their seven joints follow a pose without drift."""

import json
from pathlib import Path

import numpy as np
import pytest

from vvf_sim.robots.arm import arm_model
from vvf_sim.rotations import rotation_exp, rotation_log, rotation_z

FK_CASES = Path(__file__).with_name('fk_cases.json')
# A gripper that points down, its fingers closing sideways.
DOWN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])

both = pytest.mark.parametrize('name', ['fer', 'fr3'])


def down(xyz, yaw=0.0, tilt=(0.0, 0.0, 0.0)):
    pose = np.eye(4)
    pose[:3, :3] = rotation_z(yaw) @ rotation_exp(np.array(tilt)) @ DOWN
    pose[:3, 3] = xyz
    return pose


@both
def test_forward_equals_the_published_kinematics(name):
    cases = json.loads(FK_CASES.read_text())[name]
    assert len(cases) == 8
    kinematics = arm_model(name).kinematics()
    for case in cases:
        flange = np.array(case['pose'])
        hand = flange[:, :3] @ rotation_z(-np.pi / 4)
        tip = kinematics.forward(np.array(case['q']))
        np.testing.assert_allclose(tip[:3, 0], hand[:, 2], atol=1e-9)
        np.testing.assert_allclose(tip[:3, 1], -hand[:, 1], atol=1e-9)
        np.testing.assert_allclose(tip[:3, 2], hand[:, 0], atol=1e-9)
        np.testing.assert_allclose(tip[:3, 3], flange[:, 3] + 0.1034 * hand[:, 2], atol=1e-9)


@both
def test_jacobian_is_the_derivative_of_forward(name):
    kinematics = arm_model(name).kinematics()
    q = np.array([0.3, -0.5, 0.4, -1.9, 0.6, 2.2, -0.7])
    step = 1e-6
    numeric = np.zeros((6, 7))
    for i, unit in enumerate(np.eye(7) * step):
        after, before = kinematics.forward(q + unit), kinematics.forward(q - unit)
        numeric[:3, i] = (after - before)[:3, 3]
        numeric[3:, i] = rotation_log(after[:3, :3] @ before[:3, :3].T)
    np.testing.assert_allclose(kinematics.jacobian(q), numeric / (2 * step), atol=1e-8)


@both
def test_inverse_from_a_near_guess_always_converges(name):
    arm = arm_model(name)
    kinematics = arm.kinematics()
    rng = np.random.default_rng(2)
    for _ in range(200):
        q = rng.uniform(arm.lower, arm.upper)
        found = kinematics.inverse(kinematics.forward(q), q + rng.normal(0, 0.1, 7))
        assert found.converged
        assert (found.q >= arm.lower).all()
        assert (found.q <= arm.upper).all()


@both
def test_inverse_from_home_reaches_the_whole_table(name):
    arm = arm_model(name)
    kinematics = arm.kinematics()
    rng = np.random.default_rng(3)
    for _ in range(200):
        xyz = rng.uniform([0.15, -0.3, arm.tip_reach], [0.45, 0.3, 0.35]) - arm.base_xyz
        pose = down(xyz, rng.uniform(-np.pi / 2, np.pi / 2), rng.uniform(-0.15, 0.15, 3))
        assert kinematics.inverse(pose, arm.home).converged


def test_the_elbow_does_not_drift_on_a_closed_path():
    arm = arm_model('fr3')
    kinematics = arm.kinematics()
    q = first = kinematics.inverse(down([0.55, 0.0, 0.1]), arm.home).q
    for angle in np.linspace(0.0, 10 * 2 * np.pi, 301)[1:]:
        xyz = [0.45 + 0.1 * np.cos(angle), 0.2 * np.sin(angle), 0.1]
        found = kinematics.inverse(down(xyz, 0.8 * np.sin(angle)), q)
        assert found.converged
        assert np.abs(found.q - q).max() < 0.3
        q = found.q
    np.testing.assert_allclose(q, first, atol=0.05)


def test_inverse_pulls_a_swung_out_elbow_in():
    arm = arm_model('fer')
    kinematics = arm.kinematics()
    q = np.array([0.9, 0.2, -1.0, -2.3, 0.1, 2.4, 0.7])
    start = kinematics.forward(q)
    away = np.linalg.norm(q - arm.home)
    for k in range(10):
        pose = start.copy()
        pose[2, 3] += 0.01 * (k % 2)
        q = kinematics.inverse(pose, q).q
    assert np.linalg.norm(q - arm.home) < 0.7 * away


def test_inverse_admits_what_it_cannot_reach():
    arm = arm_model('fer')
    found = arm.kinematics().inverse(down([1.3, 0.0, 0.3]), arm.home)
    assert not found.converged
    assert found.position_error > 0.1
    with pytest.raises(ValueError, match='expected'):
        arm.kinematics().inverse(np.eye(4), np.zeros(6))
