# SPDX-License-Identifier: Apache-2.0
"""Graphs of real processes, and a probe that looks at them from outside."""

from __future__ import annotations

import os

# Away from other graphs on this machine; set before rclpy reads it, and inherited by the nodes.
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from vvf_msgs.msg import Action, ValueEstimate

from vvf.graph import GraphArguments, build_graph
from vvf.node_spec import NodeSpec
from vvf.nodes.common import seconds
from vvf.supervisor import Supervisor


class Probe:
    """A node that listens to a graph and can speak to it."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('probe', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.joints: list[tuple[float, np.ndarray]] = []  # stamp in s, positions
        self.values: list[ValueEstimate] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        create = self.node.create_subscription
        create(JointState, '/joint_states', self._on_joints, 50)
        create(ValueEstimate, '/vvf/value', self.values.append, qos_profile_sensor_data)
        create(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.actions = self.node.create_publisher(Action, '/vvf/action', 10)

    def close(self) -> None:
        self.executor.remove_node(self.node)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _on_joints(self, message: JointState) -> None:
        self.joints.append((seconds(message.header.stamp), np.array(message.position)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics[status.name] = {v.key: v.value for v in status.values}

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def wait(self, done: Callable[[], bool], what: str, timeout: float = 45.0) -> None:
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f'{what}: did not happen in {timeout:g} s'
            self.executor.spin_once(timeout_sec=0.05)

    def travel(self, seconds: float) -> float:
        """How far any joint moved during the next `seconds`, rad or m."""
        self.joints.clear()
        self.spin(seconds)
        self.wait(lambda: len(self.joints) > 5, 'joint states arrive')
        return self.travelled()

    def settle(self, still: float) -> None:
        """Waits until the arm has eased out, however slow a busy machine makes it."""
        self.wait(lambda: self.travel(0.3) < still, 'the arm stands still', timeout=15.0)

    def travelled(self) -> float:
        """How far any joint moved since `joints` was cleared."""
        q = np.array([p for _, p in self.joints])
        assert len(q) > 5, 'no joint states arrive'
        assert np.isfinite(q).all()
        return float(np.ptp(q, axis=0).max())

    def send(self, data, gripper=(1.0,), *, kind: int = Action.KIND_EE_DELTA, dim: int = 6) -> None:
        """Publish one action of a human, which needs no episode, stamped now."""
        message = Action(
            source=Action.SOURCE_HUMAN,
            kind=kind,
            horizon=len(gripper),
            dim=dim,
            data=[float(x) for x in np.ravel(data)],
            gripper=[float(g) for g in gripper],
            dt=0.2,
        )
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.actions.publish(message)

    def refused(self, reason: str) -> int:
        return int(self.diagnostics.get('/arm', {}).get(f'refused_{reason}', 0))


@pytest.fixture
def probe() -> Iterator[Probe]:
    made = Probe()
    yield made
    made.close()


class Graph:
    """A supervised graph whose lines are kept."""

    def __init__(self, specs: Sequence[NodeSpec], log_dir: Path) -> None:
        self.lines: list[str] = []
        self.supervisor = Supervisor(specs, log=self.lines.append, log_dir=log_dir)

    def lines_with(self, *words: str) -> list[str]:
        return [line for line in self.lines if all(word in line for word in words)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Sequence[NodeSpec]], Graph]]:
    """Starts graphs, and stops them at the end whatever happens."""
    running: list[Supervisor] = []

    def begin(specs: Sequence[NodeSpec]) -> Graph:
        graph = Graph(specs, tmp_path / 'log')
        graph.supervisor.__enter__()
        running.append(graph.supervisor)
        return graph

    yield begin
    for supervisor in running:
        supervisor.stop()


@pytest.fixture
def specs(tmp_path: Path) -> list[NodeSpec]:
    """The demo's graph, recording to a temporary folder."""
    arguments = GraphArguments(bag_dir=str(tmp_path / 'bags'), seed=3)
    return build_graph('pick_place', arguments)


def only(specs: Sequence[NodeSpec], *names: str, **parameters: object) -> list[NodeSpec]:
    """Some nodes of a graph, with parameters changed in all of them that have one of that name."""
    kept = []
    for spec in specs:
        if spec.name in names:
            changed = {k: v for k, v in parameters.items() if k in spec.parameters}
            kept.append(replace(spec, parameters={**spec.parameters, **changed}))
    return kept
