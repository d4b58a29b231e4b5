# SPDX-License-Identifier: Apache-2.0
"""What the `value` and the `policy` node have in common: a model that observes through a task."""

from __future__ import annotations

import gc
import traceback
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from vvf.diagnostics import Diagnostics, Meter
from vvf.errors import UserError, is_user_error
from vvf.nodes.common import now_s
from vvf.nodes.observer import Observer, Seen
from vvf.parameters import TASK_PARAMETERS, Parameter, declare
from vvf.task import TaskSpec, load_task

COMMON_PARAMETERS = (
    *TASK_PARAMETERS,
    Parameter('model', '', 'folder of the checkpoint'),
    Parameter('autostart', True, 'configure and activate without being asked'),
    Parameter('threads', 1, 'threads of the model; more only help on an idle machine', 1, 64),
)


class ModelNode(LifecycleNode):
    """Loads a model when configured and observes while active.

    It configures and activates itself, since Jazzy's launch cannot; the transitions stay available
    to others (`ros2 lifecycle set`), and a node that is started again after a crash comes back
    active without anybody's help. Where a transition fails, `failure` holds the sentence and the
    process ends with exit code 2.

    Args:
        name: of the node.
        parameters: to declare.
        options: for rclpy's node.
    """

    def __init__(self, name: str, parameters: tuple[Parameter, ...], **options: Any) -> None:
        super().__init__(name, **options)
        self.failure: str | None = None
        self.parameters = declare(self, parameters)
        self.task: TaskSpec
        self.latency = Meter()
        self._observer: Observer | None = None
        self._release: list[Callable[[], object]] = []
        if self.parameters['autostart']:
            self._autostart_timer = self.create_timer(0.0, self._autostart)
        self._diagnostics = Diagnostics(self, self._report)

    # -- what a node of this kind is made of -------------------------------------------------

    @abstractmethod
    def configure(self) -> None:
        """Load the model (`use_model`), make publishers and the like (`until_cleanup`)."""

    @abstractmethod
    def on_observation(self, seen: Seen) -> None:
        """Answer an observation."""

    @abstractmethod
    def report(self) -> tuple[int, Mapping[str, Any]]:
        """Level (0 ok, 1 warning) and values for the diagnostics, besides the common ones."""

    def use_model(self, model: Any, what: str, listed: Sequence[str]) -> None:
        """Check that a model can observe through the task.

        Args:
            model: a runtime of `vvf_models`.
            what: what an error calls it.
            listed: the task's cameras for such a model, if it lists them.

        Raises:
            UserError: the task lacks a camera of the model, or has another state vector.
        """
        self._cameras = self.task.match_cameras(model.cameras, listed)
        if model.state_dim and model.state_dim != self.task.state_dim:
            raise UserError(
                f'{what} {model.name} takes a state of {model.state_dim} numbers, that of task '
                f'{self.task.name} has {self.task.state_dim}; train one for this task or give '
                'another checkpoint.'
            )
        self._needs_state = bool(model.state_dim)
        used = [c for c in self.task.cameras if c.name in self._cameras.values()]
        self.frame_id = used[0].frame_id
        self.get_logger().info(f'{what} {model.name} ({model.kind}) is loaded')

    def until_cleanup(self, made: Any, destroy: Callable[[Any], object]) -> Any:
        """Remember to destroy something when the node is cleaned up, and hand it back."""
        self._release.append(lambda: destroy(made))
        return made

    # -- lifecycle ---------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load task and model."""
        try:
            p = self.parameters
            self.task = load_task(p['task'], p['robot'], p['rig'])
            self.configure()
        except Exception as error:
            return self._failed(error)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to observe."""
        try:
            self._observer = Observer(
                self,
                self.task,
                self._cameras,
                state=self._needs_state,
                callback=self.on_observation,
                reliable=self.parameters.get('reliable', False),
                depth=self.parameters['queue_depth'],
            )
        except Exception as error:
            return self._failed(error)
        # What has been loaded stays: to look through all of it for garbage again takes 0.1 s.
        gc.collect()
        gc.freeze()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop observing."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo what configuring made."""
        self._let_go()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop observing, if it does, and undo what configuring made."""
        self._stop(state)
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As of `on_shutdown`; it may be configured again."""
        self._stop(state)
        return super().on_error(state)

    def _failed(self, error: Exception) -> TransitionCallbackReturn:
        """What rclpy would swallow, and leave the node inactive without a word."""
        if not is_user_error(error):
            traceback.print_exc()
        self.failure = str(error)
        return TransitionCallbackReturn.FAILURE

    def _stop(self, state: LifecycleState) -> None:
        if self.observing:
            self.on_deactivate(state)
        self._let_go()

    def _let_go(self) -> None:
        while self._release:
            self._release.pop(0)()

    @property
    def observing(self) -> bool:
        """Whether the node is active."""
        return self._observer is not None

    @property
    def done(self) -> bool:
        """True when there is nothing to spin for any more."""
        return self.failure is not None

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        now = now_s(self)
        level, own = self.report()
        values: dict[str, Any] = {
            'rate_hz': self.latency.rate_hz(now),
            'age_s': self.latency.age_s(now),
            'latency_ms_p50': self.latency.latency_ms(50),
            'latency_ms_p95': self.latency.latency_ms(95),
            **own,
        }
        observer = self._observer
        if observer is None:
            return level, 'inactive', values
        values |= {'accepted': observer.accepted, 'overdue': observer.overdue}
        values |= {f'refused_{reason}': n for reason, n in observer.refused.items()}
        values |= {f'unusable_{reason}': n for reason, n in observer.unusable.items()}
        complaints = observer.complaints()
        return max(level, int(bool(complaints))), '; '.join(complaints) or 'active', values
