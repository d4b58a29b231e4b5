# SPDX-License-Identifier: Apache-2.0
"""The whole arm node with a Franka of the vendor's: what happens in the middle of an episode."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger
from vvf_msgs.msg import Action, EpisodeEvent

from tests.vendors.franka_server import FrankaServer
from vvf.drivers import franka
from vvf.nodes.arm import ArmNode
from vvf.nodes.common import LATCHED
from vvf.safety import Mode
from vvf.safety_limits import load_limits

DOMAIN = 63
LIMITS = load_limits('fr3')
RIG = """
robot: fr3
driver: franka
joint_state_topic: /vvf/joint_states
arms: [{options: {state_timeout_s: 0.7, grip_speed_m_s: 0.3}}]
cameras:
  shoulder: {source: topic, topic: /shoulder/image_raw}
  wrist: {source: topic, topic: /wrist/image_raw}
"""


class Bench:
    """The vendor's nodes, the arm node, and a policy whose actions come ten times a second."""

    def __init__(self) -> None:
        self.gripper = 1.0
        self.server = FrankaServer(LIMITS, DOMAIN, position=LIMITS.home).__enter__()
        self.arm = ArmNode()
        self.other = rclpy.create_node('bench')
        self.actions = self.other.create_publisher(Action, '/vvf/action', 10)
        self.events = self.other.create_publisher(EpisodeEvent, '/vvf/episode', LATCHED)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.arm)
        self.executor.add_node(self.other)
        self._acted = 0.0

    @property
    def mode(self) -> Mode:
        return self.arm.team.mode

    def wait(self, done: Callable[[], object]) -> None:
        end = time.monotonic() + 30.0
        while not done():
            assert time.monotonic() < end, (self.mode, self.arm.team.fault, self.server.trips)
            self.executor.spin_once(timeout_sec=0.02)
            if time.monotonic() - self._acted > 0.1:
                self._act()

    def _act(self) -> None:
        """Aside, to and fro, with an opening each time."""
        self._acted = time.monotonic()
        aside = 0.01 if self.server.position[0] < LIMITS.home[0] + 0.1 else -0.01
        message = Action(source=Action.SOURCE_POLICY, horizon=1, dim=6, data=[0, aside, 0, 0, 0, 0])
        message.gripper = [self.gripper]
        message.dt = 0.2
        message.header.stamp = self.other.get_clock().now().to_msg()
        self.actions.publish(message)

    def begin(self) -> None:
        """Start an episode and wait until the arm is on its way."""
        taken = self.server.taken
        self.wait(lambda: self.server.taken > taken)
        message = EpisodeEvent(event=EpisodeEvent.START, episode_id='one')
        message.header.stamp = self.other.get_clock().now().to_msg()
        self.events.publish(message)
        self.runs()

    def runs(self) -> None:
        """Wait until commands move the arm."""
        self.wait(lambda: self.mode is Mode.RUNNING)
        before = self.server.position
        self.wait(lambda: np.abs(self.server.position - before).max() > 0.01)

    def call(self, service: str) -> Trigger.Response:
        client = self.other.create_client(Trigger, service)
        self.wait(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.wait(future.done)
        return future.result()

    def close(self) -> None:
        self.arm.close()
        for node in (self.arm, self.other):
            self.executor.remove_node(node)
            node.destroy_node()
        self.server.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(franka, '_CONNECT_S', 0.3)
    rig = tmp_path / 'table.yaml'
    rig.write_text(RIG)
    rclpy.init(args=['--ros-args', '-p', f'rig:={rig}'], domain_id=DOMAIN)
    made = Bench()
    yield made
    made.close()
    rclpy.try_shutdown()


def test_a_reflex_holds_the_arm_until_a_human_asks_for_its_recovery(bench: Bench) -> None:
    bench.begin()
    assert bench.server.hand.goals == []  # it is open, as each action wants it
    bench.gripper = 0.0
    bench.wait(lambda: bench.server.hand.ended)
    bench.server.trip('joint_reflex')
    bench.wait(lambda: bench.mode is Mode.FAULT)
    assert '/vvf/arm/recover' in bench.arm.team.fault
    taken, stood = bench.server.taken, bench.server.position
    assert bench.call('/vvf/arm/recover').success
    bench.wait(lambda: bench.server.recovered == ['clear', 'hardware', 'controllers'])
    assert bench.server.taken == taken
    np.testing.assert_array_equal(bench.server.position, stood)
    bench.runs()
    assert bench.server.trips == ['joint_reflex']
    assert [goal[0] for goal in bench.server.hand.goals] == ['grasp']
    assert bench.server.refused == []


def test_a_restart_of_the_vendors_driver_holds_the_arm_which_goes_on_from_where_it_is(
    bench: Bench,
) -> None:
    bench.begin()
    bench.server.close()
    bench.wait(lambda: 'no more joint states' in bench.arm.team.fault)
    assert bench.mode is Mode.FAULT
    moved = LIMITS.home + 0.05
    bench.server = FrankaServer(LIMITS, position=moved).__enter__()
    bench.wait(lambda: bench.mode is not Mode.FAULT)
    np.testing.assert_allclose(bench.server.position, moved, atol=0.02)
    bench.runs()
    assert bench.server.refused == []


def test_an_emergency_stop_brakes_within_the_robots_limits_and_stops_the_hand(
    bench: Bench,
) -> None:
    bench.begin()
    bench.server.hand.silent = True
    bench.gripper = 0.0
    bench.wait(lambda: bench.server.hand.goals)
    assert bench.call('/vvf/estop').success
    assert bench.mode is Mode.STOPPED
    bench.server.hand.silent = False
    bench.wait(lambda: bench.server.hand.ended == [('grasp', 'canceled')])
    bench.wait(lambda: not bench.server.velocity.round(4).any())
    assert bench.call('/vvf/estop_reset').success
    bench.runs()
    assert bench.server.trips == []
