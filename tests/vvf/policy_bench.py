# SPDX-License-Identifier: Apache-2.0
"""A policy node with an untrained policy, and all that it listens to and speaks to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
import torch
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from vvf_msgs.msg import Action, EpisodeEvent, ValueEstimate

from vvf.images import fill_image
from vvf.nodes.common import LATCHED
from vvf.nodes.policy import PolicyNode
from vvf_models.checkpoints import save_checkpoint
from vvf_models.policies.recap import RecapConfig, RecapPolicy

_ARM = [-0.05, -0.05, -0.05, -0.6, -0.6, -0.6, 0.0]


def write_task(folder: Path, arms: int, horizon: int = 2) -> Path:
    """A task of one camera, for one or two arms."""
    names = ['left_finger', 'right_finger'] if arms == 2 else ['left_finger']
    low = _ARM * arms
    high = [-x if x else 1.0 for x in low]
    file = folder / 'task.yaml'
    file.write_text(f"""
name: task
instruction: fold
robot: wx250s
rate_hz: 5
cameras:
  - {{name: front, topic: /cam/image_raw, frame_id: optical}}
state:
  - {{topic: /joint_states, type: joint_state, names: {names}}}
action:
  {{topic: /vvf/action, kind: ee_delta, dim: {7 * arms}, rate_hz: 5, horizon: {horizon},
    low: {low}, high: {high}}}
""")
    return file


def write_policy(folder: Path, arms: int, horizon: int = 2) -> Path:
    """An untrained policy that knows how to fold and to unfold."""
    torch.manual_seed(0)
    config = RecapConfig(
        cameras=('front',),
        image_size=16,
        state_dim=arms,
        action_dim=7 * arms,
        arms=arms,
        horizon=horizon,
        width=4,
        hidden=(16,),
        flow_steps=2,
        tasks=('fold', 'unfold'),
        task_slots=2,
    )
    save_checkpoint(folder, 'recap', config, RecapPolicy(config).state_dict(), 'untrained', {})
    return folder


class PolicyBench:
    """The node in this process; rclpy has to be initialised."""

    def __init__(
        self,
        folder: Path,
        arms: int,
        *,
        start: bool = True,
        horizon: int = 2,
        **parameters: object,
    ) -> None:
        given: dict[str, object] = {
            'task': str(write_task(folder, arms, horizon)),
            'model': str(write_policy(folder / 'policy', arms, horizon)),
            'autostart': False,
            **parameters,
        }
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        self.node = PolicyNode(parameter_overrides=overrides)
        self.other = rclpy.create_node('bench')
        publisher = self.other.create_publisher
        self.camera = publisher(Image, '/cam/image_raw', qos_profile_sensor_data)
        self.joints = publisher(JointState, '/joint_states', 10)
        self.poses = publisher(PoseStamped, '/vvf/ee_pose', 10)
        self.values = publisher(ValueEstimate, '/vvf/value', qos_profile_sensor_data)
        self.events = publisher(EpisodeEvent, '/vvf/episode', LATCHED)
        self.arm = publisher(String, '/vvf/arm/state', LATCHED)
        self.actions: list[Action] = []
        self.heard: list[EpisodeEvent] = []
        self.other.create_subscription(Action, '/vvf/action', self.actions.append, 10)
        self.other.create_subscription(EpisodeEvent, '/vvf/episode', self.heard.append, LATCHED)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)
        self._joint_names = ['left_finger', 'right_finger'][:arms]
        if start:
            assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        for node in (self.node, self.other):
            self.executor.remove_node(node)
            node.destroy_node()

    def wait(self, done: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.02)

    def say(self, event: int, instruction: str = '') -> None:
        message = EpisodeEvent(event=event, episode_id='e', instruction=instruction)
        message.header.stamp = self.other.get_clock().now().to_msg()
        self.events.publish(message)

    def begin(self, instruction: str = 'fold') -> None:
        before = self.node._began
        self.say(EpisodeEvent.START, instruction)
        self.wait(lambda: self.node._began not in (None, before))

    def see(self, stamp: object = None) -> None:
        """Publish an image and the joints of a moment; of this one, if none is given."""
        stamp = stamp or self.other.get_clock().now().to_msg()
        joints = JointState(name=self._joint_names, position=[0.02] * len(self._joint_names))
        joints.header.stamp = stamp
        self.joints.publish(joints)
        image = fill_image(Image(), np.full((20, 20, 3), 90, np.uint8))
        image.header.stamp = stamp
        self.camera.publish(image)

    def see_until(self, done: Callable[[], object], every: float = 0.2) -> None:
        """Show images and joints, so many s apart."""
        due = 0.0

        def seen() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                self.see()
                due = time.monotonic() + every
            return bool(done())

        self.wait(seen)

    def act(self) -> Action:
        """Show images and joints until there is an action."""
        self.actions.clear()
        self.see_until(lambda: self.actions)
        return self.actions[-1]
