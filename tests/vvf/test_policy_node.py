# SPDX-License-Identifier: Apache-2.0
"""The policy node on real rclpy, in this process: what it is asked for, and chunks of two arms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
import torch
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from vvf_msgs.msg import Action, EpisodeEvent

from vvf.actions import join_rows
from vvf.images import fill_image
from vvf.nodes.common import LATCHED, now_s
from vvf.nodes.policy import PolicyNode
from vvf_models.checkpoints import save_checkpoint
from vvf_models.policies.recap import RecapConfig, RecapPolicy

ARMS = ('left', 'right')
TASK = """
name: two_arms
instruction: fold
robot: wx250s
rate_hz: 5
cameras:
  - {name: front, topic: /cam/image_raw, frame_id: optical}
state:
  - {topic: /joint_states, type: joint_state, names: [left_finger, right_finger]}
action:
  {topic: /vvf/action, kind: ee_delta, dim: 14, rate_hz: 5, horizon: 2}
"""


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=94)
    yield
    rclpy.try_shutdown()


@pytest.fixture
def policy(tmp_path: Path) -> str:
    torch.manual_seed(0)
    config = RecapConfig(
        cameras=('front',),
        image_size=16,
        state_dim=2,
        action_dim=14,
        action_scale=(0.04,) * 13,
        horizon=2,
        width=4,
        hidden=(16,),
        flow_steps=2,
        tasks=('fold', 'unfold'),
        task_slots=2,
    )
    folder = tmp_path / 'policy'
    save_checkpoint(folder, 'recap', config, RecapPolicy(config).state_dict(), 'untrained', {})
    return str(folder)


class Bench:
    """A policy node and all that it listens to and speaks to."""

    def __init__(self, task: Path, model: str) -> None:
        given = {'task': str(task), 'model': model, 'autostart': False, 'guidance': 2.0}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        self.node = PolicyNode(parameter_overrides=overrides)
        self.other = rclpy.create_node('bench')
        self.camera = self.other.create_publisher(Image, '/cam/image_raw', qos_profile_sensor_data)
        self.joints = self.other.create_publisher(JointState, '/joint_states', 10)
        self.events = self.other.create_publisher(EpisodeEvent, '/vvf/episode', LATCHED)
        self.actions: list[Action] = []
        self.other.create_subscription(Action, '/vvf/action', self.actions.append, 10)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)
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

    def begin(self, instruction: str) -> None:
        event = EpisodeEvent(event=EpisodeEvent.START, episode_id='e', instruction=instruction)
        event.header.stamp = self.other.get_clock().now().to_msg()
        self.events.publish(event)

    def act(self) -> Action:
        """Show images and joints until there is an action."""
        self.actions.clear()
        due = 0.0

        def answered() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                stamp = self.other.get_clock().now().to_msg()
                joints = JointState(name=['left_finger', 'right_finger'], position=[0.02, 0.03])
                joints.header.stamp = stamp
                self.joints.publish(joints)
                image = fill_image(Image(), np.full((20, 20, 3), 90, np.uint8))
                image.header.stamp = stamp
                self.camera.publish(image)
                due = time.monotonic() + 0.2
            return bool(self.actions)

        self.wait(answered)
        return self.actions[-1]


@pytest.fixture
def bench(tmp_path: Path, policy: str) -> Iterator[Bench]:
    task = tmp_path / 'two_arms.yaml'
    task.write_text(TASK)
    made = Bench(task, policy)
    yield made
    made.close()


def test_a_chunk_for_two_arms_has_their_grippers_apart(bench: Bench) -> None:
    bench.begin('fold')
    action = bench.act()
    assert (action.horizon, action.dim) == (2, 12)
    assert (len(action.data), len(action.gripper)) == (24, 4)
    assert action.names[0] == 'left_x'
    assert action.names[-1] == 'right_rz'
    rows = join_rows(action.data, action.gripper, 2, 12, [1.0, 1.0])
    assert rows is not None
    assert rows.shape == (2, 14)
    assert bench.node._model.guidance == 2.0
    assert now_s(bench.other) - action.header.stamp.sec < 5


def test_it_does_what_the_episode_asks_for(bench: Bench) -> None:
    model = bench.node._model
    asked = [model.embed(text) for text in ('fold', 'unfold')]
    bench.begin('unfold')
    bench.act()
    assert torch.equal(model.task, asked[1])
    bench.begin('something else')
    bench.wait(lambda: bench.node._began is not None)
    bench.act()
    assert torch.equal(model.task, asked[1]), 'what it does not know changes nothing'
