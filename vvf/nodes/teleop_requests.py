# SPDX-License-Identifier: Apache-2.0
"""What the `teleop` node asks of others: episodes, the emergency stop, home and recovery."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from vvf.episode_requests import PATIENCE_S, PREFIX, SERVICES, AsksEpisodes, EpisodeKeys
from vvf.errors import UserError
from vvf.teleop.commands import EPISODE_KEYS, Command

_TRIGGERS = {
    Command.STOP: ('/vvf/estop', 'emergency stop'),
    Command.RESET: ('/vvf/estop_reset', 'emergency stop reset'),
    Command.HOME: ('/vvf/arm/prepare', 'home'),
    Command.RECOVER: ('/vvf/arm/recover', 'clear the fault'),
}


class Requests(AsksEpisodes):
    """Asks without waiting.

    Args:
        node: owner of the clients.
        say: gets what came of each request, in a few words.

    Attributes:
        running: the episode that runs, '' between two.
        homing: the arm has been asked to go home and has not answered.
    """

    def __init__(self, node: Node, say: Callable[[str], None]) -> None:
        self.running = ''
        self._say = say
        self._home: Future | None = None
        self._home_asked_s = 0.0
        self._episodes = {
            name: node.create_client(kind, f'{PREFIX}/{name}') for name, kind in SERVICES.items()
        }
        self._arm = {
            command: node.create_client(Trigger, service)
            for command, (service, _) in _TRIGGERS.items()
        }
        self._keys = EpisodeKeys(self)

    @property
    def homing(self) -> bool:
        """Whether the arm was asked to go home, and is not there yet."""
        return self._home is not None and not self._home.done()

    def obey(self, command: Command) -> None:
        """Ask for what a command means; others than those here do nothing."""
        if command in EPISODE_KEYS:
            before = self._keys.said
            self._keys.press(EPISODE_KEYS[command])
            if self._keys.said != before:
                self._say(self._keys.said)
        elif command is Command.HOME and self.running:
            self._say('end the episode first: the arm goes home between two')
        elif command in _TRIGGERS:
            self._trigger(command)

    def look_at_answer(self) -> None:
        """Say what came of the last request to the episode node; called often."""
        if self._keys.look_at_answer():
            self._say(self._keys.said)

    def forget_home(self) -> None:
        """The arm that was asked to go home is there no more, or another one in its place."""
        if not self.homing:
            return
        if not self._arm[Command.HOME].service_is_ready():
            self._home = None
        elif time.monotonic() - self._home_asked_s >= PATIENCE_S:
            self._home = None
            self._say('home: the arm did not answer: ask again')

    def _trigger(self, command: Command) -> None:
        client, (service, what) = self._arm[command], _TRIGGERS[command]
        if not client.service_is_ready():
            self._say(f'nobody offers {service}: does the arm node run?')
            return
        future = client.call_async(Trigger.Request())
        if command is Command.HOME:
            self._home, self._home_asked_s = future, time.monotonic()
            self._say('the arm goes home')

        def answered(done: Future) -> None:
            response = done.result()
            self._say(f'{what}: {response.message or "done"}')

        future.add_done_callback(answered)

    def _ask(self, name: str, request: Any) -> Future:
        client = self._episodes[name]
        if not client.service_is_ready():
            raise UserError('no episode node answers: does the graph run?')
        return client.call_async(request)
