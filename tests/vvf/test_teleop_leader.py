# SPDX-License-Identifier: Apache-2.0
"""A leader arm: no jump whatever its posture; what is no hand's motion is not repeated."""

from __future__ import annotations

import numpy as np
import pytest

from vvf.safety_limits import load_limits
from vvf.teleop.leader import MAX_LAG_M, MAX_LAG_RAD, Leader
from vvf.teleop.mapping import Side, SpeedLimits
from vvf_sim.robots.arm import arm_model
from vvf_sim.rotations import rotation_log

SPEED = SpeedLimits(np.array([0.25, 0.25, 0.25, 1.5, 1.5, 1.5]), 1.5)
PERIOD = 0.2


class Hand:
    """Moves a leader: a message every 20 ms."""

    def __init__(self, kind: str = 'wx250s', **options: object) -> None:
        self.limits = load_limits(kind)
        self.kinematics = arm_model(kind).kinematics()
        self.leader = Leader(self.limits, self.kinematics, **options)
        self.joints = np.array(arm_model(kind).home)
        self.gripper = self.limits.gripper_upper
        self.now = 100.0

    def send(self, joints: np.ndarray | None = None, age: float = 0.0) -> str:
        self.now += 0.02
        if joints is not None:
            self.joints = np.asarray(joints, np.float64)
        names = [*self.limits.joint_names, self.limits.gripper_name]
        positions = [*self.joints, self.gripper]
        return self.leader.take(names, positions, self.now - age, age, self.now)

    def move(self, joints: np.ndarray, seconds: float = 1.0) -> None:
        begin = self.joints
        for share in np.linspace(0.0, 1.0, round(seconds / 0.02) + 1)[1:]:
            assert self.send(begin + share * (np.asarray(joints) - begin)) == ''


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize(('kind', 'action'), [('fr3', 'ee_delta'), ('wx250s', 'joint_position')])
def test_engaging_moves_nothing_whatever_the_leader_s_posture(
    seed: int, kind: str, action: str
) -> None:
    rng = np.random.default_rng(seed)
    hand = Hand(kind)
    hand.send(rng.uniform(hand.limits.lower, hand.limits.upper))
    side = Side(load_limits('wx250s'), action, SPEED, None, None, hand.leader, kind == 'wx250s')
    measured = np.array(arm_model('wx250s').home)
    side.observe(measured, 0.02)
    assert hand.leader.engage(hand.now)
    before = measured if action == 'joint_position' else np.zeros(6)
    for _ in range(5):
        hand.send()
        np.testing.assert_allclose(side.step(np.zeros(6), 1.0, PERIOD), before, atol=1e-9)


def test_the_robot_ends_up_displaced_as_the_leader_was() -> None:
    hand = Hand('fr3')
    hand.send()
    hand.leader.engage(hand.now)
    begin = hand.kinematics.forward(hand.joints)
    side = Side(load_limits('wx250s'), 'ee_delta', SPEED, None, None, hand.leader)
    hand.move(hand.joints + 0.03, 0.4)
    end = hand.kinematics.forward(hand.joints)
    moved, largest = np.zeros(3), 0.0
    for _ in range(10):
        hand.send()
        step = side.step(np.zeros(6), 1.0, PERIOD)
        moved += step[:3]
        largest = max(largest, float((np.abs(step) / (SPEED.axes * PERIOD)).max()))
    np.testing.assert_allclose(moved, end[:3, 3] - begin[:3, 3], atol=1e-9)
    assert largest <= 1.0 + 1e-9
    np.testing.assert_allclose(hand.leader.displacement(), 0.0, atol=1e-9)
    assert np.linalg.norm(rotation_log(end[:3, :3] @ begin[:3, :3].T)) > 0.01, 'it turned, too'


def test_joints_of_one_kind_are_repeated_one_by_one_within_their_speed() -> None:
    hand = Hand()
    hand.send()
    side = Side(load_limits('wx250s'), 'joint_position', SPEED, None, None, hand.leader, True)
    measured = np.array([0.5, -0.5, 0.5, 0.0, 0.5, 0.0])
    side.observe(measured, 0.02)
    hand.leader.engage(hand.now)
    shift = np.array([0.3, 0.1, -0.2, 0.0, 0.1, 0.35])
    hand.move(hand.joints + shift)
    first = side.step(np.zeros(6), 1.0, PERIOD)
    assert np.abs(first - measured).max() <= 1.5 * PERIOD + 1e-9
    for _ in range(4):
        last = side.step(np.zeros(6), 1.0, PERIOD)
    np.testing.assert_allclose(last, measured + shift, atol=1e-9)


def test_with_a_share_of_nothing_nothing_is_repeated() -> None:
    hand = Hand()
    hand.send()
    hand.leader.engage(hand.now)
    side = Side(load_limits('wx250s'), 'ee_delta', SPEED, None, None, hand.leader)
    hand.move(hand.joints + 0.1)
    np.testing.assert_array_equal(side.step(np.zeros(6), 0.0, PERIOD), np.zeros(6))


def test_a_leader_that_runs_away_slips_instead_of_being_chased() -> None:
    hand = Hand('fr3')
    hand.send()
    hand.leader.engage(hand.now)
    hand.move(hand.joints + 0.5, 2.0)
    lag = hand.leader.displacement()
    assert np.linalg.norm(lag[:3]) <= MAX_LAG_M + 1e-9
    assert np.linalg.norm(lag[3:]) <= MAX_LAG_RAD + 1e-9
    np.testing.assert_allclose(hand.leader.displacement(), lag, atol=1e-9)


def test_a_jump_releases_the_clutch_and_is_not_repeated() -> None:
    hand = Hand()
    hand.send()
    hand.leader.engage(hand.now)
    assert hand.send(hand.joints + np.array([0, 0, 0.4, 0, 0, 0])) == 'the leader jumped'
    assert not hand.leader.engaged
    assert not hand.leader.displacement().any()
    assert hand.send() == '', 'from there it may be engaged again'
    assert hand.leader.engage(hand.now)
    assert not hand.leader.displacement().any()


def test_messages_that_are_taken_together_are_as_far_apart_as_their_stamps() -> None:
    hand = Hand()
    hand.send()
    hand.leader.engage(hand.now)
    names, begin, stamp = [*hand.limits.joint_names], hand.joints, hand.now
    for i in range(1, 6):  # 4 rad/s, 30 messages a second, all after a pause of the taker
        joints = begin + np.array([0.0, 0.0, 0.0, 0.0, 0.0, 4.0 * i / 30])
        age = (5 - i) / 30
        assert hand.leader.take(names, joints, stamp + i / 30, age, hand.now + 5 / 30) == ''
    assert hand.leader.engaged
    joints = joints + np.array([0.0, 0.0, 0.4, 0.0, 0.0, 0.0])
    stamp += 5 / 30 + 0.02
    why = hand.leader.take(names, joints, stamp, 0.0, hand.now + 5 / 30)
    assert why == 'the leader jumped'


def test_a_clock_that_is_set_lets_no_jump_through() -> None:
    hand = Hand()
    hand.send()
    hand.leader.engage(hand.now)
    joints = hand.joints + np.array([0.0, 0.0, 1.8, 0.0, 0.0, 0.0])
    why = hand.leader.take(hand.limits.joint_names, joints, hand.now + 60.0, 0.0, hand.now + 0.02)
    assert why == 'the leader jumped'


def test_silence_releases_the_clutch() -> None:
    hand = Hand()
    hand.send()
    hand.leader.engage(hand.now)
    assert not hand.leader.watch(hand.now + 0.2)
    assert hand.leader.watch(hand.now + 0.3)
    assert not hand.leader.engaged
    assert not hand.leader.engage(hand.now + 0.3)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'positions': [np.nan, 0, 0, 0, 0, 0, 0.02]}, 'no number'),
        ({'positions': [0, 0, 0, 0, 0, 0, np.inf]}, 'no number'),
        ({'positions': [0.0] * 5}, 'or others of its joints'),
        ({'names': list('abcdefg')}, 'or others of its joints'),
        ({'age': 0.5}, '0.50 s old'),
        ({'age': -1.0}, 'old'),
        ({'age': np.nan}, 'old'),
        ({'stamp': 100.02}, 'the same again'),
    ],
)
def test_bad_messages_are_refused_and_a_leader_of_nothing_else_falls_silent(
    change: dict[str, object], words: str
) -> None:
    hand = Hand()
    hand.send()
    hand.leader.engage(hand.now)
    for _ in range(15):
        hand.now += 0.02
        given = {
            'names': [*hand.limits.joint_names, hand.limits.gripper_name],
            'positions': [0.01] * 7,
            'stamp': hand.now,
            'age': 0.0,
            'now': hand.now,
        }
        assert words in hand.leader.take(**{**given, **change})
        assert not hand.leader.displacement().any()
    assert hand.leader.refused == 15
    assert hand.leader.watch(hand.now)


def test_the_gripper_follows_once_the_leader_s_changes() -> None:
    hand = Hand()
    hand.gripper = hand.limits.gripper_lower
    hand.send()
    hand.leader.engage(hand.now)
    side = Side(load_limits('wx250s'), 'ee_delta', SPEED, None, None, hand.leader)
    side.opening = 1.0
    hand.send()
    side.step(np.zeros(6), 1.0, PERIOD)
    assert side.opening == 1.0, 'a shut leader does not shut an open robot'
    for gripper, opening in ((0.037, 1.0), (0.026, 1.0), (0.015, 0.0), (0.026, 0.0)):
        hand.gripper = gripper
        hand.send()
        side.step(np.zeros(6), 1.0, PERIOD)
        assert side.opening == opening


def test_a_prefix_tells_the_leader_s_joints() -> None:
    hand = Hand(prefix='leader_')
    assert 'leader_waist' in hand.send()
    names = [f'leader_{n}' for n in (*hand.limits.joint_names, hand.limits.gripper_name)]
    assert hand.leader.take(names, [0.02] * 7, 200.0, 0.0, 200.0) == ''
