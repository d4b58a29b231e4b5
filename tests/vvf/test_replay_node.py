# SPDX-License-Identifier: Apache-2.0
"""The replay node on real rclpy waits for a value node that cannot keep up, but not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from vvf_msgs.msg import ValueEstimate

from tests.vvf.bag_factory import write_episode
from vvf.nodes import replay
from vvf.nodes.common import stream_qos
from vvf.nodes.replay import ReplayNode

FRAMES = 150


@pytest.fixture(autouse=True)
def ros(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(replay, '_SETTLE_S', 0.1)
    rclpy.init(domain_id=97)
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episode(tmp_path_factory.mktemp('bag') / 'episode', FRAMES)


class Bench:
    """A replay, and in the place of the value node one that answers when it is told to."""

    def __init__(self, bag: Path) -> None:
        self.other = rclpy.create_node('bench')
        qos = stream_qos(reliable=True, depth=1000)
        self.waiting: list[Image] = []
        self.other.create_subscription(Image, '/shoulder/image_raw', self.waiting.append, qos)
        self.values = self.other.create_publisher(ValueEstimate, '/vvf/value', qos)
        self.node = ReplayNode(
            parameter_overrides=[
                Parameter('bag', value=str(bag)),
                Parameter('rate', value=100.0),
                Parameter('episode', value=False),
            ]
        )
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)

    def close(self) -> None:
        self.node.close()
        for node in (self.node, self.other):
            self.executor.remove_node(node)
            node.destroy_node()

    def wait(self, done: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.02)

    def answer(self, count: int) -> None:
        for image in self.waiting[:count]:
            self.values.publish(ValueEstimate(header=image.header))
        del self.waiting[:count]


@pytest.fixture
def bench(bag: Path) -> Iterator[Bench]:
    made = Bench(bag)
    yield made
    made.close()


def test_a_slow_value_node_is_waited_for_and_gets_every_frame(bench: Bench) -> None:
    most = 0

    def through() -> bool:
        nonlocal most
        most = max(most, bench.node.frames - bench.node.values)
        if len(bench.waiting) == replay._AHEAD or bench.node.frames == FRAMES:
            bench.answer(50)
        return bench.node.values == FRAMES

    bench.wait(through)
    assert most == replay._AHEAD


def test_frames_that_get_no_value_are_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, '_QUIET_S', 0.2)
    bench.wait(lambda: bench.node.done)
    assert bench.node.frames == FRAMES
    assert bench.node.failure is None
