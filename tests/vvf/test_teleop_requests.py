# SPDX-License-Identifier: Apache-2.0
"""Requests whose answer never comes: the keys work again, and so does the human."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from vvf.nodes.teleop_requests import Requests
from vvf.teleop.commands import Command


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=73)
    yield
    rclpy.try_shutdown()


class Bench:
    """Someone who asks, and a node that has the services but answers only when it is `awake`."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.asker, self.other = rclpy.create_node('asker'), rclpy.create_node('other')
        self.requests = Requests(self.asker, self.said.append)
        for name in ('/vvf/episode/save', '/vvf/arm/prepare'):
            self.other.create_service(Trigger, name, self._answer)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.asker)
        clients = (self.requests._episodes['save'], self.requests._arm[Command.HOME])
        self.wait(lambda: all(c.service_is_ready() for c in clients))

    def awake(self) -> None:
        self.executor.add_node(self.other)

    def wait(self, done: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.02)
            self.requests.look_at_answer()
            self.requests.forget_home()

    def close(self) -> None:
        self.executor.shutdown()
        for node in (self.asker, self.other):
            node.destroy_node()

    def _answer(self, _: Any, response: Any) -> Any:
        response.success, response.message = True, 'ring'
        return response


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock forward."""
    real = time.monotonic
    ahead = [0.0]

    def leap(seconds: float) -> None:
        ahead[0] += seconds

    monkeypatch.setattr(time, 'monotonic', lambda: real() + ahead[0])
    return leap


def test_an_episode_node_that_never_answers_may_be_asked_again(
    bench: Bench, later: Callable[[float], None]
) -> None:
    bench.requests.obey(Command.SAVE)
    later(45.0)  # it may wait for the arm's way home
    bench.requests.look_at_answer()
    assert bench.said == []
    bench.requests.obey(Command.SAVE)
    assert bench.said == ['one moment: the last request is not answered yet']
    later(45.0)
    bench.requests.look_at_answer()
    assert bench.said[1:] == ['the episode node did not answer: ask again']
    bench.requests.obey(Command.SAVE)
    bench.awake()
    bench.wait(lambda: bench.said[2:] == ['saved ring'])


def test_an_arm_that_never_says_that_it_is_home_is_waited_for_no_longer(
    bench: Bench, later: Callable[[float], None]
) -> None:
    bench.requests.obey(Command.HOME)
    later(45.0)
    bench.requests.forget_home()
    assert bench.requests.homing
    later(45.0)
    bench.requests.forget_home()
    assert not bench.requests.homing
    assert bench.said == ['the arm goes home', 'home: the arm did not answer: ask again']
    bench.requests.obey(Command.HOME)
    bench.awake()
    bench.wait(lambda: not bench.requests.homing)
    assert bench.said[-1] == 'home: ring'
