# SPDX-License-Identifier: Apache-2.0
"""The teleop node on real rclpy: devices to actions, takeovers to events, silence to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState, Joy
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vvf_msgs.msg import Action, EpisodeEvent
from vvf_msgs.srv import StartEpisode

from vvf.nodes.common import LATCHED
from vvf.nodes.teleop import TeleopNode
from vvf.teleop.commands import KEYS_TOPIC

NAMES = ['waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate', 'left_finger']
EVENTS = (EpisodeEvent.INTERVENTION_START, EpisodeEvent.INTERVENTION_END)


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=66)
    yield
    rclpy.try_shutdown()


class Bench:
    """A teleop node, and everybody else in one other node: camera, human, arm and episode node."""

    def __init__(self, **parameters: Any) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.teleop = TeleopNode(parameter_overrides=overrides)
        self.other = rclpy.create_node('bench')
        self.actions: list[Action] = []
        self.events: list[EpisodeEvent] = []
        self.called: list[str] = []
        publish, subscribe = self.other.create_publisher, self.other.create_subscription
        self.keys = publish(Header, KEYS_TOPIC, 50)
        self.joy = publish(Joy, '/joy', 10)
        self.leader = publish(JointState, '/leader/joint_states', 10)
        self.camera = publish(Image, '/shoulder/image_raw', qos_profile_sensor_data)
        self.arm = publish(JointState, '/joint_states', 10)
        self.policy = publish(Action, '/vvf/action', 10)
        self.told = publish(EpisodeEvent, '/vvf/episode', LATCHED)
        subscribe(Action, '/vvf/action', self._on_action, 50)
        subscribe(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED)
        for name in ('/vvf/estop', '/vvf/estop_reset', '/vvf/arm/prepare'):
            self.other.create_service(Trigger, name, self._answer(name))
        self.other.create_service(StartEpisode, '/vvf/episode/start', self._on_start)
        self.frames: list[int] = []
        self.filming = True
        self.other.create_timer(0.1, self._film)
        self.executor = SingleThreadedExecutor()
        for node in (self.teleop, self.other):
            self.executor.add_node(node)
        publishers = [self.keys, self.camera, self.policy, self.told, self.arm]
        devices = {'gamepad': self.joy, 'leader': self.leader}
        publishers += [d for source, d in devices.items() if source == parameters.get('source')]
        self.wait(lambda: all(p.get_subscription_count() for p in publishers))
        requests = self.teleop._requests
        clients = [*requests._arm.values(), requests._episodes['start']]
        ready = [c for c in clients if c.srv_name != '/vvf/arm/recover']
        self.wait(lambda: all(c.service_is_ready() for c in ready))

    def close(self) -> None:
        self.teleop.close()
        for node in (self.teleop, self.other):
            self.executor.remove_node(node)
            node.destroy_node()

    def wait(self, done: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.02)

    def frames_pass(self, count: int) -> None:
        """Wait until the camera has sent some frames more."""
        until = len(self.frames) + count
        self.wait(lambda: len(self.frames) >= until)

    def drive(self, do: Callable[[], object], until: Callable[[], object]) -> None:
        """Do something with each frame, until something has come of it."""
        for _ in range(100):
            do()
            self.frames_pass(1)
            if until():
                return
        raise AssertionError('nothing came of it')

    def fastest(self) -> float:
        """Largest step forward so far, m."""
        return max((a.data[0] for a in self.actions), default=0.0)

    def now(self) -> Any:
        return self.other.get_clock().now().to_msg()

    def press(self, key: str, stamp: Any = None) -> None:
        self.keys.publish(Header(stamp=stamp or self.now(), frame_id=key))

    def send_joy(self, *buttons: int, forward: float = 0.0) -> None:
        joy = Joy(axes=[0.0, forward, 0, 0, 0, 0], buttons=[int(i in buttons) for i in range(15)])
        joy.header.stamp = self.now()
        self.joy.publish(joy)

    def take_over(self) -> None:
        self.press('i')
        self.wait(lambda: self.teleop.operator.human)

    def begin(self, episode: str) -> None:
        message = EpisodeEvent(event=EpisodeEvent.START, episode_id=episode)
        message.header.stamp = self.now()
        self.told.publish(message)
        self.wait(lambda: self.teleop._requests.running == episode)

    def _film(self) -> None:
        stamp = self.other.get_clock().now()
        self.frames.append(stamp.nanoseconds)
        joints = JointState(name=NAMES, position=[0.1] * 6 + [0.037])
        joints.header.stamp = stamp.to_msg()
        self.arm.publish(joints)
        if self.filming:
            image = Image(height=2, width=2, encoding='rgb8', step=6, data=bytes(12))
            image.header.stamp = stamp.to_msg()
            self.camera.publish(image)

    def _on_action(self, message: Action) -> None:
        if message.source == Action.SOURCE_HUMAN:
            self.actions.append(message)

    def _on_event(self, message: EpisodeEvent) -> None:
        if message.event in EVENTS:
            self.events.append(message)

    def _answer(self, name: str) -> Callable[[Any, Any], Any]:
        def answer(_: Any, response: Any) -> Any:
            self.called.append(name)
            response.success, response.message = True, 'done'
            return response

        return answer

    def _on_start(self, _: Any, response: Any) -> Any:
        self.called.append('/vvf/episode/start')
        response.success, response.episode_id = True, 'seven'
        return response


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**parameters: Any) -> Bench:
        made.append(Bench(**parameters))
        return made[-1]

    yield make
    for one in made:
        one.close()


def stamp_ns(message: Any) -> int:
    return int(Time.from_msg(message.header.stamp).nanoseconds)


def test_a_takeover_in_an_episode_is_an_event_and_its_actions_answer_later_frames(bench) -> None:
    made = bench(ramp_s=0.0)
    made.begin('one')
    made.press('up')
    made.frames_pass(3)
    assert not made.actions, 'nobody has taken over'
    policy = Action(source=Action.SOURCE_POLICY, horizon=1, dim=6, data=[0.0] * 6, gripper=[0.0])
    made.policy.publish(policy)
    made.wait(lambda: made.teleop.operator.sides[0].opening == 0.0)
    made.take_over()
    full = pytest.approx(0.3 * 0.25 * 0.2)
    made.drive(lambda: made.press('up'), lambda: len(made.actions) > 3 and made.fastest() == full)
    made.press('i')
    made.wait(lambda: len(made.events) == 2)
    made.frames_pass(1)
    count = len(made.actions)
    made.press('up')
    made.frames_pass(3)
    assert len(made.actions) == count, 'nor has anybody any more'
    start, end = made.events
    assert [e.event for e in made.events] == list(EVENTS)
    assert {e.episode_id for e in made.events} == {'one'}
    stamps = [stamp_ns(a) for a in made.actions]
    assert set(stamps) <= set(made.frames), 'each answers a frame'
    assert stamp_ns(start) < stamps[0] <= stamps[-1] < stamp_ns(end)
    assert np.diff(stamps).min() >= 0.15e9
    for action in made.actions:
        assert (action.kind, action.horizon, action.dim) == (Action.KIND_EE_DELTA, 1, 6)
        assert list(action.names) == ['x', 'y', 'z', 'rx', 'ry', 'rz']
        assert list(action.gripper) == [0.0], "the policy's gripper is kept"
    data = np.array([a.data for a in made.actions])
    assert data[:, 0].max() == full
    assert not data[:, 1:].any()


def test_a_human_who_drives_when_an_episode_begins_has_it_from_its_first_moment(bench) -> None:
    made = bench()
    made.take_over()
    made.begin('two')
    made.wait(lambda: len(made.events) == 2)
    assert [e.episode_id for e in made.events] == ['', 'two']
    assert {e.event for e in made.events} == {EpisodeEvent.INTERVENTION_START}
    end = EpisodeEvent(event=EpisodeEvent.INTERVENTION_END, episode_id='two')
    made.told.publish(end)  # of long ago: as when a node hears its own last one again
    made.frames_pass(2)
    assert made.teleop.operator.human
    end.header.stamp = made.now()
    made.told.publish(end)
    made.wait(lambda: not made.teleop.operator.human)


def test_without_frames_the_arm_is_moved_between_episodes_only(bench) -> None:
    made = bench()
    made.filming = False
    made.take_over()
    made.drive(lambda: made.press(''), lambda: made.actions)
    made.begin('three')
    made.wait(lambda: len(made.events) == 2)
    made.actions.clear()
    for _ in range(6):
        made.press('up')
        made.frames_pass(1)
    assert not made.actions
    assert made.teleop._warning() == 'no new image on /shoulder/image_raw: the arm holds'
    made.filming = True
    made.drive(lambda: made.press(''), lambda: made.actions)


def test_a_terminal_that_dies_ends_the_actions_but_not_the_intervention(bench) -> None:
    made = bench(terminal_timeout_s=0.2)
    made.begin('four')
    made.take_over()
    made.drive(lambda: made.press(''), lambda: made.actions)
    made.frames_pass(3)
    made.actions.clear()
    made.frames_pass(4)
    assert not made.actions
    assert len(made.events) == 1, 'the policy does not get the arm while nobody looks'
    made.drive(lambda: made.press(''), lambda: made.actions)


def test_an_old_key_moves_nothing_but_an_old_stop_stops(bench) -> None:
    made = bench()
    old = Time(nanoseconds=made.other.get_clock().now().nanoseconds - 10**9).to_msg()
    made.press('i', old)
    made.press('esc', old)
    made.wait(lambda: '/vvf/estop' in made.called)
    assert not made.teleop.operator.human
    made.press('U')
    made.wait(lambda: '/vvf/estop_reset' in made.called)


def test_keys_ask_the_episode_node_and_the_arm(bench) -> None:
    made = bench()
    made.press(' ')
    made.wait(lambda: made.teleop._said == 'started seven')
    made.begin('seven')
    made.press('H')
    made.wait(lambda: made.teleop._said.startswith('end the episode first'))
    assert '/vvf/arm/prepare' not in made.called
    made.press('s')
    made.wait(lambda: made.teleop._said == 'no episode node answers: does the graph run?')


def test_a_pad_moves_the_arm_and_a_silent_pad_does_not(bench) -> None:
    made = bench(source='gamepad', ramp_s=0.0, terminal_timeout_s=0.2)
    for buttons in ((), (3,)):
        made.send_joy(*buttons)
    made.wait(lambda: made.teleop.operator.human)
    full = pytest.approx(0.3 * 0.25 * 0.2)
    made.drive(lambda: made.send_joy(9, forward=1.0), lambda: made.fastest() == full)
    made.frames_pass(4)
    made.actions.clear()
    made.frames_pass(3)
    assert not made.actions, 'silent'
    made.drive(lambda: made.send_joy(forward=1.0), lambda: len(made.actions) > 1)
    assert not np.array([a.data for a in made.actions]).any(), 'without the deadman button'
    made.actions.clear()
    pad = made.teleop.operator.gamepad
    made.drive(lambda: made.send_joy(9, forward=float('nan')), lambda: pad.refused > 4)
    assert not np.array([a.data for a in made.actions]).any()


def test_a_leader_is_repeated_and_one_that_sends_nan_is_not(bench) -> None:
    made = bench(source='leader', ramp_s=0.0, leader_timeout_s=0.8)

    def lead(waist: float) -> None:
        joints = JointState(name=NAMES, position=[waist, -0.5, 0.5, 0.0, 0.5, 0.0, 0.03])
        joints.header.stamp = made.now()
        made.leader.publish(joints)
        made.executor.spin_once(timeout_sec=0.02)

    made.wait(lambda: lead(0.7) or made.teleop.operator.sides[0].leader.alive(time.monotonic()))
    made.take_over()
    assert made.teleop.operator.engaged
    made.wait(lambda: lead(0.7) or len(made.actions) > 2)
    data = [a.data for a in made.actions]
    np.testing.assert_allclose(data, 0.0, atol=1e-12, err_msg='no jump, whatever its posture')
    made.actions.clear()
    for i in range(40):
        lead(0.7 + 0.005 * i)
    made.wait(lambda: lead(0.895) or np.abs([a.data for a in made.actions]).sum() > 0.05)
    made.wait(lambda: lead(float('nan')) or not made.teleop.operator.engaged)
    made.actions.clear()
    made.drive(lambda: made.press(''), lambda: len(made.actions) > 1)
    np.testing.assert_allclose([a.data for a in made.actions], 0.0, atol=1e-12)
    assert made.teleop.operator.sides[0].leader.refused > 0
