# SPDX-License-Identifier: Apache-2.0
"""The arm node on real rclpy, before stand-in motors: what it is asked, and who has the arm."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectoryPoint
from vvf_msgs.msg import Action, EpisodeEvent
from vvf_msgs.srv import PlanMove

from tests.vvf.motors import LIMITS, Motors
from vvf.nodes import arm as arm_module
from vvf.nodes import moveit_client
from vvf.nodes.arm import ArmNode
from vvf.nodes.common import LATCHED, seconds
from vvf.nodes.moveit_client import PLAN_SERVICE
from vvf.safety import Mode, Reason


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=93)
    yield
    rclpy.try_shutdown()


class Bench:
    """An arm node with stand-in motors, and a node that speaks to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.motors = Motors(position=LIMITS.sleep.copy())
        self.other = rclpy.create_node('bench')
        self.events = self.other.create_publisher(EpisodeEvent, '/vvf/episode', LATCHED)
        self.actions = self.other.create_publisher(Action, '/vvf/action', 10)
        self.button = self.other.create_publisher(Bool, '/vvf/estop/pressed', LATCHED)
        self.states: list[str] = []
        self.other.create_subscription(
            String, '/vvf/arm/state', lambda m: self.states.append(m.data), LATCHED
        )
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.other)
        self.arm: ArmNode | None = None

    def start(self, **parameters: Any) -> ArmNode:
        self.monkeypatch.setattr(arm_module, 'make_drivers', lambda *_, **__: {'': self.motors})
        given = [Parameter(name, value=value) for name, value in parameters.items()]
        self.arm = ArmNode(parameter_overrides=given)
        self.executor.add_node(self.arm)
        self.wait(lambda: self.actions.get_subscription_count() and self.states)
        return self.arm

    def close(self) -> None:
        for node in filter(None, (self.arm, self.other)):
            self.executor.remove_node(node)
            node.destroy_node()

    def wait(self, done: Callable[[], object], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def ask(self, service: str) -> Any:
        """Begin a call; the future of its answer."""
        client = self.other.create_client(Trigger, service)
        self.wait(client.service_is_ready)
        return client.call_async(Trigger.Request())

    def call(self, service: str) -> tuple[bool, str]:
        future = self.ask(service)
        self.wait(future.done)
        return future.result().success, future.result().message

    def now(self) -> Any:
        return self.other.get_clock().now().to_msg()

    def tell(self, event: int, episode: str = 'one') -> Any:
        """Publish an event, wait until it was heard; its stamp."""
        assert self.arm is not None
        message = EpisodeEvent(event=event, episode_id=episode)
        message.header.stamp = self.now()
        self.events.publish(message)
        self.wait(lambda: self.arm.arbiter.changed == seconds(message.header.stamp))
        return message.header.stamp

    def act(self, source: int, stamp: Any = None, up: float = 0.03) -> None:
        message = Action(
            source=source, horizon=1, dim=6, data=[0.0, 0.0, up, 0, 0, 0], gripper=[1.0], dt=0.2
        )
        message.header.stamp = stamp or self.now()
        self.actions.publish(message)

    def refused(self, reason: Reason, source: int, stamp: Any = None) -> None:
        assert self.arm is not None
        before = self.arm.team.refusals[reason]
        self.act(source, stamp)
        self.wait(lambda: self.arm.team.refusals[reason] == before + 1)

    def followed(self, source: int, up: float = 0.03) -> None:
        assert self.arm is not None
        self.act(source, up=up)
        self.wait(lambda: self.arm.team.mode is Mode.RUNNING)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.close()


def test_an_arm_that_is_not_heard_is_waited_for(bench: Bench) -> None:
    bench.motors.heard = False
    bench.start()
    assert bench.states == ['waiting: no joint state yet']
    for service in ('/vvf/arm/prepare', '/vvf/arm/move_home', '/vvf/arm/park'):
        assert bench.call(service) == (
            False,
            'no joint state has come yet: is the driver of the arm running?',
        )
    bench.motors.heard = True
    bench.wait(lambda: bench.states[-1] == 'holding')


def test_ways_answer_when_the_arm_has_arrived(bench: Bench) -> None:
    bench.start()
    assert bench.call('/vvf/arm/prepare') == (True, 'at home')
    np.testing.assert_allclose(bench.motors.position, LIMITS.home, atol=1e-3)
    assert bench.motors.gripper == pytest.approx(LIMITS.gripper_upper)
    assert bench.call('/vvf/arm/park') == (True, 'asleep')
    np.testing.assert_allclose(bench.motors.position, LIMITS.sleep, atol=1e-3)
    assert bench.states[-4:] == ['moving', 'holding', 'parking', 'parked']
    going = bench.ask('/vvf/arm/move_home')
    bench.wait(lambda: bench.states[-1] == 'moving')
    assert bench.call('/vvf/estop') == (True, 'stopped'), 'served on the way'
    bench.wait(going.done)
    assert not going.result().success
    assert going.result().message == 'the emergency stop is on: reset it first'


def test_a_driver_that_gets_ready_by_itself_is_waited_for(bench: Bench) -> None:
    def prepare() -> str:
        bench.motors.trouble = 'it moves'
        return 'home, by the vendor'

    bench.start()
    bench.monkeypatch.setattr(bench.motors, 'prepare', prepare)
    going = bench.ask('/vvf/arm/prepare')
    bench.wait(lambda: bench.states[-1] == 'fault: it moves')
    assert not going.done()
    bench.motors.position, bench.motors.trouble = LIMITS.home, ''
    bench.wait(going.done)
    assert (going.result().success, going.result().message) == (True, 'home, by the vendor')


def test_a_fault_is_said_and_mended_when_asked(bench: Bench) -> None:
    arm = bench.start()
    levels: list[bytes] = []
    bench.other.create_subscription(
        DiagnosticArray, '/diagnostics', lambda m: levels.append(m.status[0].level), 10
    )
    bench.motors.trouble = 'the elbow is limp: call /vvf/arm/recover'
    bench.wait(lambda: bench.states[-1] == f'fault: {bench.motors.trouble}')
    bench.wait(lambda: b'\x02' in levels)
    bench.refused(Reason.FAULT, Action.SOURCE_HUMAN)
    assert bench.call('/vvf/arm/prepare') == (False, bench.motors.trouble)
    assert bench.call('/vvf/arm/recover')[0]
    assert bench.motors.recoveries == 1
    bench.motors.trouble = ''
    bench.wait(lambda: bench.states[-1] == 'holding')
    bench.followed(Action.SOURCE_HUMAN)
    arm.begin_stop()
    assert arm.stop_patience_s > 2.0
    bench.wait(lambda: arm.stopped)
    np.testing.assert_allclose(bench.motors.position, LIMITS.sleep, atol=2e-3)


def test_a_button_stops_and_letting_go_of_it_does_not_start(bench: Bench) -> None:
    bench.start()
    bench.button.publish(Bool(data=True))
    bench.wait(lambda: bench.states[-1] == 'stopped: reset it with /vvf/estop_reset')
    assert bench.call('/vvf/estop_reset') == (
        False,
        'the emergency stop button is pressed: release it first',
    )
    bench.button.publish(Bool(data=False))
    bench.wait(lambda: bench.call('/vvf/estop_reset')[0])
    bench.wait(lambda: bench.states[-1] == 'holding')


def test_a_button_with_the_qos_that_publishers_have_is_heard(bench: Bench) -> None:
    bench.start()
    plain = bench.other.create_publisher(Bool, '/vvf/estop/pressed', 10)
    bench.wait(lambda: plain.get_subscription_count() > 0)
    plain.publish(Bool(data=True))
    bench.wait(lambda: bench.states[-1] == 'stopped: reset it with /vvf/estop_reset')


def test_a_reset_is_refused_while_the_arm_brakes(bench: Bench) -> None:
    arm = bench.start()
    going = bench.ask('/vvf/arm/move_home')
    bench.wait(lambda: not arm.team.units[0].gate.still)
    bench.monkeypatch.setattr(arm.team, 'act', lambda *_: None)  # as long as we look
    assert bench.call('/vvf/estop') == (True, 'stopped')
    assert bench.call('/vvf/estop_reset') == (False, 'the arm still brakes: ask again')
    assert arm.team.mode is Mode.STOPPED
    bench.monkeypatch.undo()
    bench.wait(going.done)
    bench.wait(lambda: arm.team.units[0].gate.still)
    assert bench.call('/vvf/estop_reset')[0]


class Planning:
    """A planner that answers when it is told to.

    Attributes:
        asked: whether somebody waits for it.
        ready: what it waits for.
    """

    def __init__(self, bench: Bench) -> None:
        self.asked, self.ready = False, Future()
        group = ReentrantCallbackGroup()  # who waits keeps no other answer from coming
        bench.other.create_service(PlanMove, PLAN_SERVICE, self._serve, callback_group=group)

    async def _serve(
        self, request: PlanMove.Request, response: PlanMove.Response
    ) -> PlanMove.Response:
        self.asked = True
        await self.ready
        response.success = True
        for second, posture in ((0, request.start), (4, request.goal)):
            point = JointTrajectoryPoint(positions=posture)
            point.time_from_start.sec = second
            response.trajectory.points.append(point)
        return response


@pytest.mark.parametrize('later', ['park', 'stop', 'takeover', 'episode'])
def test_a_way_that_is_planned_yet_does_not_outlive_a_later_request(
    bench: Bench, later: str
) -> None:
    planning = Planning(bench)
    arm = bench.start(moveit=True)
    going = bench.ask('/vvf/arm/move_home')
    bench.wait(lambda: planning.asked)
    if later == 'park':
        assert bench.call('/vvf/arm/park') == (True, 'asleep')
    elif later == 'stop':
        bench.call('/vvf/estop')
        assert bench.call('/vvf/estop_reset')[0]
        bench.wait(lambda: arm.team.mode is Mode.HOLDING)
    elif later == 'takeover':
        bench.tell(EpisodeEvent.INTERVENTION_START)
    else:
        bench.tell(EpisodeEvent.START)
    before = arm.team.mode
    planning.ready.set_result(None)
    bench.wait(going.done)
    assert going.result().message == 'interrupted by a later request'
    assert arm.team.mode is before


def test_home_waits_for_moveit_to_load_and_is_refused_where_it_never_does(bench: Bench) -> None:
    bench.monkeypatch.setattr(moveit_client, 'LOADING', 2)
    arm = bench.start(moveit=True)
    assert bench.call('/vvf/arm/move_home') == (
        False,
        'no way home: the moveit node is not there: its log says why',
    )
    assert arm.team.mode is Mode.HOLDING
    bench.monkeypatch.setattr(moveit_client, 'LOADING', 100)
    going = bench.ask('/vvf/arm/move_home')
    planning = Planning(bench)
    planning.ready.set_result(None)
    bench.wait(lambda: planning.asked)
    bench.wait(lambda: bench.states[-1] == 'moving')
    assert not going.done()


def test_a_button_that_is_watched_and_falls_silent_stops(bench: Bench) -> None:
    timer = bench.other.create_timer(0.05, lambda: bench.button.publish(Bool(data=False)))
    arm = bench.start(watch_estop_button=True, max_button_age_s=1.0)
    bench.followed(Action.SOURCE_HUMAN)
    bench.other.destroy_timer(timer)
    bench.wait(lambda: arm.team.mode is Mode.STOPPED)
    assert bench.call('/vvf/estop_reset') == (
        False,
        'the emergency stop button is silent: connect it first',
    )
    bench.other.create_timer(0.05, lambda: bench.button.publish(Bool(data=False)))
    bench.wait(lambda: bench.call('/vvf/estop_reset')[0])
    bench.wait(lambda: arm.team.mode is Mode.HOLDING)


def test_a_human_takes_over_and_gives_back(bench: Bench) -> None:
    policy, human = Action.SOURCE_POLICY, Action.SOURCE_HUMAN
    arm = bench.start()
    bench.call('/vvf/arm/move_home')
    bench.tell(EpisodeEvent.START)
    began = len(bench.motors.commands)
    bench.followed(policy, up=0.05)
    bench.tell(EpisodeEvent.INTERVENTION_START)
    assert arm.team.mode is Mode.HOLDING
    bench.wait(lambda: bench.states[-1] == 'holding: a human has taken over')
    bench.refused(Reason.HUMAN, policy)
    bench.refused(Reason.HUMAN, Action.SOURCE_REPLAY)
    assert arm.team.mode is Mode.HOLDING
    bench.followed(human, up=-0.05)
    before = bench.now()
    bench.tell(EpisodeEvent.INTERVENTION_END)
    assert arm.team.mode is Mode.HOLDING
    bench.refused(Reason.OUTDATED, policy, before)
    bench.followed(policy)
    # No clock here: between two commands lies at most what an arm does in the longest tick.
    q = np.array([command.position for command in bench.motors.commands[began:]])
    for earlier, later in itertools.pairwise(q):
        assert np.abs(later - earlier).max() <= LIMITS.velocity.max() * 0.1 + 1e-6
