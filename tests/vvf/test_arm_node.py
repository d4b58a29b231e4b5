# SPDX-License-Identifier: Apache-2.0
"""The arm node on real rclpy, in simulation: a state for each frame, and whose actions count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, JointState
from vvf_msgs.msg import Action, EpisodeEvent

from vvf.nodes.arm import ArmNode
from vvf.nodes.common import LATCHED, stream_qos
from vvf.safety import Mode, Reason

TOPICS = {'/shoulder/image_raw': Image, '/joint_states': JointState, '/vvf/ee_pose': PoseStamped}


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=98)
    yield
    rclpy.try_shutdown()


class Bench:
    """An arm node and who speaks to it, spun together."""

    def __init__(self) -> None:
        self.arm = ArmNode()
        self.other = rclpy.create_node('bench')
        self.heard: dict[str, dict[int, int]] = {topic: {} for topic in TOPICS}
        for topic, kind in TOPICS.items():
            self.other.create_subscription(kind, topic, self._receiver(topic), stream_qos(depth=50))
        self.actions = self.other.create_publisher(Action, '/vvf/action', 10)
        self.events = self.other.create_publisher(EpisodeEvent, '/vvf/episode', LATCHED)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.arm)
        self.executor.add_node(self.other)
        self.wait(lambda: self.heard['/shoulder/image_raw'])
        self.wait(lambda: all(map(Publisher.get_subscription_count, (self.actions, self.events))))

    def _receiver(self, topic: str) -> Callable[[Any, dict[str, int]], None]:
        def receive(message: Any, info: dict[str, int]) -> None:
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            self.heard[topic][stamp] = info['source_timestamp']

        return receive

    def close(self) -> None:
        self.arm.close()
        for node in (self.arm, self.other):
            self.executor.remove_node(node)
            node.destroy_node()

    def wait(self, done: Callable[[], object], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def tell(self, event: int, episode_id: str = '') -> None:
        """Publish an event, and wait until the arm knows."""
        message = EpisodeEvent(event=event, episode_id=episode_id)
        message.header.stamp = self.other.get_clock().now().to_msg()
        self.events.publish(message)
        self.wait(lambda: self.arm.arbiter.episode == episode_id)

    def act(self, source: int, stamp: Any = None) -> None:
        """Publish an action whose image has a stamp: that of now, where none is given."""
        message = Action(
            source=source, horizon=1, dim=6, data=[0.0, 0.0, 0.01, 0, 0, 0], gripper=[1.0], dt=0.2
        )
        message.header.stamp = stamp or self.now()
        self.actions.publish(message)

    def now(self) -> Any:
        return self.other.get_clock().now().to_msg()

    def refused(self, reason: Reason, source: int, stamp: Any = None) -> None:
        """An action is refused for a reason, and does not move the arm."""
        before = self.arm.team.refusals[reason]
        self.act(source, stamp)
        self.wait(lambda: self.arm.team.refusals[reason] == before + 1)
        assert self.arm.team.mode is Mode.HOLDING

    def followed(self, source: int) -> None:
        """An action moves the arm."""
        before = self.arm.team.refusals
        self.act(source)
        self.wait(lambda: self.arm.team.mode is Mode.RUNNING)
        for reason in (Reason.NO_EPISODE, Reason.OUTDATED):
            assert self.arm.team.refusals[reason] == before[reason]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_every_frame_follows_a_state_of_its_own_stamp_however_slow_the_machine_is(
    bench: Bench,
) -> None:
    frames = bench.heard['/shoulder/image_raw']
    first = min(frames)
    bench.wait(lambda: len(frames) > 5)
    last = max(frames)
    for topic in ('/joint_states', '/vvf/ee_pose'):
        states = bench.heard[topic]
        bench.wait(lambda states=states: max(states) > last)
        for stamp, sent in frames.items():
            if first < stamp <= last:
                assert states[stamp] < sent, f'{topic} comes before the frame'


def test_an_action_of_a_policy_belongs_to_an_episode(bench: Bench) -> None:
    policy = Action.SOURCE_POLICY
    bench.refused(Reason.NO_EPISODE, policy)
    before = bench.now()
    bench.tell(EpisodeEvent.START, 'one')
    bench.refused(Reason.OUTDATED, policy, before)
    bench.followed(policy)
    # As from a recorder that was killed and started again: the policy may not have heard of it.
    bench.tell(EpisodeEvent.END)
    bench.refused(Reason.NO_EPISODE, policy)
    bench.refused(Reason.NO_EPISODE, Action.SOURCE_REPLAY)
    bench.tell(EpisodeEvent.START, 'two')
    bench.followed(policy)


def test_a_human_may_act_without_an_episode(bench: Bench) -> None:
    bench.followed(Action.SOURCE_HUMAN)
    bench.tell(EpisodeEvent.START, 'one')
    bench.tell(EpisodeEvent.END)
    bench.followed(Action.SOURCE_HUMAN)
