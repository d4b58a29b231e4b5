# SPDX-License-Identifier: Apache-2.0
"""Action chunks become joint targets: bounded, in time, and from where the arm is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vvf.motion import Chunk, ChunkPlayer
from vvf.task import ActionSpec
from vvf_sim.robots.widowx import FINGER_RANGE, WX250S

START = np.array([0.0, -0.6, 0.7, 0.0, 1.4, 0.0, 0.037])
KINEMATICS = WX250S.kinematics()


def spec(execute: int = 1, kind: str = 'ee_delta') -> ActionSpec:
    bound = (0.05, 0.05, 0.05, 0.6, 0.6, 0.6)
    if kind == 'joint_position':
        return ActionSpec('/vvf/action', kind, 7, 5.0, 6, execute)
    return ActionSpec(
        '/vvf/action', kind, 7, 5.0, 6, execute, (*(-b for b in bound), 0.0), (*bound, 1.0)
    )


def player(**how) -> ChunkPlayer:
    made = ChunkPlayer(spec(**how))
    made.reset(START)
    return made


def tip(joints: np.ndarray) -> np.ndarray:
    return KINEMATICS.forward(joints[:6])[:3, 3]


def chunk(*steps, gripper: float = 1.0, kind: str = 'ee_delta') -> Chunk:
    data = np.array(steps, float)
    return Chunk(kind, data, np.full(len(data), gripper), 0.2)


def test_nothing_is_wanted_before_the_first_chunk() -> None:
    assert player().at(1.0) is None


def test_a_displacement_moves_the_tip_by_so_much() -> None:
    made = player()
    made.load(chunk([0.0, 0.0, 0.03, 0, 0, 0]), 10.0)
    np.testing.assert_allclose(made.at(10.0), START, atol=1e-9)
    np.testing.assert_allclose(tip(made.at(10.2)) - tip(START), [0, 0, 0.03], atol=1e-4)


def test_the_ramp_is_done_before_the_step_is() -> None:
    made = player()
    made.load(chunk([0.0, 0.0, 0.03, 0, 0, 0]), 0.0)
    made.at(0.0)
    np.testing.assert_allclose(made.at(0.145), made.at(0.2))
    assert np.abs(made.at(0.07) - made.at(0.2)).max() > 1e-3


def test_only_the_asked_steps_of_a_chunk_are_played() -> None:
    steps = [[0, 0, 0.02, 0, 0, 0]] * 6
    for execute in (1, 3):
        made = player(execute=execute)
        made.load(chunk(*steps), 0.0)
        for t in np.arange(0, 3, 0.02):
            joints = made.at(t)
        assert tip(joints)[2] - tip(START)[2] == pytest.approx(0.02 * execute, abs=1e-3)


def test_a_newer_chunk_takes_over_without_a_jump() -> None:
    made = player()
    made.load(chunk([0.04, 0, 0, 0, 0, 0]), 0.0)
    before = made.at(0.1)
    made.load(chunk([-0.04, 0, 0, 0, 0, 0]), 0.1)
    np.testing.assert_allclose(made.at(0.1), before)


def test_steps_beyond_the_bounds_are_clipped_and_counted() -> None:
    made = player()
    made.load(chunk([9.0, 0.0, 0.0, 0, 0, 0]), 0.0)
    made.at(0.0)
    assert made.clipped == 1
    assert tip(made.at(1.0))[0] - tip(START)[0] <= 0.051


@pytest.mark.parametrize(('gripper', 'finger'), [(1.0, FINGER_RANGE[1]), (0.0, FINGER_RANGE[0])])
def test_the_gripper_opens_and_closes(gripper: float, finger: float) -> None:
    made = player()
    made.load(chunk([0, 0, 0, 0, 0, 0], gripper=gripper), 0.0)
    made.at(0.0)
    assert made.at(1.0)[6] == pytest.approx(finger)


def test_joint_positions_are_taken_as_they_are() -> None:
    made = player(kind='joint_position')
    goal = [0.3, -0.5, 0.6, 0.1, 1.2, -0.1]
    made.load(chunk(goal, kind='joint_position'), 0.0)
    made.at(0.0)
    np.testing.assert_allclose(made.at(2.0)[:6], goal)


def test_after_a_reset_displacements_count_from_there() -> None:
    made = player()
    made.load(chunk([0.05, 0, 0, 0, 0, 0]), 0.0)
    made.at(0.0)
    held = made.at(0.05)
    made.reset(held)
    assert made.at(0.1) is None
    made.load(chunk([0, 0, 0.02, 0, 0, 0]), 1.0)
    made.at(1.0)
    np.testing.assert_allclose(tip(made.at(2.0)) - tip(held), [0, 0, 0.02], atol=1e-4)


def test_joint_positions_outside_the_workspace_are_not_played() -> None:
    made = player(kind='joint_position')
    made.load(chunk([3.0, -0.5, 0.6, 0.1, 1.2, -0.1], kind='joint_position'), 0.0)
    assert made.at(1.0) is None
    assert made.outside == 1


def test_displacements_stop_at_the_edge_of_the_workspace() -> None:
    made = player()
    made.load(chunk([0, 0, -0.05, 0, 0, 0]), 0.0)
    for k in range(20):
        made.load(chunk([0, 0, -0.05, 0, 0, 0]), float(k))
        made.at(float(k))
    assert tip(made.at(30.0))[2] > 0.021


def test_a_rounding_of_the_message_is_not_taken_for_an_excess() -> None:
    made = player()
    made.load(chunk([float(np.float32(0.05)), 0.0, 0.0, 0, 0, 0]), 0.0)
    made.at(0.0)
    assert made.clipped == 0


@pytest.mark.parametrize(
    'step',
    [
        [0.0, 0.0, 0.0, 0.6, -0.6, 0.6],  # where no posture has such a turn, the nearest one is far
        [0.05, 0.05, 0.05, 0.6, 0.6, 0.6],
        [-0.05, 0.05, -0.05, 0.0, 0.6, 0.0],
    ],
)
def test_nothing_leads_out_of_the_workspace(step: list[float]) -> None:
    made = player()
    low, high = WX250S.workspace.low, WX250S.workspace.high
    for k in range(12):
        for _ in range(1 + k % 4):  # several at once add up
            made.load(chunk(step), 0.2 * k)
            made.at(0.2 * k)
        for t in np.arange(0.0, 0.2, 0.02):
            at = tip(made.at(0.2 * k + t))
            assert (at > np.array(low) - 0.0101).all()
            assert (at < np.array(high) + 0.0101).all()
    assert made.outside > 0
    back = tip(made.joints)
    made.load(chunk([0.0, 0.0, 0.02 if back[2] < 0.2 else -0.02, 0, 0, 0]), 4.0)
    made.at(4.0)
    assert np.abs(tip(made.at(4.2)) - back).max() > 0.005, 'it goes on from there'


def test_a_way_between_two_postures_at_the_table_does_not_dip_into_it() -> None:
    floor = WX250S.workspace.low[2]
    made = player(kind='joint_position')
    postures = []
    for x, tilt in ((0.16, 0.6), (0.44, -0.6)):  # nods forth as it goes out
        pose = KINEMATICS.forward(START[:6])
        pose[:3, :3] = Rotation.from_euler('y', tilt).as_matrix() @ pose[:3, :3]
        pose[:3, 3] = x, 0.0, floor + 0.001
        found = KINEMATICS.reach(pose, START[:6])
        assert found.converged
        postures.append(found.q)
    straight = [tip(np.append(q, 0.0))[2] for q in np.linspace(*postures, 50)]
    assert min(straight) < floor - 0.001, 'the line itself would'
    made.reset(np.append(postures[0], 0.037))
    made.load(chunk(postures[1], kind='joint_position'), 0.0)
    lowest = min(tip(made.at(t))[2] for t in np.arange(0.0, 3.0, 0.02))
    assert lowest > WX250S.tip_reach
