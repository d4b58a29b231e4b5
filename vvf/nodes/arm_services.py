# SPDX-License-Identifier: Apache-2.0
"""What people and other nodes ask of the arms: stop, recover, home, sleep.

Services: `/vvf/arm/prepare`, `/vvf/arm/move_home`, `/vvf/arm/park`, `/vvf/arm/recover`,
`/vvf/estop`, `/vvf/estop_reset`; a button: `/vvf/estop/pressed`. Those that move an arm answer when
it has arrived.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from vvf.moveit.path import PlanError
from vvf.nodes.common import LATCHED, stream_qos
from vvf.nodes.episode_runner import until
from vvf.nodes.moveit_client import PlanClient
from vvf.safety import Mode

if TYPE_CHECKING:
    from vvf.nodes.arm import ArmNode


class ArmServices:
    """Serves on behalf of an `ArmNode`; everything waits as a coroutine on its executor.

    Args:
        node: whose arms.
        button_age_s: how long the button may be silent; `None` where there is none.
    """

    def __init__(self, node: ArmNode, button_age_s: float | None) -> None:
        self._node = node
        self._team = node.team
        self._button_age = button_age_s
        self._pressed = False
        self._heard = time.monotonic()
        self._ways: list[tuple[set[Mode], Mode, Future]] = []
        self._turn = 0
        planned = node.parameters['moveit'] and len(self._team.units) == 1
        self._planner = PlanClient(node, self._team.units[0].gate.limits) if planned else None
        # Whoever waits for the arm's arrival must not keep the control tick from being called.
        group = ReentrantCallbackGroup()
        for name, serve in (
            ('/vvf/arm/prepare', self._prepare),
            ('/vvf/arm/move_home', self._move_home),
            ('/vvf/arm/park', self._park),
            ('/vvf/arm/recover', self._recover),
            ('/vvf/estop', self._estop),
            ('/vvf/estop_reset', self._reset),
        ):
            node.create_service(Trigger, name, serve, callback_group=group)
        # Latched, a button that was pressed before is heard; but that matches latched publishers
        # only. What comes by both counts twice, which changes nothing.
        for qos in (LATCHED, stream_qos(depth=10)):
            node.create_subscription(Bool, '/vvf/estop/pressed', self._on_button, qos)

    def tick(self, now: float) -> None:
        """Answer who waits for a way that is over, and mind the button; `now` is steady, in s."""
        if self._button_age is not None and now - self._heard > self._button_age:
            self._stop('the emergency stop button is silent')
        for way in tuple(self._ways):
            under_way, arrived, future = way
            modes = {unit.gate.mode for unit in self._team.units}
            if not modes & under_way:
                self._ways.remove(way)
                future.set_result(modes == {arrived})

    def interrupt(self) -> None:
        """Drop a way that is being planned: somebody wants something else since."""
        self._turn += 1

    # -- the emergency stop ----------------------------------------------------------------

    def _on_button(self, message: Bool) -> None:
        self._heard = time.monotonic()
        self._pressed = bool(message.data)
        if self._pressed:
            self._stop('the emergency stop button is pressed')

    def _stop(self, why: str) -> None:
        self.interrupt()
        if self._team.mode is not Mode.STOPPED:
            self._team.emergency_stop()
            self._node.get_logger().error(f'{why}: the arm holds until /vvf/estop_reset')

    def _estop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._stop('emergency stop')
        return _answer(response, '', 'stopped')

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.interrupt()
        silent = self._button_age is not None and (
            time.monotonic() - self._heard > self._button_age
        )
        problem = ''
        if self._pressed:
            problem = 'the emergency stop button is pressed: release it first'
        elif silent:
            problem = 'the emergency stop button is silent: connect it first'
        elif not all(unit.gate.still for unit in self._team.units):
            problem = 'the arm still brakes: ask again'
        else:
            self._team.reset()
        return _answer(response, problem, 'the arm follows actions again')

    def _recover(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.interrupt()
        fault = self._team.fault
        if fault:
            self._node.get_logger().warning(f'recovering, as was asked: {fault}')
        self._team.recover()
        return _answer(response, '', 'recovery begins; /vvf/arm/state says when it is through')

    # -- ways ------------------------------------------------------------------------------

    async def _prepare(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        problem = self._immovable()
        if problem:
            return _answer(response, problem)
        self._begin()
        said = self._team.prepare()
        if said is None:
            return await self._go_home(response, opens=True)
        self._node.restart_clock()
        # Or a fault: a driver that moves by itself says so meanwhile.
        return await self._arrive({Mode.FAULT, Mode.WAITING}, Mode.HOLDING, response, said)

    async def _move_home(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        problem = self._immovable()
        if problem:
            return _answer(response, problem)
        self._begin()
        return await self._go_home(response)

    async def _go_home(
        self, response: Trigger.Response, *, opens: bool = False
    ) -> Trigger.Response:
        """Along a way around things, where somebody plans one; else straight in joint space."""
        way = None
        if self._planner is not None:
            turn = self._turn
            gate = self._team.units[0].gate
            await until(self._node, lambda: gate.still)
            try:
                if gate.position is not None:
                    way = await self._planner.way(gate.position, gate.limits.home)
            except PlanError as error:
                return _answer(response, f'no way home: {error}')
            problem = self._immovable()
            if not problem and turn != self._turn:
                problem = 'interrupted by a later request'
            if problem:
                return _answer(response, problem)
        self._team.move_home(opens=opens, way=way)
        return await self._arrive({Mode.MOVING}, Mode.HOLDING, response, 'at home')

    async def _park(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        problem = self._immovable()
        if problem:
            return _answer(response, problem)
        self._begin()
        self._team.park()
        return await self._arrive({Mode.PARKING}, Mode.PARKED, response, 'asleep')

    def _begin(self) -> None:
        """Brake for what is asked now, instead of what was before."""
        self.interrupt()
        self._node.stop_motion()

    def _immovable(self) -> str:
        mode = self._team.mode
        if mode is Mode.STOPPED:
            return 'the emergency stop is on: reset it first'
        if mode is Mode.FAULT:
            return self._team.fault
        if mode is Mode.WAITING:
            return 'no joint state has come yet: is the driver of the arm running?'
        return 'the arm is about to stop' if self._node.stopping else ''

    async def _arrive(
        self, under_way: set[Mode], there: Mode, response: Trigger.Response, said: str
    ) -> Trigger.Response:
        future: Future = Future()
        self._ways.append((under_way, there, future))
        arrived = await future
        problem = '' if arrived else self._immovable() or 'the way was given up'
        return _answer(response, problem, said)


def _answer(response: Trigger.Response, problem: str, said: str = '') -> Trigger.Response:
    response.success, response.message = not problem, problem or said
    return response
