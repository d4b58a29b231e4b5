# SPDX-License-Identifier: Apache-2.0
"""Every arm: its model is what its description says, it follows, and it holds what it grasps."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from vvf_sim.controllers import RAMP_FRACTION, CartesianTarget, JointRamp
from vvf_sim.errors import UserError
from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ARMS, arm_model, arm_spec
from vvf_sim.rotations import rotation_z

ROBOTS = Path(__file__).resolve().parents[2] / 'config' / 'robots'
STEP_S = 0.2
TICK_S = 0.02

every = pytest.mark.parametrize('name', ARMS)

PHYSICS = """
<mujoco>
  <option timestep="0.004" integrator="implicitfast" cone="elliptic" impratio="10"/>
</mujoco>
"""
TABLE = """
<mujoco>
  <default>
    <geom condim="6" friction="1 .02 .002" solref=".01 1" solimp=".95 .99 .001 .5 2"
          density="400" contype="2" conaffinity="3"/>
  </default>
  <worldbody>
    <geom name="table" type="box" size=".45 .5 .02" pos=".3 0 -.02"/>
    {bodies}
  </worldbody>
</mujoco>
"""
OBJECT = '<body name="object" pos="{x} {y} {z}"><freejoint/><geom {shape}/></body>'
CUBE = ('type="box" size=".015 .015 .015"', 0.015)
CARROT = ('type="capsule" size=".012 .03" euler="0 90 0"', 0.012)


def single(arm, bodies=''):
    """One arm at its base before a table, and on it bodies, whose names begin with `scene_`."""
    spec = arm_spec(arm)
    spec.worldbody.first_body().pos = arm.base_xyz
    table = mujoco.MjSpec.from_string(TABLE.format(bodies=bodies))
    spec.attach(table, prefix='scene_', frame=spec.worldbody.add_frame())
    model = spec.compile()
    return model, mujoco.MjData(model)


class Follower:
    """One arm over the table, moved by displacements at 5 Hz as worlds and nodes move it."""

    def __init__(self, name, bodies=''):
        self.arm = arm = arm_model(name)
        self.model, self.data = single(arm, bodies)
        names = (*arm.joint_names, arm.finger_name)
        start = np.append(arm.home, arm.finger_range[1])
        for joint, value in zip(names, start, strict=True):
            self.data.joint(joint).qpos = value
        self.data.joint('right_finger').qpos = -start[-1]
        self.drives = [self.model.actuator(n).id for n in (*arm.joint_names, 'gripper')]
        self.target = CartesianTarget(arm)
        self.sent = start

    @property
    def commanded(self):
        """Commanded tip (3,) in the table frame."""
        return self.target.pose[:3, 3] + self.arm.base_xyz

    def act(self, action):
        """One control step; the tip (10, 3) after each 20 ms, in the table frame."""
        goal = self.target.apply(action)
        ramp = JointRamp(self.sent, goal, RAMP_FRACTION * STEP_S, self.arm.velocity_limits)
        tips = []
        for tick in range(1, round(STEP_S / TICK_S) + 1):
            self.sent = ramp.at(tick * TICK_S)
            finger = self.arm.drive_from_finger(self.sent[-1])
            self.data.ctrl[self.drives] = np.append(self.sent[:-1], finger)
            mujoco.mj_step(self.model, self.data, nstep=5)
            tips.append(self.data.site('ee').xpos.copy())
        return np.array(tips)

    def go(self, xyz, yaw, opening, steps):
        """Towards a place of the table frame with a gripper turned by yaw."""
        for _ in range(steps):
            pose = self.target.pose
            turn = yaw - np.arctan2(pose[1, 2], pose[0, 2])
            move = np.clip(np.subtract(xyz, self.commanded), -0.05, 0.05)
            self.act([*move, 0.0, 0.0, np.clip(turn, -0.5, 0.5), opening])


def test_an_unknown_arm_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match='wx250s, fer, fr3'):
        arm_model('puma')


@every
def test_the_model_is_what_the_description_says(name):
    arm = arm_model(name)
    model, data = single(arm)
    n = len(arm.joint_names)
    for array in (arm.lower, arm.upper, arm.home, arm.sleep):
        assert array.shape == (n,)
    assert arm.velocity_limits.shape == (n + 1,)
    for i, joint in enumerate(arm.joint_names):
        np.testing.assert_allclose(
            model.joint(joint).range, [arm.lower[i], arm.upper[i]], atol=1e-7
        )
    assert tuple(model.joint(arm.finger_name).range) == arm.finger_range
    np.testing.assert_allclose(
        model.joint('right_finger').range, -model.joint('left_finger').range[::-1]
    )
    assert [model.actuator(i).name for i in range(model.nu)] == [*arm.joint_names, 'gripper']
    kinematics = arm.kinematics()
    rng = np.random.default_rng(0)
    for _ in range(10):
        q = rng.uniform(arm.lower, arm.upper)
        data.qpos[:n] = q
        mujoco.mj_forward(model, data)
        pose = kinematics.forward(q)
        np.testing.assert_allclose(data.site('ee').xpos - arm.base_xyz, pose[:3, 3], atol=1e-6)
        np.testing.assert_allclose(data.site('ee').xmat.reshape(3, 3), pose[:3, :3], atol=1e-6)


@every
def test_the_fingers_reach_and_open_as_far_as_described(name):
    arm = arm_model(name)
    model, data = single(arm)
    data.joint('left_finger').qpos = arm.finger_range[1]
    data.joint('right_finger').qpos = -arm.finger_range[1]
    mujoco.mj_forward(model, data)
    to_tip = data.site('ee').xmat.reshape(3, 3).T
    size = model.geom('left_pad').size
    left, right = (
        to_tip @ (data.geom(f'{side}_pad').xpos - data.site('ee').xpos)
        for side in ('left', 'right')
    )
    assert left[0] + size[0] == pytest.approx(arm.tip_reach, abs=1e-6)
    assert left[1] - right[1] - 2 * size[1] == pytest.approx(arm.max_opening, abs=1e-6)
    floor = arm.workspace.low[2] + arm.base_xyz[2]
    assert 0.0 < floor - arm.tip_reach < 0.002


@every
def test_home_is_over_the_table_in_the_workspace(name):
    arm = arm_model(name)
    pose = arm.kinematics().forward(arm.home)
    np.testing.assert_array_equal(arm.workspace.clip(pose[:3, 3]), pose[:3, 3])
    assert pose[2, 0] < -0.95


@every
def test_the_robot_file_has_the_same_limits(name):
    arm = arm_model(name)
    file = yaml.safe_load((ROBOTS / f'{name}.yaml').read_text(encoding='utf-8'))
    assert file['name'] == name
    assert tuple(file['joint_names']) == arm.joint_names
    assert file['gripper_name'] == arm.finger_name
    assert (file['gripper_lower'], file['gripper_upper']) == arm.finger_range
    np.testing.assert_allclose(file['lower'], arm.lower, atol=1e-5)
    np.testing.assert_allclose(file['upper'], arm.upper, atol=1e-5)
    limits = [*file['velocity'], file['gripper_velocity']]
    np.testing.assert_allclose(limits, arm.velocity_limits, atol=1e-5)
    np.testing.assert_allclose(file['sleep'], arm.sleep, atol=1e-5)
    assert tuple(file['workspace_lower']) == arm.workspace.low
    assert tuple(file['workspace_upper']) == arm.workspace.high


def test_two_arms_stand_in_one_scene_with_prefixed_names():
    arms = [
        (arm_model('fr3'), 'left_', (0.3, 0.5, 0.0), -np.pi / 2),
        (arm_model('wx250s'), 'right_', (0.3, -0.5, 0.0), np.pi / 2),
    ]
    spec = mujoco.MjSpec.from_string(PHYSICS)
    for arm, prefix, xyz, turn in arms:
        quat = [np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)]
        frame = spec.worldbody.add_frame(pos=xyz, quat=quat)
        spec.attach(arm_spec(arm), prefix=prefix, frame=frame)
    model = spec.compile()
    data = mujoco.MjData(model)
    for arm, prefix, _, _ in arms:
        names = [*arm.joint_names, arm.finger_name]
        drives = [*arm.joint_names, 'gripper']
        home = np.append(arm.home, arm.finger_range[1])
        for joint, drive, value in zip(names, drives, home, strict=True):
            data.joint(prefix + joint).qpos = value
            data.actuator(prefix + drive).ctrl = value
        data.joint(f'{prefix}right_finger').qpos = -home[-1]
    mujoco.mj_step(model, data, nstep=100)
    for arm, prefix, xyz, turn in arms:
        tip = rotation_z(turn) @ arm.kinematics().forward(arm.home)[:3, 3] + xyz
        np.testing.assert_allclose(data.site(f'{prefix}ee').xpos, tip, atol=2e-3)
        assert model.geom(f'{prefix}left_pad').id != model.geom(f'{prefix}right_pad').id


@pytest.mark.parametrize('name', ['fer', 'fr3'])
def test_the_tip_follows_within_millimetres_and_does_not_overshoot(name):
    arm = Follower(name)
    for direction in np.vstack([np.eye(3), -np.eye(3)]):
        before = arm.commanded
        tips = arm.act([*(0.05 * direction), 0.0, 0.0, 0.0, 1.0])
        assert np.linalg.norm(tips[-1] - arm.commanded) < 2e-3
        along = np.vstack([tips, arm.act(np.eye(7)[6])]) - before
        assert (along @ direction).max() < 0.0505
        assert np.linalg.norm(along[-1] - 0.05 * direction) < 5e-4


@pytest.mark.parametrize(
    ('name', 'thing', 'place', 'yaw'),
    [
        ('fer', CUBE, (0.2, -0.2), 0.0),
        ('fr3', CARROT, (0.4, 0.25), 0.0),
        ('wx250s', CUBE, (0.3, 0.1), 0.0),
    ],
    ids=['fer cube', 'fr3 carrot', 'wx250s cube'],
)
def test_what_is_grasped_is_lifted_and_held_by_friction(name, thing, place, yaw):
    shape, rest = thing
    body = OBJECT.format(x=place[0], y=place[1], z=rest, shape=shape)
    arm = Follower(name, body)
    arm.go([*place, 0.1], yaw, 1.0, 10)
    arm.go([*place, 0.0], yaw, 1.0, 4)
    assert arm.commanded[2] == pytest.approx(arm.arm.workspace.low[2], abs=1e-4)
    arm.go(arm.commanded, yaw, 0.0, 4)
    arm.go([*place, 0.2], yaw, 0.0, 10)
    lifted = arm.data.body('scene_object').xpos.copy()
    assert lifted[2] > 0.15
    arm.go(arm.commanded, yaw, 0.0, 15)
    np.testing.assert_allclose(arm.data.body('scene_object').xpos, lifted, atol=3e-3)
    arm.go(arm.commanded, yaw, 1.0, 5)
    assert arm.data.body('scene_object').xpos[2] < 0.05
