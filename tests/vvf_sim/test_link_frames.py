# SPDX-License-Identifier: Apache-2.0
"""The links are where MuJoCo has them."""

import mujoco
import numpy as np
import pytest

from vvf_sim.robots.arm import ARMS, arm_model, arm_spec


@pytest.mark.parametrize('name', ARMS)
def test_frames_are_those_of_the_simulated_bodies(name):
    arm = arm_model(name)
    model = arm_spec(arm).compile()
    data = mujoco.MjData(model)
    joints = [model.joint(joint) for joint in arm.joint_names]
    rng = np.random.default_rng(4)
    for _ in range(20):
        q = rng.uniform(arm.lower, arm.upper)
        data.qpos[[joint.qposadr[0] for joint in joints]] = q
        mujoco.mj_kinematics(model, data)
        frames = arm.kinematics().frames(q)
        for joint, frame in zip(joints, frames, strict=True):
            body = joint.bodyid[0]
            np.testing.assert_allclose(frame[:3, 3], data.xpos[body], atol=1e-9)
            np.testing.assert_allclose(frame[:3, :3].ravel(), data.xmat[body], atol=1e-7)
