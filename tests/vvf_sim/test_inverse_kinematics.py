# SPDX-License-Identifier: Apache-2.0
"""Any reachable pose is solved from any guess, within limits; near singular ones no joint leaps."""

import numpy as np
import pytest

from vvf_sim.robots.arm import ARMS, arm_model
from vvf_sim.rotations import rotation_log

POSES = 200
every_arm = pytest.mark.parametrize('name', ARMS)


def solved(kinematics, pose, q):
    reached = kinematics.forward(q)
    metres = np.linalg.norm(reached[:3, 3] - pose[:3, 3])
    radians = np.linalg.norm(rotation_log(reached[:3, :3].T @ pose[:3, :3]))
    inside = (q >= kinematics.lower).all() and (q <= kinematics.upper).all()
    return inside and metres < 1e-3 and radians < np.deg2rad(0.5)


@every_arm
@pytest.mark.parametrize('guess', ['home', 'random'])
def test_200_random_reachable_poses_are_all_solved(name, guess):
    arm = arm_model(name)
    kinematics = arm.kinematics()
    rng = np.random.default_rng(0)
    count = 0
    for _ in range(POSES):
        pose = kinematics.forward(rng.uniform(arm.lower, arm.upper))
        start = arm.home if guess == 'home' else rng.uniform(arm.lower, arm.upper)
        found = kinematics.reach(pose, start)
        assert found.converged
        count += solved(kinematics, pose, found.q)
    assert count == POSES


@every_arm
def test_narrower_limits_are_kept(name):
    arm = arm_model(name)
    middle = (arm.lower + arm.upper) / 2
    lower, upper = (0.6 * limit + 0.4 * middle for limit in (arm.lower, arm.upper))
    kinematics = arm.kinematics(lower, upper)
    rng = np.random.default_rng(1)
    for _ in range(50):
        pose = kinematics.forward(rng.uniform(lower, upper))
        assert solved(kinematics, pose, kinematics.reach(pose, rng.uniform(lower, upper)).q)


@every_arm
def test_the_posture_nearest_to_the_guess_is_taken(name):
    arm = arm_model(name)
    kinematics = arm.kinematics()
    rng = np.random.default_rng(2)
    for _ in range(50):
        q = rng.uniform(arm.lower, arm.upper)
        found = kinematics.reach(kinematics.forward(q), q)
        np.testing.assert_allclose(found.q, q, atol=1e-4)


@pytest.mark.parametrize(
    'q',
    [
        np.zeros(6),  # the wrist is straight: two rolls about one axis
        [0.5, -1.88, 1.6, 0.3, 0.0, -0.3],
        [0.4, 0.3, -1.37336, 0.2, 0.0, 0.1],  # and the arm outstretched
    ],
)
def test_singular_poses_of_the_widowx_are_solved_from_anywhere(q):
    arm = arm_model('wx250s')
    kinematics = arm.kinematics()
    pose = kinematics.forward(np.array(q))
    rng = np.random.default_rng(3)
    for _ in range(20):
        assert solved(kinematics, pose, kinematics.reach(pose, rng.uniform(arm.lower, arm.upper)).q)


@pytest.mark.parametrize('name', ['fer', 'fr3'])
def test_singular_poses_of_the_frankas_are_solved_from_anywhere(name):
    arm = arm_model(name)
    kinematics = arm.kinematics()
    # Axes 1 and 3 in line; 5 and 7 in line, too; the elbow at its stop.
    for q in ([0, 0, 0, -1.5, 0, 1.6, 0], [0.3, 0, 0.2, -1.8, 0, 0.6, 0.4], [0.3] * 3 + [-0.16]):
        posture = np.clip(np.append(q, [0.4, 2.0, 0.1])[:7], arm.lower, arm.upper)
        pose = kinematics.forward(posture)
        rng = np.random.default_rng(4)
        for _ in range(20):
            guess = rng.uniform(arm.lower, arm.upper)
            assert solved(kinematics, pose, kinematics.reach(pose, guess).q)


@every_arm
def test_following_a_path_through_a_singularity_makes_no_joint_leap(name):
    """A damped step follows the tip as far as it goes without joints that race."""
    arm = arm_model(name)
    kinematics = arm.kinematics()
    singular = np.zeros(6) if name == 'wx250s' else np.array([0, 0, 0, -1.5, 0, 1.6, 0.0])
    pose = kinematics.forward(singular)
    q = kinematics.reach(pose, arm.home).q
    for sideways in np.linspace(-0.05, 0.05, 101):
        wanted = pose.copy()
        wanted[1, 3] += sideways
        found = kinematics.inverse(wanted, q, max_iterations=1)
        assert np.abs(found.q - q).max() <= 0.4 + 1e-9
        assert (found.q >= arm.lower).all()
        assert (found.q <= arm.upper).all()
        q = found.q


@every_arm
def test_what_is_out_of_reach_is_admitted(name):
    arm = arm_model(name)
    kinematics = arm.kinematics()
    pose = kinematics.forward(arm.home)
    pose[:3, 3] = [1.5, 0.2, 0.3]
    found = kinematics.reach(pose, arm.home)
    assert not found.converged
    assert found.position_error > 0.1
    assert (found.q >= arm.lower).all()
    assert (found.q <= arm.upper).all()
    with pytest.raises(ValueError, match='finite'):
        kinematics.reach(np.full((4, 4), np.nan), arm.home)
