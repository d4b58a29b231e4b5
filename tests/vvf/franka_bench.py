# SPDX-License-Identifier: Apache-2.0
"""A Franka driver and the vendor's nodes, spun together; and fixtures of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from tests.vendors.franka_server import FrankaServer
from vvf.drivers import franka, franka_hand, franka_recovery, franka_state
from vvf.drivers.franka import FrankaDriver
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


@pytest.fixture
def bench_old() -> Iterator[tuple[FrankaServer, Bench]]:
    """With a driver of before 3.3, that goes on after an error."""
    with FrankaServer(LIMITS, halts=False) as server:
        bench = Bench()
        bench.ready()
        yield server, bench
        bench.close()
