# SPDX-License-Identifier: Apache-2.0
"""Planned moves: who asks gets a checked way, or one sentence; without MoveIt nothing breaks."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger
from vvf_msgs.srv import PlanMove

from vvf.errors import UserError
from vvf.moveit.path import PlanError, PlannedPath
from vvf.nodes import moveit_client
from vvf.nodes.arm import ArmNode
from vvf.nodes.moveit import MoveItNode
from vvf.nodes.moveit_client import PLAN_SERVICE, PlanClient
from vvf.safety import MaxAges, Mode, SafetyGate
from vvf.safety_limits import load_limits
from vvf_sim.robots.arm import arm_model
from vvf_sim.rotations import orthonormalise

LIMITS = load_limits('wx250s')
START = np.array([0.4, -0.3, 0.5, 0.1, 1.0, 0.2])


class Straight:
    """A planner that goes straight, through a posture half way; `wrong` is added to it."""

    def __init__(self, wrong: float = 0.0, seconds: float = 4.0) -> None:
        self.asked: list[tuple[np.ndarray, np.ndarray, float]] = []
        self._wrong, self._seconds = wrong, seconds
        self.blocked = False

    def plan(self, start, goal, speed):
        self.asked.append((start, goal, speed))
        if self.blocked or goal[0] > 2.0:
            raise PlanError('there is a wall')
        way = np.array([start, (start + goal) / 2 + self._wrong, goal])
        return np.array([0.0, 0.5, 1.0]) * self._seconds, way


# -- the path ------------------------------------------------------------------------------


def test_a_path_leads_from_start_to_goal_through_what_was_planned() -> None:
    between = (START + LIMITS.home) / 2 + 0.1
    near = START + 0.01  # a plan may begin a little beside
    path = PlannedPath([1.0, 3.0, 5.0], [near, between, LIMITS.home], LIMITS, START, LIMITS.home)
    assert path.duration == 4.0
    np.testing.assert_allclose(path.at(-1.0), START)
    np.testing.assert_allclose(path.at(2.0), between)
    np.testing.assert_allclose(path.at(9.0), LIMITS.home)


def test_a_path_that_is_too_fast_is_stretched() -> None:
    path = PlannedPath([0.0, 0.1], [START, LIMITS.home], LIMITS, START, LIMITS.home)
    slowest = np.abs(LIMITS.home - START) / LIMITS.move_velocity
    assert path.duration == pytest.approx(slowest.max())


def test_a_path_leads_in_from_a_little_beyond_a_limit() -> None:
    start = START.copy()
    start[2] = LIMITS.upper[2] + 0.05
    path = PlannedPath([0, 4], [LIMITS.clip(start), LIMITS.home], LIMITS, start, LIMITS.home)
    np.testing.assert_array_equal(path.at(0.0), start)


@pytest.mark.parametrize(
    ('times', 'way', 'word'),
    [
        ([0.0, 1.0], [START, START], 'does not lead'),
        ([0.0, 1.0], [LIMITS.home, LIMITS.home], 'does not lead'),
        ([0.0, 1.0, 2.0], [START, START + 9.0, LIMITS.home], 'joint limit'),
        ([0.0, 0.0], [START, LIMITS.home], 'backwards'),
        ([0.0, np.nan], [START, LIMITS.home], 'no numbers'),
        ([0.0, 1.0], [START[:5], LIMITS.home[:5]], '6 joints'),
        ([], [], '6 joints'),
        ([0.0, 1.0], [START, LIMITS.home[:5]], 'a table of angles'),
    ],
)
def test_a_path_that_is_none_is_refused(times, way, word: str) -> None:
    with pytest.raises(PlanError, match=word):
        PlannedPath(times, way, LIMITS, START, LIMITS.home)


# -- the node ------------------------------------------------------------------------------


class Asker:
    """A moveit node and who asks it, in a ROS of their own, spun together."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=92)
        self.planner = Straight()
        self.node = MoveItNode(lambda robot: self.planner, context=self.context)
        self.other = rclpy.create_node('asker', context=self.context)
        self.client = self.other.create_client(PlanMove, PLAN_SERVICE)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes = [self.node, self.other]
        for node in self.nodes:
            self.executor.add_node(node)
        self.wait(self.client.service_is_ready)

    def wait(self, done) -> None:
        end = time.monotonic() + 30.0
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, client, request):
        self.wait(client.service_is_ready)
        future = client.call_async(request)
        self.wait(future.done)
        return future.result()

    def ask(self, **request) -> PlanMove.Response:
        return self.call(self.client, PlanMove.Request(**request))

    def remove(self, node) -> None:
        self.executor.remove_node(node)
        self.nodes.remove(node)
        node.destroy_node()

    def close(self) -> None:
        for node in list(self.nodes):
            self.remove(node)
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def asker() -> Iterator[Asker]:
    made = Asker()
    yield made
    made.close()


def test_requests_for_postures_and_poses(asker: Asker) -> None:
    answer = asker.ask(start=START.tolist(), goal=LIMITS.home.tolist(), speed=0.5)
    assert answer.success, answer.message
    assert tuple(answer.trajectory.joint_names) == LIMITS.joint_names
    np.testing.assert_allclose(answer.trajectory.points[-1].positions, LIMITS.home)
    assert asker.planner.asked[-1][2] == 0.5

    kinematics = arm_model('wx250s').kinematics(LIMITS.lower, LIMITS.upper)
    wanted = kinematics.forward(LIMITS.home)
    request = PlanMove.Request()
    p, q = request.pose.position, request.pose.orientation
    p.x, p.y, p.z = wanted[:3, 3].tolist()
    half = np.sqrt(0.5)  # the gripper points down
    q.x, q.y, q.z, q.w = 0.0, half, 0.0, half
    answer = asker.ask(start=START.tolist(), pose=request.pose)
    assert answer.success, answer.message
    reached = kinematics.forward(np.array(answer.trajectory.points[-1].positions))
    np.testing.assert_allclose(reached[:3, 3], wanted[:3, 3], atol=1e-5)
    np.testing.assert_allclose(orthonormalise(reached[:3, :3])[:, 0], [0, 0, -1], atol=1e-4)
    assert asker.planner.asked[-1][2] == 0.3, "the node's own pace"

    for wrong, word in (
        ({'start': START.tolist(), 'goal': [2.5, 0.0, 0.0, 0.0, 0.0, 0.0]}, 'there is a wall'),
        ({'start': [], 'goal': LIMITS.home.tolist()}, '6 finite angles'),
        ({'start': START.tolist(), 'goal': [float('nan')] * 6}, '6 finite angles'),
        ({'start': START.tolist(), 'joint_names': ['elbow']}, 'in this order'),
        ({'start': [9.0] * 6, 'goal': LIMITS.home.tolist()}, 'joint limit'),
    ):
        answer = asker.ask(**wrong)
        assert not answer.success
        assert word in answer.message
        assert not answer.trajectory.points
    request.pose.position.x = 3.0
    assert 'cannot reach' in asker.ask(start=START.tolist(), pose=request.pose).message


def test_an_arm_gets_a_way_or_a_reason(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    client = PlanClient(asker.other, LIMITS)
    asker.wait(lambda: client.ready)

    async def ask(goal: np.ndarray):
        try:
            return await client.way(START, goal)
        except PlanError as error:
            return str(error)

    def way(goal: np.ndarray):
        task = asker.executor.create_task(ask(goal))
        asker.wait(task.done)
        return task.result()

    path = way(LIMITS.home)
    np.testing.assert_allclose(path.at(path.duration), LIMITS.home)
    assert way(np.array([2.5, 0, 0, 0, 0, 0])) == 'there is a wall'
    asker.remove(asker.node)
    asker.wait(lambda: not client.ready)
    monkeypatch.setattr(moveit_client, 'LOADING', 2)
    assert way(LIMITS.home) == 'the moveit node is not there: its log says why'


def test_where_moveit_is_missing_the_node_says_so_to_who_asks(asker: Asker) -> None:
    def missing(robot: str) -> Straight:
        raise UserError(f'no MoveIt for {robot}')

    asker.remove(asker.node)
    asker.wait(lambda: not asker.client.service_is_ready())
    node = MoveItNode(missing, context=asker.context)
    asker.executor.add_node(node)
    asker.nodes.append(node)
    answer = asker.ask(start=START.tolist(), goal=LIMITS.home.tolist())
    assert (answer.success, answer.message) == (False, 'nobody plans ways: no MoveIt for wx250s')
    client = PlanClient(asker.other, LIMITS)
    task = asker.executor.create_task(client.way(START, LIMITS.home))
    asker.wait(task.done)
    assert task.result() is None, 'straight home'


def test_a_planner_that_stumbles_is_an_answer(asker: Asker) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError('no kinematics plugin')

    asker.planner.plan = stumble
    answer = asker.ask(start=START.tolist(), goal=LIMITS.home.tolist())
    assert (answer.success, answer.message) == (False, 'the planner failed: no kinematics plugin')


# -- the arm --------------------------------------------------------------------------------


def gate_at(position: np.ndarray) -> SafetyGate:
    gate = SafetyGate(LIMITS, MaxAges(joint_state=0.25))
    gate.start_from(position, 0.03)
    return gate


def go(gate: SafetyGate, seconds: float, *, fresh: bool = True, began: float = 0.0) -> np.ndarray:
    """What the gate commands, (k, 6)."""
    commands = []
    for now in np.arange(began, began + seconds, 0.02):
        if fresh:
            gate.saw('joint_state', now)
        commands.append(gate.command(None, 0.03, now, 0.02).position)
    return np.array(commands)


def around(position: np.ndarray) -> PlannedPath:
    """Home, by a posture that is not between."""
    half = (position + LIMITS.home) / 2 + np.array([0.5, 0, 0, 0, 0, 0.5])
    return PlannedPath(
        [0.0, 2.0, 4.0], [position, half, LIMITS.home], LIMITS, position, LIMITS.home
    )


def test_the_gate_goes_a_planned_way_within_its_limits() -> None:
    gate = gate_at(START)
    gate.move_home(way=around(START))
    went = go(gate, 5.0)
    assert gate.mode is Mode.HOLDING
    np.testing.assert_allclose(went[-1], LIMITS.home, atol=2e-3)
    assert went[:, 0].max() > START[0] + 0.2, 'the way around'
    speed = np.diff(went, axis=0) / 0.02
    assert (np.abs(speed) <= LIMITS.velocity + 1e-6).all()
    assert (np.abs(np.diff(speed, axis=0)) / 0.02 <= LIMITS.acceleration + 1e-3).all()


def test_a_planned_way_is_given_up_and_not_replaced_by_a_straight_one() -> None:
    gate = gate_at(START)
    gate.move_home(way=around(START + 0.1))
    went = go(gate, 1.0)
    assert gate.mode is Mode.HOLDING
    np.testing.assert_allclose(went, np.tile(START, (len(went), 1)))

    gate.move_home(way=around(START))
    go(gate, 1.5, began=1.0)
    held_up = go(gate, 1.0, fresh=False, began=2.5)
    assert gate.mode is Mode.HOLDING
    after = go(gate, 1.0, began=3.5)
    np.testing.assert_allclose(after, np.tile(held_up[-1], (len(after), 1)))
    gate.move_home()
    np.testing.assert_allclose(go(gate, 6.0, began=4.5)[-1], LIMITS.home, atol=2e-3)


def test_an_arm_node_goes_home_by_the_way_that_is_planned(asker: Asker) -> None:
    asked = [Parameter('moveit', value=True)]
    arm = ArmNode(context=asker.context, parameter_overrides=asked)
    asker.executor.add_node(arm)
    asker.nodes.append(arm)
    home = asker.other.create_client(Trigger, '/vvf/arm/move_home')
    try:
        asker.wait(lambda: arm._asked._planner.ready and arm.team.mode is Mode.HOLDING)
        answer = asker.call(home, Trigger.Request())
        assert answer.success, answer.message
        assert len(asker.planner.asked) == 1
        asker.planner.blocked = True
        answer = asker.call(home, Trigger.Request())
        assert not answer.success
        assert answer.message == 'no way home: there is a wall'
    finally:
        arm.close()
