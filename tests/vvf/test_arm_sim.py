# SPDX-License-Identifier: Apache-2.0
"""The arm node moves whatever is simulated: two arms at once, and other kinds of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from vvf_msgs.msg import Action

from vvf.actions import delta_names, split_rows
from vvf.nodes.arm import ArmNode
from vvf.nodes.common import stream_qos
from vvf.safety import Mode
from vvf.task import load_task

STEP = np.array([0.0, 0.0, 0.04, 0.0, 0.0, 0.0, 1.0], np.float32)


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=90)
    yield
    rclpy.try_shutdown()


@pytest.mark.parametrize(
    ('task', 'robot', 'sides'),
    [('shirt_folding', '', ('left', 'right')), ('pick_place', 'fr3', ('',))],
)
def test_every_simulated_arm_follows_its_actions(task: str, robot: str, sides: tuple) -> None:
    given = {'task': task, 'robot': robot}
    arm = ArmNode(parameter_overrides=[Parameter(k, value=v) for k, v in given.items()])
    other = rclpy.create_node('bench')
    actions = other.create_publisher(Action, '/vvf/action', 10)
    joints: list[JointState] = []
    heights: dict[str, list[float]] = {side: [] for side in sides}
    frames: list[Image] = []
    other.create_subscription(JointState, '/joint_states', joints.append, 10)
    camera = load_task(task).reference_camera.topic
    other.create_subscription(Image, camera, frames.append, stream_qos())
    for side in sides:
        topic = f'/vvf/{side}/ee_pose' if side else '/vvf/ee_pose'

        def hear(message: PoseStamped, side: str = side) -> None:
            heights[side].append(message.pose.position.z)

        other.create_subscription(PoseStamped, topic, hear, 10)
    executor = SingleThreadedExecutor()
    executor.add_node(arm)
    executor.add_node(other)

    def wait(done: Callable[[], object]) -> None:
        end = time.monotonic() + 60.0
        while not done():
            assert time.monotonic() < end
            executor.spin_once(timeout_sec=0.05)

    try:
        wait(lambda: actions.get_subscription_count() and frames and all(heights.values()))
        before = {side: found[-1] for side, found in heights.items()}
        data, gripper = split_rows(np.tile(STEP, len(sides))[None], len(sides))
        message = Action(
            source=Action.SOURCE_HUMAN,
            horizon=1,
            dim=len(data),
            data=data.tolist(),
            gripper=gripper.tolist(),
            names=delta_names(sides),
            dt=0.2,
        )
        message.header.stamp = other.get_clock().now().to_msg()
        actions.publish(message)
        wait(lambda: arm.team.mode is Mode.RUNNING)
        wait(lambda: all(found[-1] > before[side] + 0.03 for side, found in heights.items()))
        names = load_task(task, robot).state[0].names
        assert tuple(joints[-1].name) == names
        assert len(joints[-1].position) == len(joints[-1].velocity) == len(names)
    finally:
        arm.close()
        for node in (arm, other):
            executor.remove_node(node)
            node.destroy_node()
