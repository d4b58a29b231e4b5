# SPDX-License-Identifier: Apache-2.0
"""A WidowX driver and the vendor's node, spun together; and fixtures of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from tests.vendors.xs_sdk import XsSdk
from vvf.drivers.widowx import WidowXDriver
from vvf.drivers.widowx_setup import MotorSetup
from vvf.drivers.widowx_talk import Conversation
from vvf.safety import Command
from vvf.safety_limits import load_limits

DOMAIN = 62


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no pause be longer than the stand-in needs."""
    monkeypatch.setattr(WidowXDriver, 'stale_s', 0.4)
    monkeypatch.setattr(WidowXDriver, 'retry_s', 0.1)
    monkeypatch.setattr(MotorSetup, 'poll_s', 0.01)
    monkeypatch.setattr(MotorSetup, 'reboot_s', 0.05)
    monkeypatch.setattr(Conversation, 'timeout_s', 0.5)


class Bench:
    """The vendor's node and a driver."""

    def __init__(self, sdk: XsSdk, side: str = '', **options: Any) -> None:
        self.sdk = sdk
        self.node = rclpy.create_node('arm')
        self.driver = WidowXDriver(self.node, load_limits('wx250s'), options, side)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)

    def wait(self, done: Callable[[], object], each: Callable[[], None] = lambda: None) -> None:
        end = time.monotonic() + 30.0
        while not done():
            assert time.monotonic() < end, self.driver.fault()
            self.executor.spin_once(timeout_sec=0.02)
            each()

    def ready(self) -> None:
        self.wait(lambda: not self.driver.fault())

    def faulty(self, text: str) -> None:
        self.wait(lambda: text in self.driver.fault())

    def go(self, position: tuple[float, ...], opening: float = 0.03) -> None:
        self.driver.write(Command(np.asarray(position), opening), 0.02)

    def does_not_move(self) -> None:
        before = len(self.sdk.commands)
        self.go((0.0,) * 6)
        heard = self.sdk.ticks
        self.wait(lambda: self.sdk.ticks > heard + 5)
        assert len(self.sdk.commands) == before

    def close(self) -> None:
        self.driver.close()
        self.executor.remove_node(self.node)
        self.node.destroy_node()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=DOMAIN)
    yield
    rclpy.try_shutdown()


@pytest.fixture
def sdk() -> Iterator[XsSdk]:
    made = XsSdk(DOMAIN)
    yield made
    made.stop()


@pytest.fixture
def bench(sdk: XsSdk) -> Iterator[Bench]:
    made = Bench(sdk)
    yield made
    made.close()
