# SPDX-License-Identifier: Apache-2.0
"""What fails behind the Franka driver, on real rclpy: each is a fault until it is mended."""

from __future__ import annotations

import numpy as np
import pytest
from franka_msgs.msg import FrankaRobotState

from tests.vendors.franka_server import FrankaServer
from tests.vvf import franka_bench
from tests.vvf.franka_bench import LIMITS, OPEN, Bench
from vvf.drivers import franka, franka_state

# Fixtures are found by their names in this module.
ros, quick = franka_bench.ros, franka_bench.quick
server, bench = franka_bench.server, franka_bench.bench
bench_old = franka_bench.bench_old


def test_an_arm_whose_node_dies_brakes_and_stands(server: FrankaServer, bench: Bench) -> None:
    commanded = 0.0
    while server.position[0] < 0.2:
        commanded += 0.02
        bench.command(LIMITS.sleep + commanded * np.eye(7)[0])
    server.waits = False
    bench.wait(lambda: not server.velocity.round(4).any())
    assert server.position[0] < commanded + 0.35  # v^2 / 2a from full speed
    assert server.trips == []


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
