# SPDX-License-Identifier: Apache-2.0
"""The WidowX driver on real rclpy, against a server that speaks as the vendor's does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import rclpy
import yaml

from tests.vendors.xs_sdk import SLEEP, XsSdk
from tests.vvf import widowx_bench
from tests.vvf.widowx_bench import DOMAIN, Bench
from vvf.drivers.widowx import WidowXDriver
from vvf.drivers.widowx_modules import move
from vvf.errors import UserError
from vvf.paths import config_path
from vvf.processes import USER_ERROR
from vvf.safety_limits import load_limits

# DDS may lose the first answer to a new client; the driver asks again.
pytestmark = pytest.mark.filterwarnings('ignore:failed to send response:RuntimeWarning')

# Fixtures are found by their names in this module.
quick, ros = widowx_bench.quick, widowx_bench.ros
sdk, bench = widowx_bench.sdk, widowx_bench.bench


def test_an_arm_is_set_up_for_streaming_and_moves(bench: Bench) -> None:
    sdk, driver = bench.sdk, bench.driver
    assert driver.read() is None
    bench.ready()
    assert 'modes arm position velocity' in sdk.events
    assert 'modes gripper linear_position velocity' in sdk.events
    assert sdk.motors['elbow'].registers['Profile_Velocity'] == 131
    assert sdk.motors['gripper'].registers['Goal_PWM'] == 350
    reading = driver.read()
    assert reading is not None
    np.testing.assert_allclose(reading.position, SLEEP)
    assert reading.gripper == pytest.approx(0.030)
    assert abs(bench.node.get_clock().now().nanoseconds * 1e-9 - reading.stamp) < 10.0

    target = (0.1, -1.7, 1.5, -0.1, 0.7, 0.2)
    bench.wait(
        lambda: np.allclose(driver.read().position, target, atol=1e-3), lambda: bench.go(target)
    )
    assert driver.prepare() is None


def test_the_gripper_is_told_the_distance_of_both_fingers_and_only_what_is_new(
    bench: Bench,
) -> None:
    bench.ready()
    sent = bench.sdk.gripper_commands
    bench.wait(
        lambda: abs(bench.driver.read().gripper - 0.02) < 1e-4, lambda: bench.go(SLEEP, 0.02)
    )
    np.testing.assert_allclose(sent, 0.04, atol=1e-6)
    assert len(sent) < len(bench.sdk.commands)


def test_a_gripper_that_an_object_stops_holds_it_and_lets_go_again(bench: Bench) -> None:
    bench.ready()
    bench.sdk.object_m = 0.025
    sent = bench.sdk.gripper_commands
    held = pytest.approx(2 * (0.025 - 0.001), abs=2e-4)
    bench.wait(lambda: sent and sent[-1] == held, lambda: bench.go(SLEEP, 0.015))
    bench.wait(
        lambda: abs(bench.driver.read().gripper - 0.035) < 1e-4, lambda: bench.go(SLEEP, 0.035)
    )


def test_modes_that_are_right_are_left_alone(bench: Bench) -> None:
    # Setting one lets go of the motor for a moment.
    bench.ready()
    bench.sdk.events.clear()
    second = Bench(bench.sdk)
    second.ready()
    second.close()
    assert bench.sdk.events == ['torque all True']


def test_the_vendors_simulator_which_has_no_registers_is_driven_as_an_arm(bench: Bench) -> None:
    bench.sdk.simulated = True
    bench.ready()
    target = (0.1, *SLEEP[1:])
    bench.wait(
        lambda: np.allclose(bench.driver.read().position, target, atol=1e-3),
        lambda: bench.go(target),
    )


def test_closing_leaves_the_torque_on(bench: Bench) -> None:
    bench.ready()
    bench.driver.close()
    assert not [event for event in bench.sdk.events if event.endswith('False')]
    assert all(motor.torque for motor in bench.sdk.motors.values())


def test_our_modes_file_needs_nothing_to_be_set(bench: Bench) -> None:
    modes = [yaml.safe_load(file.read_text()) for file in config_path('vendors').glob('widowx_*')]
    assert len(modes) == 3
    for given in modes:
        groups, singles = given['groups'], given['singles']
        assert groups['arm']['operating_mode'] == 'position'
        assert singles['gripper']['operating_mode'] == 'linear_position'
        for entry in (groups['arm'], singles['gripper']):
            assert entry['profile_type'] == 'velocity'
            assert entry['profile_velocity'] == bench.driver.options.profile_velocity
            assert entry['profile_acceleration'] == bench.driver.options.profile_acceleration


def test_a_wrong_option_is_one_sentence() -> None:
    node = rclpy.create_node('arm')
    with pytest.raises(UserError, match="'speed' is not a known entry; known: namespace"):
        WidowXDriver(node, load_limits('wx250s'), {'speed': 3})
    node.destroy_node()


def test_without_the_vendors_messages_the_sentence_says_what_to_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = rclpy.create_node('arm')
    monkeypatch.setitem(sys.modules, 'interbotix_xs_msgs.msg', None)
    with pytest.raises(UserError, match=r'source ~/interbotix_ws/install/setup\.bash'):
        WidowXDriver(node, load_limits('wx250s'), {})
    node.destroy_node()


# What the vendor's class does, as far as it is called: it moves in the mode that it was given.
MODULE = """
import rclpy
from interbotix_xs_msgs.msg import JointGroupCommand
from interbotix_xs_msgs.srv import OperatingModes

class InterbotixManipulatorXS:
    def __init__(self, model, robot_name, gripper_name, moving_time, accel_time):
        assert gripper_name is None
        rclpy.init()
        self.core = self.arm = self
        self.node = rclpy.create_node('robot_manipulation', namespace=robot_name)
        self.modes = self.node.create_client(OperatingModes, 'set_operating_modes')
        self.group = self.node.create_publisher(JointGroupCommand, 'commands/joint_group', 10)
        assert self.modes.wait_for_service(30.0)

    def robot_set_operating_modes(self, cmd_type, name, mode, **profile):
        request = OperatingModes.Request(cmd_type=cmd_type, name=name, mode=mode, **profile)
        rclpy.spin_until_future_complete(self.node, self.modes.call_async(request))

    def set_joint_positions(self, positions, blocking):
        while not self.group.get_subscription_count():
            rclpy.spin_once(self.node, timeout_sec=0.05)
        self.group.publish(JointGroupCommand(name='arm', cmd=positions))
        return self.group.wait_for_all_acked()
"""


def has_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    package = tmp_path / 'interbotix_xs_modules' / 'xs_robot'
    package.mkdir(parents=True)
    (package / 'arm.py').write_text(source)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=':')
    monkeypatch.setenv('ROS_DOMAIN_ID', str(DOMAIN))


def test_the_vendors_class_moves_home_in_a_process(
    sdk: XsSdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_module(tmp_path, monkeypatch, MODULE)
    bench = Bench(sdk, backend='interbotix_modules')
    bench.ready()
    sdk.events.clear()
    assert 'home' in bench.driver.prepare()
    bench.faulty('is moved home by interbotix_xs_modules')
    bench.wait(lambda: sdk.commands)
    np.testing.assert_allclose(sdk.commands[0], load_limits('wx250s').home)
    assert sdk.events == ['modes arm position time']
    bench.ready()
    assert 'modes arm position velocity' in sdk.events
    bench.close()


def test_a_halt_ends_the_move_of_the_vendors_class_and_holds_where_the_arm_is(
    sdk: XsSdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = 'return self.group.wait_for_all_acked() and rclpy.spin(self.node)'
    last = 'return self.group.wait_for_all_acked()'
    has_module(tmp_path, monkeypatch, MODULE.replace(last, goes_on))
    bench = Bench(sdk, backend='interbotix_modules')
    bench.ready()
    bench.driver.halt()  # of what does not move by itself: nothing is sent
    assert bench.driver.prepare()
    bench.wait(lambda: sdk.commands)
    np.testing.assert_allclose(sdk.commands, [load_limits('wx250s').home])
    bench.wait(lambda: bench.driver.read().position[1] > SLEEP[1] + 0.1)
    assert bench.driver.busy()
    bench.driver.halt()
    here = bench.driver.read().position
    assert np.abs(here - load_limits('wx250s').home).max() > 0.1, 'on the way'
    bench.ready()
    assert not bench.driver.busy()
    bench.wait(lambda: len(sdk.commands) == 3)  # at once, and when the process has ended
    np.testing.assert_allclose(sdk.commands[1], here)
    np.testing.assert_allclose(sdk.commands[2], here, atol=0.2)
    bench.close()


def test_a_move_by_the_vendors_class_that_fails_is_told_and_the_arm_goes_on(
    sdk: XsSdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(sdk, backend='interbotix_modules')
    bench.ready()
    said: list[str] = []
    monkeypatch.setattr(bench.node.get_logger(), 'error', said.append)
    monkeypatch.setattr(sys, 'executable', '/bin/false')
    bench.driver.prepare()
    bench.faulty('is moved home')
    bench.ready()
    assert said == ['arm /wx250s was not moved home: exit code 1']
    bench.close()


def test_without_the_vendors_class_the_sentence_says_what_else_to_choose(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert move('home', 'wx250s', 'wx250s', 3.0) == USER_ERROR
    assert 'choose `backend: topics`' in capsys.readouterr().err
