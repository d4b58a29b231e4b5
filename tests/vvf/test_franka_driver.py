# SPDX-License-Identifier: Apache-2.0
"""The Franka driver on real rclpy, against a server that speaks and trips as the vendor's does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from franka_msgs.msg import FrankaRobotState
from rclpy.executors import SingleThreadedExecutor
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tests.vendors.franka_server import FrankaServer
from vvf.drivers import franka, franka_hand, franka_recovery, franka_state
from vvf.drivers.franka import FrankaDriver
from vvf.errors import UserError
from vvf.safety import Command
from vvf.safety_limits import load_limits

DOMAIN = 63
LIMITS = load_limits('fr3')
OPEN = 0.039


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=DOMAIN)
    yield
    rclpy.try_shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(franka, '_CONNECT_S', 0.0)
    monkeypatch.setattr(franka_hand, '_ABSENT_S', 0.3)
    monkeypatch.setattr(franka_hand, '_ANSWER_S', 1.0)
    monkeypatch.setattr(franka_recovery, '_PATIENCE_S', 1.0)
    monkeypatch.setattr(franka_state, '_CLOCK_READINGS', 10)


class Bench:
    """A driver, and what its node does with it."""

    def __init__(self, **options: Any) -> None:
        self.node = rclpy.create_node('arm')
        # A test machine stalls, and has no time to lose.
        patient = {'state_timeout_s': 0.7, 'grip_speed_m_s': 0.3}
        self.driver = FrankaDriver(self.node, LIMITS, {**patient, **options})
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)

    def wait(self, done: Callable[[], object], each: Callable[[], None] = lambda: None) -> None:
        end = time.monotonic() + 20.0
        while not done():
            assert time.monotonic() < end, self.driver.fault()
            self.executor.spin_once(timeout_sec=0.02)
            each()

    def ready(self) -> None:
        self.wait(lambda: not self.driver.fault() and self.driver.read())

    def listens(self, server: FrankaServer) -> None:
        """Hold until the controller has heard of it: it may be known before it hears."""
        self.ready()
        taken = server.taken
        self.wait(lambda: server.taken > taken, lambda: self.command(server.position))

    def faulty(self, text: str) -> str:
        self.wait(lambda: text in self.driver.fault())
        return self.driver.fault()

    def command(self, position: Any, opening: float = OPEN, ticks: int = 1) -> None:
        """Command this pose for some ticks, as the node does: nothing during a fault."""
        for _ in range(ticks):
            tick = time.monotonic() + 0.02
            if not self.driver.fault():
                self.driver.write(Command(np.asarray(position), opening), 0.02)
            while (left := tick - time.monotonic()) > 0:
                self.executor.spin_once(timeout_sec=left)

    def go(self, position: Any) -> None:
        """Command this pose until the arm is there."""
        end = time.monotonic() + 20.0
        while np.abs(self.driver.read().position - position).max() > 2e-3:
            assert time.monotonic() < end, self.driver.fault()
            self.command(position)

    def ramp(self, start: float, end: float) -> None:
        """What the gate makes of an opening that changes: 4 mm in each tick."""
        for opening in np.linspace(start, end, 11):
            self.command(LIMITS.sleep, float(opening))

    def close(self) -> None:
        self.driver.close()
        self.executor.remove_node(self.node)
        self.node.destroy_node()


@pytest.fixture
def server() -> Iterator[FrankaServer]:
    with FrankaServer(LIMITS) as made:
        yield made


@pytest.fixture
def bench(server: FrankaServer) -> Iterator[Bench]:
    made = Bench()
    made.listens(server)
    yield made
    made.close()


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


def test_an_arm_whose_node_dies_brakes_and_stands(server: FrankaServer, bench: Bench) -> None:
    commanded = 0.0
    while server.position[0] < 0.2:
        commanded += 0.02
        bench.command(LIMITS.sleep + commanded * np.eye(7)[0])
    server.waits = False
    bench.wait(lambda: not server.velocity.round(4).any())
    assert server.position[0] < commanded + 0.35  # v^2 / 2a from full speed
    assert server.trips == []


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


def test_a_hand_that_fails_is_a_fault_until_it_is_looked_after(
    server: FrankaServer, bench: Bench
) -> None:
    server.hand.refuse = True
    bench.ramp(OPEN, 0.0)
    assert 'refused its goal' in bench.faulty('/franka_gripper/homing')
    server.hand.refuse, server.hand.silent = False, True
    bench.driver.recover()
    bench.ready()
    bench.command(LIMITS.sleep, 0.0, ticks=10)
    assert server.hand.goals == []  # what was wanted before nobody may want now
    bench.ramp(OPEN, 0.0)
    bench.wait(lambda: server.hand.goals)
    bench.ramp(0.0, OPEN)  # cancels what never ends
    bench.faulty('the hand does not answer')
    server.hand.silent = False
    bench.driver.recover()
    bench.ready()
    bench.ramp(0.0, OPEN)
    bench.wait(lambda: 'move' in [goal[0] for goal in server.hand.goals])


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


@pytest.mark.parametrize('kind', ['halt', 'reflex'])
def test_a_hand_that_had_to_turn_does_not_after_a_halt_or_a_reflex(
    server: FrankaServer, bench: Bench, kind: str
) -> None:
    server.hand.silent = True
    bench.ramp(OPEN, 0.0)
    bench.wait(lambda: server.hand.goals)
    bench.ramp(0.0, OPEN)
    if kind == 'halt':
        bench.driver.halt()
    else:
        server.trip('joint_reflex')
        bench.faulty('no more joint states')
    server.hand.silent = False
    bench.wait(lambda: server.hand.ended, lambda: bench.command(LIMITS.sleep))
    if kind == 'reflex':
        bench.driver.recover()
        bench.ready()
    bench.command(LIMITS.sleep, ticks=10)
    assert [goal[0] for goal in server.hand.goals] == ['grasp']
    bench.ramp(0.0, OPEN)
    bench.wait(lambda: len(server.hand.goals) == 2)


def test_a_clock_that_is_set_holds_the_arm_which_goes_on_from_where_it_is(
    server: FrankaServer, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = franka.now_s
    bench.command(LIMITS.sleep + 0.3, ticks=15)
    monkeypatch.setattr(franka, 'now_s', lambda node: clock(node) - 60.0)
    bench.faulty('the clock was set by 60')
    server.waits = False
    bench.wait(lambda: not bench.driver.fault())
    bench.wait(lambda: not bench.driver.read().velocity.round(4).any())
    monkeypatch.setattr(franka, 'now_s', clock)  # the stand-in's time was not set
    server.waits = True
    bench.go(server.position + 0.05)
    assert bench.driver.fault() == ''
    assert server.trips == server.refused == []
    monkeypatch.setattr(franka, 'now_s', lambda node: clock(node) + 60.0)
    bench.faulty('the clock was set by 60')


def test_a_clock_that_is_set_back_during_a_fault_does_not_make_it_last(
    server: FrankaServer, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = franka.now_s
    server.joints = 6
    bench.faulty('have no joint fr3_joint7')
    monkeypatch.setattr(franka, 'now_s', lambda node: clock(node) - 60.0)
    server.joints = 7
    bench.ready()


def test_modes_and_errors_are_told_in_words(bench_old: tuple[FrankaServer, Bench]) -> None:
    server, bench = bench_old
    server.trip('joint_velocity_violation', 'communication_constraints_violation')
    text = bench.faulty('joint_velocity_violation, communication_constraints_violation')
    assert 'real-time kernel' in text
    assert '/vvf/arm/recover' in text
    bench.driver.recover()
    bench.ready()
    server.press_stop()
    bench.faulty('release the stop')
    bench.driver.recover()  # too early: the robot does not clear its error
    bench.faulty('release the stop')
    server.release_stop()
    bench.ready()
    for mode, words in (
        (FrankaRobotState.ROBOT_MODE_GUIDING, 'guided by hand'),
        (FrankaRobotState.ROBOT_MODE_OTHER, 'activate FCI'),
        (FrankaRobotState.ROBOT_MODE_AUTOMATIC_ERROR_RECOVERY, 'wait'),
    ):
        server.mode = mode
        bench.faulty(words)
    server.mode = FrankaRobotState.ROBOT_MODE_MOVE
    bench.ready()


@pytest.fixture
def bench_old() -> Iterator[tuple[FrankaServer, Bench]]:
    """With a driver of before 3.3, that goes on after an error."""
    with FrankaServer(LIMITS, halts=False) as server:
        bench = Bench()
        bench.ready()
        yield server, bench
        bench.close()


def test_after_a_reflex_everything_is_put_on_again_in_order(
    server: FrankaServer, bench: Bench
) -> None:
    bench.command(LIMITS.sleep + 0.3, ticks=20)
    server.trip('cartesian_reflex')
    assert 'call /vvf/arm/recover' in bench.faulty('no more joint states')
    before = server.position
    assert bench.driver.recover() is None
    assert 'recovers' in bench.driver.fault()
    bench.driver.recover()  # once more does not begin anew
    bench.ready()
    assert server.recovered == ['clear', 'hardware', 'controllers']
    np.testing.assert_array_equal(server.position, before)
    bench.listens(server)
    bench.go(before + 0.05)  # from where it is measured
    assert server.trips == ['cartesian_reflex']


def test_a_recovery_that_fails_can_be_tried_again(server: FrankaServer, bench: Bench) -> None:
    server.press_stop()
    bench.faulty('no more joint states')
    bench.driver.recover()
    bench.faulty('no more joint states')  # aborted
    assert server.recovered == []
    server.release_stop()
    server.refuse = True
    bench.driver.recover()
    bench.faulty('no more joint states')
    server.refuse, server.mute = False, True
    bench.driver.recover()
    bench.faulty('recovers')
    bench.faulty('no more joint states')  # never answered
    server.mute = False
    bench.driver.recover()
    bench.ready()
    assert server.recovered == ['clear', 'hardware', 'controllers']


def test_states_that_stop_or_make_no_sense(
    server: FrankaServer,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server.silent = True
    bench.faulty('no more joint states on /franka/joint_states')
    server.silent = False
    bench.ready()
    server.joints = 6
    bench.faulty('have no joint fr3_joint7: see joint_prefix')
    server.joints = 7
    bench.ready()
    monkeypatch.setattr(franka_state, '_HAND_S', 0.3)
    server.hand.hung = True
    bench.faulty('no more joint states on /franka_gripper')
    server.hand.hung = False
    bench.ready()
    server.clock_offset_s = 3.0
    assert 'chrony' in bench.faulty('differs from this one')
    server.clock_offset_s = 0.0
    bench.ready()
    server.success_rate = 0.7
    bench.wait(lambda: '70% of the commands' in capfd.readouterr().err, bench.driver.fault)
    assert bench.driver.fault() == ''


def test_a_driver_that_is_started_again_is_found_again() -> None:
    bench = Bench()
    assert bench.driver.read() is None
    assert 'no joint states' in bench.driver.fault()
    with FrankaServer(LIMITS) as server:
        bench.listens(server)
        bench.command(LIMITS.sleep + 0.2, ticks=10)
    bench.faulty('no more joint states')
    elsewhere = LIMITS.sleep - 0.2
    with FrankaServer(LIMITS, position=elsewhere) as server:
        bench.listens(server)
        bench.command(elsewhere, ticks=10)
        assert server.trips == []
        np.testing.assert_allclose(server.position, elsewhere, atol=1e-3)
    bench.close()


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
