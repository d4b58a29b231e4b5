# SPDX-License-Identifier: Apache-2.0
"""The action `/vvf/episode/run`: an episode from the arm's home to success or the time limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from vvf_msgs.action import RunEpisode

from vvf.errors import UserError
from vvf.nodes.common import now_s
from vvf.nodes.messages import OUTCOME_CODES

if TYPE_CHECKING:
    from vvf.nodes.episode import EpisodeNode

_HOME_PATIENCE = 400  # tenths of a second for the arm's way home, planning included
_PATIENCE = 100  # tenths of a second that topics and services may take to appear


class EpisodeRunner:
    """Runs episodes on behalf of an `EpisodeNode`, one at a time.

    Everything waits as a coroutine on the node's one executor, so that the recorder's subscriptions
    are served meanwhile.
    """

    def __init__(self, node: EpisodeNode) -> None:
        self._node = node
        self._outcome: Future | None = None
        self._successes = 0
        node.create_subscription(Bool, node.parameters['success_topic'], self._on_success, 10)
        self._prepare = node.create_client(Trigger, '/vvf/arm/prepare')
        self._action = ActionServer(
            node,
            RunEpisode,
            '/vvf/episode/run',
            execute_callback=self._run,
            goal_callback=self._on_goal,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )

    @property
    def busy(self) -> bool:
        """Whether a run has been accepted and is not over."""
        return self._outcome is not None

    def _on_goal(self, goal: RunEpisode.Goal) -> GoalResponse:
        free = not (self.busy or self._node.episode_id or self._node.starting)
        return GoalResponse.ACCEPT if free else GoalResponse.REJECT

    async def _run(self, handle: ServerGoalHandle) -> RunEpisode.Result:
        node, goal, result = self._node, handle.request, RunEpisode.Result()
        self._outcome = Future()
        try:
            await self._get_ready(goal.task)
            await node.begin(goal.instruction, '', record=goal.record)
        except (UserError, ValueError, RuntimeError) as error:
            self._outcome = None
            node.get_logger().error(str(error))
            result.outcome, result.message = OUTCOME_CODES['aborted'], str(error)
            handle.abort()
            return result
        self._successes = 0
        result.episode_id = node.episode_id
        began = now_s(node)
        limit = goal.timeout_s or node.task.episode.time_limit_s
        watch = node.create_timer(0.1, lambda: self._watch(handle, began, limit))
        outcome = await self._outcome
        node.destroy_timer(watch)
        self._outcome = None
        result.steps, result.seconds = node.steps, now_s(node) - began
        if node.episode_id:
            node.end(outcome)
        result.path = str(node.last_path or '')
        result.outcome = OUTCOME_CODES[outcome]
        if outcome == 'aborted' and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.succeed()
        return result

    def _watch(self, handle: ServerGoalHandle, began: float, limit: float) -> None:
        if self._outcome is None or self._outcome.done():
            return
        node = self._node
        elapsed = now_s(node) - began
        handle.publish_feedback(
            RunEpisode.Feedback(step=node.steps, progress=node.progress, elapsed_s=elapsed)
        )
        if handle.is_cancel_requested:
            self._outcome.set_result('aborted')
        elif not node.episode_id:  # ended by the service meanwhile
            self._outcome.set_result(node.last_outcome)
        elif self._successes >= node.parameters['success_hold']:
            self._outcome.set_result('success')
        elif elapsed > limit:
            dry = node.parameters['dry_run']
            self._outcome.set_result('unlabelled' if dry else 'failure')

    async def _get_ready(self, task: str) -> None:
        """Home the arm, and wait for whoever is recorded.

        Raises:
            RuntimeError: it is another graph's task, or somebody did not answer in time.
        """
        node = self._node
        if task not in ('', node.task.name):
            raise RuntimeError(f'this graph runs task {node.task.name}, not {task}')
        if node.parameters['prepare_arm']:
            await until(node, self._prepare.service_is_ready)
            if not self._prepare.service_is_ready():
                raise RuntimeError('no arm answers: is its node running?')
            asked = self._prepare.call_async(Trigger.Request())
            await until(node, asked.done, _HOME_PATIENCE)
            if not asked.done():
                raise RuntimeError('the arm does not get ready')
            if not asked.result().success:
                raise RuntimeError(f'the arm is not ready: {asked.result().message}')
        await until(node, lambda: not node.silent_topics())
        if silent := node.silent_topics():
            raise RuntimeError(node.explain_silence(silent[0]))

    def _on_success(self, message: Bool) -> None:
        self._successes = self._successes + 1 if message.data else 0


async def until(node: Node, done: Callable[[], object], patience: int = _PATIENCE) -> None:
    """Wait for something, but not for ever: who asked looks whether it came."""
    for _ in range(patience):
        if done():
            return
        future: Future = Future()
        timer = node.create_timer(0.1, lambda f=future: f.done() or f.set_result(None))
        await future
        node.destroy_timer(timer)
