# SPDX-License-Identifier: Apache-2.0
"""What fails behind the WidowX driver, on real rclpy: each is a fault until it is mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml

from tests.vendors.xs_sdk import ARM, SLEEP, XsSdk
from tests.vvf import widowx_bench
from tests.vvf.widowx_bench import DOMAIN, Bench
from vvf.drivers import make_drivers
from vvf.drivers.widowx import WidowXDriver
from vvf.errors import UserError
from vvf.paths import config_path
from vvf.safety_limits import load_limits
from vvf.task import load_task

# DDS may lose the first answer to a new client; the driver asks again.
pytestmark = pytest.mark.filterwarnings('ignore:failed to send response:RuntimeWarning')

# Fixtures are found by their names in this module.
quick, ros = widowx_bench.quick, widowx_bench.ros
sdk, bench = widowx_bench.sdk, widowx_bench.bench


@pytest.mark.parametrize(
    ('wrong', 'said'),
    [({'joints': ARM[:5]}, 'no wrist_rotate'), ({'group': ARM[:5]}, 'drives 5 joints')],
)
def test_a_wrong_number_of_joints_is_a_fault(wrong: dict[str, Any], said: str) -> None:
    sdk = XsSdk(DOMAIN, **wrong)
    bench = Bench(sdk)
    bench.faulty(said)
    assert 'robot_model:=wx250s' in bench.driver.fault()
    bench.does_not_move()
    assert not sdk.rejected
    bench.close()
    sdk.stop()


def test_one_of_two_arms_is_told_by_its_name() -> None:
    sdk = XsSdk(DOMAIN, namespace='lefty')
    bench = Bench(sdk, 'left', namespace='lefty')
    bench.ready()
    bench.sdk.frozen = True
    bench.faulty('arm /lefty sends no joint states')
    assert 'robot_name:=lefty' in bench.driver.fault()
    bench.close()
    sdk.stop()


def test_two_arms_that_are_the_same_one_are_refused(tmp_path: Path) -> None:
    rig = yaml.safe_load(config_path('rigs', 'wx250s_pair.yaml').read_text())
    rig['arms'][1]['options']['namespace'] = '/left/'
    path = tmp_path / 'copied.yaml'
    path.write_text(yaml.safe_dump(rig))
    task = load_task('shirt_folding', rig=str(path))
    node = rclpy.create_node('arm')
    with pytest.raises(UserError, match='both arms are sent commands on /left/commands/joint_'):
        make_drivers(node, task, load_limits('wx250s'), rig=str(path))
    node.destroy_node()


def test_a_limp_motor_is_noticed_named_and_rebooted(bench: Bench) -> None:
    bench.ready()
    bench.sdk.motors['elbow'].fail(0x20)
    bench.faulty('motor elbow is limp after an error (overload): take away what it pushes against')
    assert '/vvf/arm/recover' in bench.driver.fault()
    bench.does_not_move()
    bench.sdk.events.clear()
    bench.driver.recover()
    assert 'is being recovered' in bench.driver.fault()
    bench.ready()
    assert 'reboot elbow' in bench.sdk.events
    assert bench.sdk.motors['elbow'].torque
    assert bench.sdk.motors['elbow'].registers['Profile_Velocity'] == 131


def test_the_second_motor_of_a_joint_is_watched_and_rebooted_too(bench: Bench) -> None:
    bench.ready()
    shadow = bench.sdk.shadows['shoulder_shadow']
    shadow.fail(0x04 | 0x01)
    bench.faulty('shoulder_shadow is limp after an error (input voltage, overheating)')
    bench.driver.recover()
    bench.ready()
    assert shadow.torque


def test_a_motor_that_fails_again_stays_a_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ready()
    motor = bench.sdk.motors['gripper']
    motor.fail(0x20)
    bench.faulty('motor gripper')
    monkeypatch.setattr(motor, 'reboot', lambda: motor.fail(0x20))
    bench.driver.recover()
    bench.wait(lambda: 'motor gripper' in bench.driver.fault())
    monkeypatch.undo()
    bench.driver.recover()
    bench.ready()


def test_an_arm_in_other_modes_is_recovered_without_letting_go_of_it(bench: Bench) -> None:
    bench.ready()
    bench.sdk.motors['gripper'].mode = 'pwm'
    bench.sdk.events.clear()
    bench.driver.recover()
    bench.ready()
    assert bench.sdk.events == ['modes gripper linear_position velocity', 'torque all True']


def test_torque_that_somebody_switched_off_is_a_fault(bench: Bench) -> None:
    bench.ready()
    bench.sdk.motors['waist'].switch(False)
    bench.faulty('no torque on waist')
    bench.sdk.motors['waist'].switch(True)
    bench.sdk.events.clear()
    bench.ready()
    assert 'torque all True' in bench.sdk.events, 'it was not set up again'


def test_a_service_that_never_answers_is_a_fault_until_it_does(bench: Bench) -> None:
    bench.sdk.silent.add('set_operating_modes')
    bench.faulty('service /wx250s/set_operating_modes did not answer')
    bench.does_not_move()
    bench.sdk.silent.clear()
    bench.ready()
    bench.sdk.silent.add('get_motor_registers')
    bench.faulty('service /wx250s/get_motor_registers did not answer')


def test_a_state_that_stops_is_a_fault_until_it_comes_again(bench: Bench) -> None:
    bench.ready()
    bench.sdk.frozen = True
    bench.faulty('sends no joint states')
    bench.does_not_move()
    bench.sdk.frozen = False
    bench.ready()


def test_motors_that_do_not_answer_are_not_taken_for_a_pose(bench: Bench) -> None:
    bench.ready()
    bench.sdk.broken = True
    bench.faulty('do not answer')
    np.testing.assert_allclose(bench.driver.read().position, SLEEP)
    bench.sdk.broken = False
    bench.ready()


def test_a_restart_of_the_vendors_node_is_noticed_and_its_modes_are_set_again(
    bench: Bench,
) -> None:
    bench.ready()
    bench.sdk.stop()
    bench.sdk.events.clear()
    bench.sdk.start()
    bench.wait(lambda: 'modes arm position velocity' in bench.sdk.events)
    bench.ready()
    assert bench.sdk.events[0] == 'started'
    assert bench.sdk.motors['gripper'].mode == 'linear_position'
    target = (0.1, *SLEEP[1:])
    bench.wait(
        lambda: np.allclose(bench.driver.read().position, target, atol=1e-3),
        lambda: bench.go(target),
    )


def test_a_restart_is_noticed_by_silence_where_messages_are_not_counted(
    sdk: XsSdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = WidowXDriver._on_states
    monkeypatch.setattr(WidowXDriver, '_on_states', lambda self, msg, info: hear(self, msg, {}))
    bench = Bench(sdk)
    bench.ready()
    sdk.stop()
    bench.faulty('sends no joint states')
    sdk.events.clear()
    sdk.start()
    bench.wait(lambda: 'modes arm position velocity' in sdk.events)
    bench.ready()
    bench.close()
