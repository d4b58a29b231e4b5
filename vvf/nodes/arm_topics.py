# SPDX-License-Identifier: Apache-2.0
"""What the `arm` node says of its arms: joints, poses of the tips, and how things stand."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from vvf.arm_unit import ArmUnit
from vvf.drivers.base import JointReading
from vvf.nodes.common import LATCHED


class ArmTopics:
    """Publishes for all arms of a node.

    One message holds the joints of all; the tip of a single arm is `/vvf/ee_pose`, those of two are
    `/vvf/left/ee_pose` and `/vvf/right/ee_pose`.

    Args:
        node: owns the publishers.
        units: the arms.
        joint_topic: where the joints go.
    """

    def __init__(self, node: Node, units: tuple[ArmUnit, ...], joint_topic: str) -> None:
        self._units = units
        self._joints = node.create_publisher(JointState, joint_topic, 10)
        self._poses = [
            node.create_publisher(
                PoseStamped, f'/vvf/{u.side}/ee_pose' if u.side else '/vvf/ee_pose', 10
            )
            for u in units
        ]
        self._state = node.create_publisher(String, '/vvf/arm/state', LATCHED)
        self._said = ''

    def publish(self) -> None:
        """Publish the newest reading of all arms; each must have one."""
        readings = [unit.reading for unit in self._units if unit.reading is not None]
        message = JointState(
            name=[name for unit in self._units for name in unit.joint_names],
            position=[q for r in readings for q in (*r.position.tolist(), r.gripper)],
            velocity=[v for r in readings for v in (*r.velocity.tolist(), 0.0)],
        )
        # With the oldest of the stamps: nothing is newer than it is said to be.
        message.header.stamp = _stamp(min(reading.stamp for reading in readings))
        self._joints.publish(message)
        for unit, reading, publisher in zip(self._units, readings, self._poses, strict=True):
            publisher.publish(_pose(unit, reading))

    def say(self, mode: str, reason: str) -> None:
        """Publish how things stand, if it is news."""
        text = f'{mode}: {reason}' if reason else mode
        if text != self._said:
            self._said = text
            self._state.publish(String(data=text))


def _stamp(seconds: float) -> object:
    return Time(seconds=seconds).to_msg()


def _pose(unit: ArmUnit, reading: JointReading) -> PoseStamped:
    transform = unit.kinematics.forward(reading.position)
    message = PoseStamped()
    message.header.stamp = _stamp(reading.stamp)
    message.header.frame_id = f'{unit.prefix}base_link'
    position, orientation = message.pose.position, message.pose.orientation
    position.x, position.y, position.z = (float(v) for v in transform[:3, 3])
    quaternion = Rotation.from_matrix(transform[:3, :3]).as_quat()
    orientation.x, orientation.y, orientation.z, orientation.w = map(float, quaternion)
    return message
