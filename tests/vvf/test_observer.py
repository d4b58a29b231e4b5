# SPDX-License-Identifier: Apache-2.0
"""What a model observes live, on real rclpy: what is waited for, and for how long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState

from vvf.images import fill_image
from vvf.nodes.common import stream_qos
from vvf.nodes.observer import Observer, Seen
from vvf.task import load_task

TASK = load_task('pick_place')
KINDS = {
    '/wrist/image_raw': Image,
    '/shoulder/image_raw': Image,
    '/joint_states': JointState,
    '/vvf/ee_pose': PoseStamped,
}
MS = 1_000_000
START = 1_000_000 * MS


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=92)
    yield
    rclpy.try_shutdown()


class Bench:
    """An observer of the pick-and-place task, and publishers of all that it listens to."""

    def __init__(self) -> None:
        self.node, self.other = rclpy.create_node('observer'), rclpy.create_node('bench')
        self.seen: list[Seen] = []
        cameras = {c.name: c.name for c in TASK.cameras}
        self.observer = Observer(self.node, TASK, cameras, state=True, callback=self.seen.append)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        qos = stream_qos(reliable=True, depth=50)
        self.outputs = {t: self.other.create_publisher(k, t, qos) for t, k in KINDS.items()}
        self.wait(lambda: all(p.get_subscription_count() for p in self.outputs.values()))

    def wait(self, done: Any, seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def say(self, topic: str, ms: int, level: int = 0) -> None:
        """Publish a message with a stamp, whose content says the level."""
        message = KINDS[topic]()
        message.header.stamp = Time(nanoseconds=START + ms * MS).to_msg()
        if isinstance(message, Image):
            fill_image(message, np.full((4, 4, 3), level, np.uint8))
        elif isinstance(message, JointState):
            message.name = list(TASK.state[0].names)
            message.position = [float(level)] * len(message.name)
        self.outputs[topic].publish(message)

    def state(self, ms: int, level: int = 0) -> None:
        self.say('/joint_states', ms, level)
        self.say('/vvf/ee_pose', ms)

    def wrist(self, *stamps: int) -> None:
        for number, ms in enumerate(stamps):
            self.say('/wrist/image_raw', ms, number)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.observer.close()
    made.executor.remove_node(made.node)
    for node in (made.node, made.other):
        node.destroy_node()


def test_a_camera_that_is_due_and_does_not_come_is_not_waited_for_long(bench: Bench) -> None:
    bench.state(95)
    bench.wrist(0, 33, 66)
    bench.say('/shoulder/image_raw', 100)
    bench.wait(lambda: bench.seen)
    assert bench.observer.overdue == 1
    assert bench.seen[0].stamp_s == pytest.approx((START + 100 * MS) * 1e-9)
    assert bench.seen[0].images['wrist'].max() <= 2
    assert bench.observer.refused == {}


def test_a_frame_has_the_newest_state_at_its_stamp_though_later_ones_have_come(
    bench: Bench,
) -> None:
    for ms in range(0, 96, 5):
        bench.state(ms, level=ms)
    bench.state(105, level=105)
    bench.wrist(0, 33, 66, 99)
    bench.say('/shoulder/image_raw', 100)
    bench.wait(lambda: bench.seen)
    bench.say('/shoulder/image_raw', 101)
    bench.wait(lambda: len(bench.seen) == 2)
    assert bench.seen[1].state is not None
    assert bench.seen[1].state[0] == pytest.approx(95.0)


def test_a_camera_whose_clock_is_ahead_is_named_and_not_paired_with_the_past(bench: Bench) -> None:
    def now_ms() -> int:
        return (bench.node.get_clock().now().nanoseconds - START) // MS

    def dropped() -> bool:
        bench.state(now_ms())
        bench.wrist(now_ms() + 1300)
        bench.say('/shoulder/image_raw', now_ms())
        return bench.observer.refused.get('future:wrist', 0) >= 3

    bench.wait(dropped)
    assert not bench.seen
    assert bench.observer.accepted == 0
    assert bench.observer.unusable['future:wrist'] >= 3
    (said,) = bench.observer.complaints()
    assert said == 'camera wrist is stamped 1.3 s in the future: synchronise the clocks with chrony'


def test_a_camera_without_stamps_is_named(bench: Bench) -> None:
    def dropped() -> bool:
        bench.state(95)
        bench.say('/shoulder/image_raw', -START // MS)
        return bool(bench.observer.refused)

    bench.wait(dropped)
    assert set(bench.observer.refused) == {'unstamped:shoulder'}
    assert bench.observer.complaints()[0].startswith('camera shoulder has stamps of zero')


def test_a_frame_that_cannot_be_decoded_is_counted_by_its_camera(bench: Bench) -> None:
    wrong = Image(height=4, width=4, encoding='16UC1', step=8, data=bytes(32))
    wrong.header.stamp = Time(nanoseconds=START + 99 * MS).to_msg()
    bench.state(95)
    bench.outputs['/wrist/image_raw'].publish(wrong)
    bench.say('/shoulder/image_raw', 100)
    bench.wait(lambda: bench.observer.refused)
    assert bench.observer.refused == {'malformed:wrist': 1}
    assert bench.observer.accepted == 0


def test_a_closed_observer_leaves_nothing_behind(bench: Bench) -> None:
    bench.observer.close()
    assert not list(bench.node.timers)
    kept = {s.topic_name for s in bench.node.subscriptions}
    assert not kept & KINDS.keys()
