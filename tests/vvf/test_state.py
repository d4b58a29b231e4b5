# SPDX-License-Identifier: Apache-2.0
"""Messages to the state vector."""

import numpy as np
import pytest

from tests.vvf.bag_factory import joints, make, pose
from vvf.state import StateAssembler, StateError, pose_vector
from vvf.task import load_task

TASK = load_task('pick_place')
NAMES = TASK.state[0].names


def test_joints_are_put_into_the_order_of_the_task() -> None:
    order = ('right_finger', *reversed(NAMES))
    positions = np.arange(len(order), dtype=float)
    state = StateAssembler(TASK).assemble(
        {'/joint_states': joints(0, order, positions), '/vvf/ee_pose': pose(0, (0.1, 0.2, 0.3))}
    )
    assert state.dtype == np.float32
    assert state.shape == (16,)
    assert state[:7].tolist() == [7, 6, 5, 4, 3, 2, 1]
    np.testing.assert_allclose(state[7:], [0.1, 0.2, 0.3, 1, 0, 0, 0, 1, 0], atol=1e-7)


def test_a_driver_that_changes_its_order_is_followed() -> None:
    assembler = StateAssembler(TASK)
    for order in (NAMES, NAMES[::-1]):
        positions = np.array([NAMES.index(n) for n in order], float)
        messages = {
            '/joint_states': joints(0, order, positions),
            '/vvf/ee_pose': pose(0, (0.0, 0.0, 0.0)),
        }
        assert assembler.assemble(messages)[:7].tolist() == list(range(7))


def test_quaternion_gives_columns_of_its_matrix() -> None:
    half = np.sqrt(0.5)
    turned = make(
        'geometry_msgs/msg/Pose',
        make('geometry_msgs/msg/Point', 0.0, 0.0, 0.0),
        # A quarter turn about z, of length 2: scale must not matter.
        make('geometry_msgs/msg/Quaternion', 0.0, 0.0, 2 * half, 2 * half),
    )
    np.testing.assert_allclose(pose_vector(turned)[3:], [0, 1, 0, -1, 0, 0], atol=1e-12)


def test_what_is_missing_is_said() -> None:
    assembler = StateAssembler(TASK)
    good = {
        '/joint_states': joints(0, NAMES, np.zeros(7)),
        '/vvf/ee_pose': pose(0, (0.0, 0.0, 0.0)),
    }
    for change, said in [
        ({'/vvf/ee_pose': None}, 'no message on /vvf/ee_pose'),
        ({'/joint_states': joints(0, NAMES[1:], np.zeros(6))}, "no joint 'waist'"),
        ({'/joint_states': joints(0, NAMES, np.zeros(3))}, 'holds 3 positions'),
        ({'/joint_states': joints(0, NAMES, np.full(7, np.nan))}, 'not finite'),
    ]:
        with pytest.raises(StateError, match=said):
            assembler.assemble({**good, **change})
