# SPDX-License-Identifier: Apache-2.0
"""The `policy` node: observations to action chunks, while an episode runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from vvf_msgs.msg import Action, EpisodeEvent, ValueEstimate

from vvf.diagnostics import Diagnostics, Meter
from vvf.errors import UserError
from vvf.nodes.common import LATCHED, AutostartNode, now_s, run, seconds, stream_qos
from vvf.nodes.observer import Observer, Seen, check_state
from vvf.parameters import Parameter, declare
from vvf.task import load_task
from vvf_models.runtime import PolicyRuntime, load_policy

PARAMETERS = (
    Parameter('task', 'pick_place', 'task file: a name in config/tasks or a path'),
    Parameter('model', '', 'folder of the policy checkpoint'),
    Parameter('autostart', True, 'configure and activate without being asked'),
    Parameter('threads', 1, 'threads of the model', 1, 64),
    Parameter('only_in_episodes', True, 'act only between the start and the end of an episode'),
    Parameter('queue_depth', 2, 'frames that may wait', 1, 100),
)

_KINDS = {'ee_delta': Action.KIND_EE_DELTA, 'joint_position': Action.KIND_JOINT_POSITION}
_NAMES = ['x', 'y', 'z', 'rx', 'ry', 'rz']
_EARLY = 0.25  # part of a period by which a frame may come early and still count as the next


class PolicyNode(AutostartNode):
    """Acts at the task's action rate, on frames; without new frames there is no new action."""

    def __init__(self, **options: Any) -> None:
        self._observer: Observer | None = None
        self._model: PolicyRuntime | None = None
        super().__init__('policy', **options)
        self.parameters = declare(self, PARAMETERS)
        self._latency = Meter()
        self._bad = 0
        self._began: float | None = None
        self._last_stamp = -np.inf
        self._value = float('nan')
        if self.parameters['autostart']:
            self.autostart()
        self._diagnostics = Diagnostics(self, self._report)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load task and model."""
        return self.attempt(self._configure)

    def _configure(self) -> None:
        p = self.parameters
        self.task = load_task(p['task'])
        if self.task.action is None:
            raise UserError(f'task {self.task.name} has no action for a policy to give.')
        self._spec = self.task.action
        model = load_policy(Path(p['model']), threads=p['threads'])
        self._cameras = self.task.match_cameras(model.cameras, self.task.models.policy_cameras)
        check_state(self.task, f'policy {model.name}', model.state_dim)
        if model.action_dim != self._spec.dim:
            raise UserError(
                f'policy {model.name} gives {model.action_dim} numbers, an action of task '
                f'{self.task.name} has {self._spec.dim}.'
            )
        self._model = model
        self._actions = self.create_lifecycle_publisher(Action, self._spec.topic, 10)
        self._listening = [
            self.create_subscription(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED),
            self.create_subscription(ValueEstimate, '/vvf/value', self._on_value, stream_qos()),
        ]
        self.get_logger().info(f'policy {model.name} ({model.kind}) is loaded')

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen."""
        model = self._model
        assert model is not None
        self._observer = Observer(
            self,
            self.task,
            self._cameras,
            state=bool(model.state_dim),
            callback=self._on_observation,
            depth=self.parameters['queue_depth'],
        )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening, and so acting: the arm holds."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo what configuring made."""
        for subscription in self._listening:
            self.destroy_subscription(subscription)
        self.destroy_publisher(self._actions)
        self._model = None
        return super().on_cleanup(state)

    def _on_observation(self, seen: Seen) -> None:
        # A frame from before the start still shows the last episode's scene.
        too_early = self._began is None or seen.stamp_s < self._began
        if too_early and self.parameters['only_in_episodes']:
            return
        period = 1.0 / self._spec.rate_hz
        if 0.0 <= seen.stamp_s - self._last_stamp < period * (1.0 - _EARLY):
            return
        model = self._model
        assert model is not None
        try:
            chunk = model.act(seen.images, seen.state)
        except ValueError as error:
            self._bad += 1
            self.get_logger().warning(f'no action: {error}', throttle_duration_sec=5.0)
            return
        self._last_stamp = seen.stamp_s
        if self._spec.low:
            chunk = np.clip(chunk, self._spec.low, self._spec.high)
        message = Action(
            source=Action.SOURCE_POLICY,
            kind=_KINDS[self._spec.kind],
            horizon=chunk.shape[0],
            dim=chunk.shape[1] - 1,
            data=np.ascontiguousarray(chunk[:, :-1], np.float32).ravel().tolist(),
            gripper=np.clip(chunk[:, -1], 0.0, 1.0).astype(np.float32).tolist(),
            dt=period,
            names=_NAMES if self._spec.kind == 'ee_delta' else [],
            policy=model.name,
        )
        message.header.stamp = seen.stamp
        self._actions.publish(message)
        now = now_s(self)
        self._latency.add(now, now - seen.stamp_s)

    def _on_event(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.START:
            self._began = seconds(event.header.stamp)
            self._last_stamp = -np.inf
        elif event.event == EpisodeEvent.END:
            self._began = None

    def _on_value(self, message: ValueEstimate) -> None:
        self._value = float(message.progress)

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        now = now_s(self)
        observer = self._observer
        values: dict[str, Any] = {
            'rate_hz': self._latency.rate_hz(now),
            'latency_ms_p50': self._latency.latency_ms(50),
            'latency_ms_p95': self._latency.latency_ms(95),
            'actions': self._latency.count,
            'no_action': self._bad,
            'progress_seen': self._value,
        }
        if observer is not None:
            values |= {f'refused_{reason}': n for reason, n in observer.refused.items()}
        return int(self._bad > 0), 'active' if observer else 'inactive', values


def main() -> None:
    """Entry point of `ros2 run vvf policy`."""
    sys.exit(run(PolicyNode))


if __name__ == '__main__':
    main()
