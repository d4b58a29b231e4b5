# SPDX-License-Identifier: Apache-2.0
"""The whole arm node with a WidowX of the vendor's: what fails in the middle of an episode."""

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

from tests.vendors.xs_sdk import ARM, XsSdk
from tests.vvf.widowx_bench import DOMAIN, hurry
from vvf.nodes.arm import ArmNode
from vvf.nodes.common import LATCHED
from vvf.safety import Mode

# DDS may lose the first answer to a new client; the driver asks again.
pytestmark = pytest.mark.filterwarnings('ignore:failed to send response:RuntimeWarning')
# Over the table; the sleep pose is outside the workspace, from where displacements lead nowhere.
POSE = (0.0, -0.6, 0.7, 0.0, 1.4, 0.0)
RIG = """
robot: wx250s
driver: widowx
arms: [{options: {namespace: wx250s}}]
cameras:
  shoulder: {source: topic, topic: /shoulder/image_raw}
  wrist: {source: topic, topic: /wrist/image_raw}
"""


class Bench:
    """The vendor's node, the arm node, and a policy whose actions come ten times a second."""

    def __init__(self) -> None:
        self.sdk = XsSdk(DOMAIN)
        self.move_to(POSE)
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

    def move_to(self, pose: tuple[float, ...]) -> None:
        """Put the arm there, as gravity or a hand does."""
        for name, angle in zip(ARM, pose, strict=True):
            self.sdk.motors[name].position = self.sdk.motors[name].goal = angle

    def wait(self, done: Callable[[], object]) -> None:
        end = time.monotonic() + 30.0
        while not done():
            assert time.monotonic() < end, (self.mode, self.arm.team.fault)
            self.executor.spin_once(timeout_sec=0.02)
            if time.monotonic() - self._acted > 0.1:
                self._act()

    def _act(self) -> None:
        """Aside, to and fro."""
        self._acted = time.monotonic()
        aside = 0.01 if self.sdk.pose[0] < 0.1 else -0.01
        message = Action(
            source=Action.SOURCE_POLICY, horizon=1, dim=6, data=[0, aside, 0, 0, 0, 0], gripper=[1]
        )
        message.dt = 0.2
        message.header.stamp = self.other.get_clock().now().to_msg()
        self.actions.publish(message)

    def begin(self) -> None:
        """Start an episode and wait until the arm is on its way."""
        message = EpisodeEvent(event=EpisodeEvent.START, episode_id='one')
        message.header.stamp = self.other.get_clock().now().to_msg()
        self.events.publish(message)
        self.runs()

    def runs(self) -> None:
        """Wait until commands move the arm."""
        before, pose = len(self.sdk.commands), self.sdk.pose
        self.wait(lambda: self.mode is Mode.RUNNING and len(self.sdk.commands) > before + 5)
        self.wait(lambda: self.sdk.pose != pose)

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
        self.sdk.stop()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    hurry(monkeypatch)
    rig = tmp_path / 'table.yaml'
    rig.write_text(RIG)
    rclpy.init(args=['--ros-args', '-p', f'rig:={rig}'], domain_id=DOMAIN)
    made = Bench()
    yield made
    made.close()
    rclpy.try_shutdown()


def test_a_restart_of_the_vendors_node_holds_the_arm_which_goes_on_from_where_it_is(
    bench: Bench,
) -> None:
    bench.begin()
    bench.sdk.stop()
    bench.wait(lambda: 'sends no joint states' in bench.arm.team.fault)
    assert bench.mode is Mode.FAULT
    sagged = (0.05, -0.9, 0.9, 0.0, 1.4, 0.0)
    bench.move_to(sagged)
    sent = len(bench.sdk.commands)
    bench.sdk.events.clear()
    bench.sdk.start()
    bench.runs()
    assert 'modes arm position velocity' in bench.sdk.events
    np.testing.assert_allclose(bench.sdk.commands[sent], sagged, atol=0.02)


def test_a_limp_motor_holds_the_arm_until_a_human_asks_for_its_recovery(bench: Bench) -> None:
    bench.begin()
    bench.sdk.motors['shoulder'].fail(0x20)
    said = 'motor shoulder is limp after an error (overload)'
    bench.wait(lambda: said in bench.arm.team.fault)
    assert bench.mode is Mode.FAULT
    sent = len(bench.sdk.commands)
    ticks = bench.sdk.ticks
    bench.wait(lambda: bench.sdk.ticks > ticks + 20)
    assert len(bench.sdk.commands) == sent
    sagged = (0.0, -0.9, 0.7, 0.0, 1.4, 0.0)
    bench.move_to(sagged)
    assert bench.call('/vvf/arm/recover').success
    bench.runs()
    assert 'reboot shoulder' in bench.sdk.events
    np.testing.assert_allclose(bench.sdk.commands[sent], sagged, atol=0.02)


def test_commands_that_the_vendors_node_rejects_are_a_fault(bench: Bench) -> None:
    bench.begin()
    bench.sdk.group = ARM[:5]  # as a motor file of another arm has it
    bench.wait(lambda: bench.mode is Mode.FAULT)
    assert 'does not follow' in bench.arm.team.fault
    assert bench.sdk.rejected
    assert bench.call('/vvf/arm/recover').success
    bench.wait(lambda: 'drives 5 joints' in bench.arm.team.fault)
    bench.sdk.group = ARM
    bench.runs()


def test_the_emergency_stop_answers_while_the_vendors_services_do_not(bench: Bench) -> None:
    bench.begin()
    bench.sdk.silent.add('get_motor_registers')
    assert bench.call('/vvf/estop').success
    assert bench.mode is Mode.STOPPED
    bench.wait(lambda: 'did not answer' in bench.arm.team.fault)
    bench.sdk.silent.clear()
    assert bench.call('/vvf/estop_reset').success
    bench.runs()
