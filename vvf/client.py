# SPDX-License-Identifier: Apache-2.0
"""Talks to a running graph: waits until it is ready, and runs episodes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.action import ActionClient
from rclpy.qos import qos_profile_sensor_data
from rclpy.task import Future
from vvf_msgs.action import RunEpisode
from vvf_msgs.msg import ValueEstimate

from vvf.errors import UserError
from vvf.nodes.messages import OUTCOMES
from vvf.own_node import OwnNode

_SILENCE_S = 10.0  # feedback comes ten times a second


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode went; `path` is its bag, `None` where none was recorded."""

    episode_id: str
    outcome: str
    path: Path | None
    steps: int
    seconds: float
    message: str


def refuse_second_graph(look_for_s: float = 4.0) -> None:
    """Make sure that no other graph runs here: two of them would drive each other's arm.

    It takes that long where there is none; on a busy machine 2 s did not find one that was there.

    Raises:
        UserError: one does.
    """
    with OwnNode('vvf_look') as node:
        deadline = time.monotonic() + look_for_s
        while time.monotonic() < deadline:
            if node.count_publishers('/vvf/episode/heartbeat'):
                domain = os.environ.get('ROS_DOMAIN_ID', '0')
                raise UserError(
                    f'another graph runs in ROS domain {domain}: stop it first, or give this one '
                    'another ROS_DOMAIN_ID.'
                )
            time.sleep(0.05)


class GraphClient(OwnNode):
    """Runs episodes; a context manager.

    Args:
        alive: says whether the graph still runs; waiting ends when it does not.
    """

    def __init__(self, alive: Callable[[], bool] = lambda: True) -> None:
        super().__init__('vvf_client')
        self._alive = alive

    def opened(self) -> None:
        """See `OwnNode`."""
        self._run = ActionClient(self._node, RunEpisode, '/vvf/episode/run')

    def closing(self) -> None:
        """See `OwnNode`."""
        self._run.destroy()

    def wait_ready(self, lifecycle_nodes: tuple[str, ...], timeout_s: float = 60.0) -> None:
        """Wait for the episode node and for all named lifecycle nodes to be active.

        Raises:
            UserError: the graph stopped, or was not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self._run.wait_for_server(timeout_sec=0.2):
            self._check(deadline, 'the episode node')
        for name in lifecycle_nodes:
            client = self._node.create_client(GetState, f'/{name}/get_state')
            while True:
                self._check(deadline, f'the {name} node')
                if not client.wait_for_service(timeout_sec=0.2):
                    continue
                future = client.call_async(GetState.Request())
                self._executor.spin_until_future_complete(future, timeout_sec=2.0)
                answer = future.result() if future.done() else None
                if answer and answer.current_state.id == State.PRIMARY_STATE_ACTIVE:
                    break
                time.sleep(0.1)
            self._node.destroy_client(client)
        if 'value' in lifecycle_nodes:
            self._wait_for_value(deadline)

    def _wait_for_value(self, deadline: float) -> None:
        """The first estimate: cameras, state and value node have found each other."""
        seen: list[ValueEstimate] = []
        subscription = self._node.create_subscription(
            ValueEstimate, '/vvf/value', seen.append, qos_profile_sensor_data
        )
        while not seen:
            self._check(deadline, 'the first value')
            self._executor.spin_once(timeout_sec=0.2)
        self._node.destroy_subscription(subscription)

    def run_episode(
        self,
        instruction: str = '',
        timeout_s: float = 0.0,
        *,
        record: bool = True,
        on_feedback: Callable[[float, float], None] | None = None,
    ) -> EpisodeResult:
        """Run one episode to its end.

        Args:
            instruction: '' takes the task's own.
            timeout_s: 0 takes the task's own limit.
            record: write a bag.
            on_feedback: gets (seconds so far, progress in [0, 1]).

        Raises:
            UserError: the graph stopped meanwhile, or refused the episode.
        """
        goal = RunEpisode.Goal(
            instruction=instruction, timeout_s=float(timeout_s), record=bool(record)
        )

        heard = [time.monotonic()]

        def feedback(message: RunEpisode.Impl.FeedbackMessage) -> None:
            heard[0] = time.monotonic()
            if on_feedback is not None:
                on_feedback(message.feedback.elapsed_s, message.feedback.progress)

        handle = self._finish(self._run.send_goal_async(goal, feedback_callback=feedback))
        if not handle.accepted:
            raise UserError('an episode is running already; end it first.')
        try:
            result = self._finish(handle.get_result_async(), heard).result
        except KeyboardInterrupt:
            self._finish(handle.cancel_goal_async(), timeout_s=1.0)
            raise
        return EpisodeResult(
            episode_id=result.episode_id,
            outcome=OUTCOMES[result.outcome],
            path=Path(result.path) if result.path else None,
            steps=int(result.steps),
            seconds=float(result.seconds),
            message=result.message,
        )

    def _finish(
        self, future: Future, heard: list[float] | None = None, timeout_s: float = 30.0
    ) -> Any:
        """Spin until an answer is there; with `heard`, as long as feedback keeps coming."""
        began = time.monotonic()
        while not future.done():
            since = heard[0] + _SILENCE_S if heard else began + timeout_s
            self._check(max(since, began + _SILENCE_S), 'the answer of the episode node')
            self._executor.spin_once(timeout_sec=0.2)
        return future.result()

    def _check(self, deadline: float, what: str) -> None:
        if not self._alive():
            raise UserError('the graph stopped; its last lines above say why.')
        if time.monotonic() > deadline:
            raise UserError(f'{what} did not come in time; its log says why.')
