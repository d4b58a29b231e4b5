# SPDX-License-Identifier: Apache-2.0
"""The Franka driver on real rclpy, against a server that speaks and trips as the vendor's does."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import rclpy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tests.vendors.franka_server import FrankaServer
from tests.vvf import franka_bench
from tests.vvf.franka_bench import LIMITS, OPEN, Bench
from vvf.drivers.franka import FrankaDriver
from vvf.errors import UserError

# Fixtures are found by their names in this module.
ros, quick = franka_bench.ros, franka_bench.quick
server, bench = franka_bench.server, franka_bench.bench


def test_the_stream_is_followed_and_never_trips(server: FrankaServer, bench: Bench) -> None:
    reading = bench.driver.read()
    np.testing.assert_allclose(reading.position, LIMITS.sleep, atol=1e-6)
    assert reading.gripper == pytest.approx(0.04)
    assert abs(bench.node.get_clock().now().nanoseconds * 1e-9 - reading.stamp) < 10.0
    target = LIMITS.sleep + np.array([0.3, 0.2, -0.3, 0.2, 0.4, -0.3, 0.4])
    # A leap, which the gate would not let through, and back.
    for goal in (target, LIMITS.sleep):
        bench.go(goal)
    assert server.trips == []
    assert server.refused == []
    assert server.taken > 10


def test_targets_that_go_straight_to_the_controller_trip(
    server: FrankaServer, bench: Bench
) -> None:
    raw = bench.node.create_publisher(JointTrajectory, '/fr3_arm_controller/joint_trajectory', 1)
    bench.wait(raw.get_subscription_count)
    point = JointTrajectoryPoint(positions=(LIMITS.sleep + 0.1).tolist())
    point.time_from_start.nanosec = 20_000_000
    names = list(LIMITS.joint_names)
    raw.publish(JointTrajectory(joint_names=names, points=[point]))
    bench.wait(lambda: server.trips)
    assert 'joint_motion_generator_velocity_discontinuity' in server.trips


def test_close_stops_and_holds(server: FrankaServer, bench: Bench) -> None:
    bench.command(LIMITS.sleep + 0.5, ticks=10)
    taken = server.taken
    bench.driver.close()
    bench.wait(lambda: server.taken > taken)
    server.waits = False
    bench.wait(lambda: not server.velocity.round(4).any())
    assert np.abs(server.position - LIMITS.sleep).max() < 0.45  # not where it was going
    assert server.trips == []


@pytest.mark.parametrize('kind', ['franka', 'command'])
def test_the_hand_gets_a_goal_only_when_it_turns(server: FrankaServer, kind: str) -> None:
    bench = Bench(gripper_action=kind, grip_speed_m_s=0.1)
    bench.listens(server)
    bench.command(LIMITS.sleep, OPEN, ticks=5)
    assert server.hand.goals == []
    server.hand.object_width = 0.03
    bench.ramp(OPEN, 0.0)
    bench.command(LIMITS.sleep, 0.0, ticks=10)
    bench.wait(lambda: server.hand.ended, lambda: bench.command(LIMITS.sleep, 0.0))
    action = 'grasp' if kind == 'franka' else 'gripper_action'
    assert server.hand.goals == [(action, 0.0, 20.0)]
    # ros2_control's action fails at whatever is wider than 5 mm: held all the same.
    assert server.hand.ended == [(action, 'succeeded' if kind == 'franka' else 'aborted')]
    bench.wait(lambda: bench.driver.read().gripper == pytest.approx(0.015))
    assert bench.driver.fault() == ''
    bench.command(LIMITS.sleep, 0.015, ticks=5)  # the gate began anew where the fingers are
    assert len(server.hand.goals) == 1

    server.hand.object_width = None
    bench.ramp(0.015, OPEN)
    bench.ramp(OPEN, 0.0)  # changes its mind while the hand opens
    bench.wait(lambda: len(server.hand.ended) == 3, lambda: bench.command(LIMITS.sleep, 0.0))
    opened = 'move' if kind == 'franka' else 'gripper_action'
    assert server.hand.goals[1:] == [
        (opened, 0.078, 20.0 if kind == 'command' else 0.0),
        (action, 0.0, 20.0),
    ]
    assert server.hand.ended[1:] == [(opened, 'canceled'), (action, 'succeeded')]
    assert server.hand.overlaps == 0
    bench.close()


def test_a_halt_stops_the_fingers_until_something_else_is_wanted(
    server: FrankaServer, bench: Bench
) -> None:
    server.hand.silent = True
    bench.ramp(OPEN, 0.0)
    bench.wait(lambda: server.hand.goals)
    bench.driver.halt()
    bench.driver.halt()  # each tick, while another arm is held up
    server.hand.silent = False
    bench.wait(lambda: server.hand.ended, lambda: bench.command(LIMITS.sleep, 0.0))
    assert server.hand.ended == [('grasp', 'canceled')]
    bench.ramp(0.03, 0.0)  # the same as before, from where they were stopped
    bench.wait(lambda: len(server.hand.goals) == 2)


def test_fake_hardware_has_no_mode_and_a_hand_that_does_not_move(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with FrankaServer(LIMITS, robot=False):
        bench = Bench()
        bench.ready()
        bench.command(LIMITS.sleep, ticks=30)
        assert 'taken for fake hardware' in capfd.readouterr().err
        bench.close()


def test_a_namespace_a_prefix_and_no_hand() -> None:
    bench = Bench(namespace='left', controller='other_controller', gripper='')
    with FrankaServer(LIMITS, namespace='left'):
        bench.faulty('no controller listens on /left/other_controller/joint_trajectory')
        assert bench.driver.read().gripper == LIMITS.gripper_upper
    bench.close()


def test_a_real_arm_without_a_hand_says_so(server: FrankaServer) -> None:
    bench = Bench(gripper='fr3_gripper')
    bench.faulty("start the Franka's hand")
    bench.close()


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'ip': '172.16.0.2'}, "'ip' is not a known entry"),
        ({'lead_s': 1.0}, 'lead_s must be'),
        ({'horizon_s': 0.05}, 'horizon_s must be'),
        ({'gripper_action': 'suck'}, 'gripper_action must be one of'),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    node = rclpy.create_node('arm')
    with pytest.raises(UserError, match=words):
        FrankaDriver(node, LIMITS, options, 'left')
    node.destroy_node()


@pytest.mark.parametrize('package', ['franka_msgs', 'control_msgs', 'controller_manager_msgs'])
def test_messages_that_are_not_installed(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    node = rclpy.create_node('arm')
    with pytest.raises(UserError, match=f'messages of {package}'):
        FrankaDriver(node, LIMITS, {})
    node.destroy_node()
