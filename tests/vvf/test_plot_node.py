# SPDX-License-Identifier: Apache-2.0
"""The plot node on real rclpy, in this process: quiet alone, and what a listener sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from visualization_msgs.msg import Marker, MarkerArray
from vvf_msgs.msg import EpisodeEvent, ValueEstimate

from vvf.images import to_rgb
from vvf.nodes.common import LATCHED
from vvf.nodes.plot import PlotNode
from vvf.nodes.value_markers import ValueMarkers
from vvf.viz.plot import BAND, BETTER, EVENTS, WORSE
from vvf_sim.robots.widowx import JOINT_NAMES

BAG_TIME = 1_600_000_000  # when a recording was made


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=95)
    yield
    rclpy.try_shutdown()


class Bench:
    """A plot node, and another one that speaks and looks."""

    def __init__(self) -> None:
        self.node = PlotNode(
            parameter_overrides=[
                Parameter('rate_hz', value=30.0),
                Parameter('trail', value=20),
            ]
        )
        self.other = rclpy.create_node('bench')
        create = self.other.create_publisher
        self.values = create(ValueEstimate, '/vvf/value', 50)
        self.events = create(EpisodeEvent, '/vvf/episode', LATCHED)
        self.poses = create(PoseStamped, '/vvf/ee_pose', 10)
        self.joints = create(JointState, '/joint_states', 10)
        self.images: list[Image] = []
        self.markers: list[MarkerArray] = []
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)
        speaking = (self.values, self.events, self.poses, self.joints)
        self.wait(lambda: all(p.get_subscription_count() for p in speaking))

    def close(self) -> None:
        for node in (self.node, self.other):
            self.executor.remove_node(node)
            node.destroy_node()

    def wait(self, done: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def look(self) -> None:
        self.other.create_subscription(
            Image, '/vvf/value/plot', self.images.append, qos_profile_sensor_data
        )
        self.other.create_subscription(MarkerArray, '/vvf/value/markers', self.markers.append, 2)

    def drawn(self) -> int:
        return int(self.node._report()[2]['drawn'])

    def estimate(self, second: float, progress: float, advantage: float) -> None:
        """One estimate of a model whose value is progress times ten minus ten, give or take 1."""
        message = ValueEstimate(model='m', value=10 * progress - 10, progress=progress)
        message.uncertainty, message.advantage = 1.0, advantage
        message.header.stamp.sec = BAG_TIME + int(second)
        message.header.stamp.nanosec = int(second % 1 * 1e9)
        self.values.publish(message)

    def event(self, kind: int, **fields: str) -> None:
        message = EpisodeEvent(event=kind, **fields)
        message.header.stamp = self.other.get_clock().now().to_msg()
        self.events.publish(message)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - colour).sum(axis=2) < 12).sum())


def test_nothing_is_drawn_while_nobody_listens(bench: Bench) -> None:
    ticks: list[int] = []
    bench.other.create_timer(0.05, lambda: ticks.append(1))
    bench.estimate(0.0, 0.5, 0.0)
    bench.wait(lambda: len(ticks) > 5)
    assert bench.drawn() == 0
    bench.look()
    bench.wait(lambda: bench.images and bench.drawn())


def test_a_replayed_episode_is_seen_with_band_events_and_strip(bench: Bench) -> None:
    bench.look()
    bench.event(EpisodeEvent.START, instruction='stack')
    bench.wait(lambda: bench.node._in_episode)
    for i in range(40):
        bench.estimate(i / 4, 0.2 + i / 80, 2.0 if i < 30 else -2.0)
        bench.wait(lambda i=i: len(bench.node._plot._history) == i + 1)
    bench.event(EpisodeEvent.MILESTONE, detail='grasped')
    bench.event(EpisodeEvent.ERROR, detail='dropped')
    bench.event(EpisodeEvent.END, outcome='failure')
    bench.wait(lambda: bench.node._plot._ended)
    colour = EVENTS['failure'][0]
    bench.wait(lambda: bench.images and count(to_rgb(bench.images[-1]), colour) > 100)
    image = to_rgb(bench.images[-1])
    assert image.shape == (360, 640, 3)
    for colour in (BAND, BETTER, WORSE, EVENTS['failure'][0], EVENTS['start'][0]):
        assert count(image, colour) > 100, colour
    # A band of give or take 0.1 in progress: the value's uncertainty through the model's own map.
    assert bench.node._plot._history.newest[2] == pytest.approx(0.1, abs=1e-3)


def test_an_end_without_a_start_is_no_event(bench: Bench) -> None:
    """The episode node says so when it starts: whoever believes in an old episode is put right."""
    bench.event(EpisodeEvent.END, outcome='aborted')
    bench.event(EpisodeEvent.START)
    bench.wait(lambda: bench.node._in_episode)
    assert [m.event for m in bench.node._plot._marks] == ['start']


def by_name(array: MarkerArray) -> dict[str, Marker]:
    return {m.ns: m for m in array.markers}


def test_markers_follow_the_gripper_in_the_colours_of_the_advantage(bench: Bench) -> None:
    bench.look()
    joints = JointState(name=list(JOINT_NAMES), position=[0.0] * 6)
    bench.joints.publish(joints)
    for i in range(30):
        pose = PoseStamped()
        pose.header.frame_id = 'base_link'
        pose.pose.position.x = 0.01 * i
        bench.poses.publish(pose)
        bench.wait(lambda i=i: _x(bench.node) == pytest.approx(0.01 * i))
        bench.estimate(float(i), 0.5, 1.0 if i < 25 else -1.0)
        bench.wait(lambda i=i: bench.node._newest == BAG_TIME + i)
    # Older ones may still be on their way.
    bench.wait(lambda: bench.markers and _end_of_way(bench.markers[-1]) == pytest.approx(0.29))
    bench.wait(lambda: by_name(bench.markers[-1])['arm'].points)
    shown = by_name(bench.markers[-1])
    way = shown['way']
    assert way.type == Marker.LINE_STRIP
    assert len(way.points) == len(way.colors) == 20, 'the trail is bounded'
    assert way.colors[0].b > 0.9 > way.colors[0].r
    assert way.colors[-1].r > 0.9 > way.colors[-1].b
    assert shown['gripper'].color == way.colors[-1]
    assert shown['progress'].text == '0.50'
    assert len(shown['arm'].points) == 6
    assert {m.header.frame_id for m in shown.values()} == {'base_link'}
    assert all(m.lifetime.sec for m in shown.values())


def _end_of_way(array: MarkerArray) -> float:
    points = by_name(array)['way'].points
    return float(points[-1].x) if points else -1.0


def _x(node: PlotNode) -> float:
    pose = node._pose()
    return float(pose.pose.position.x) if pose else -1.0


def test_a_resting_gripper_adds_no_points_and_a_new_episode_takes_the_way_away() -> None:
    pose = PoseStamped()
    stamp = pose.header.stamp
    markers = ValueMarkers(trail=10)
    empty = by_name(markers.message(stamp, None, None))
    assert all(m.action == Marker.DELETE for m in empty.values())
    for x in (0.0, 0.1, 0.1, 0.1, 0.2):
        pose = PoseStamped()
        pose.pose.position.x = x
        markers.value(pose, 0.5, float('nan'))
    assert len(by_name(markers.message(stamp, pose, None))['way'].points) == 3
    markers.clear()
    after = by_name(markers.message(stamp, pose, None))
    assert after['way'].action == after['gripper'].action == Marker.DELETE
