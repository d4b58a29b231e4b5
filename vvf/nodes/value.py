# SPDX-License-Identifier: Apache-2.0
"""The `value` node: one `ValueEstimate` for each frame, stamped with the frame's stamp."""

from __future__ import annotations

import math
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_msgs.msg import Float32
from vvf_msgs.msg import EpisodeEvent, ValueEstimate
from vvf_msgs.srv import SetTask

from vvf.advantage import N_STEPS, lookback
from vvf.diagnostics import Diagnostics, Meter
from vvf.errors import is_user_error
from vvf.images import ImageError, to_rgb
from vvf.nodes.common import LATCHED, AutostartNode, now_s, run, stream_qos
from vvf.nodes.observer import Observer, Seen, check_state
from vvf.parameters import Parameter, declare
from vvf.task import load_task
from vvf_models.runtime import ValueRuntime, load_value

PARAMETERS = (
    Parameter('task', 'pick_place', 'task file: a name in config/tasks or a path'),
    Parameter('model', '', 'folder of the value checkpoint'),
    Parameter('autostart', True, 'configure and activate without being asked'),
    Parameter('threads', 1, 'threads of the model; more only help on an idle machine', 1, 64),
    Parameter('reliable', False, 'subscribe reliably: for replays, where nothing may be lost'),
    Parameter('queue_depth', 2, 'frames that may wait; live, old ones are worthless', 1, 10000),
    Parameter('advantage_threshold', 0.0, 'advantage that counts as improvement', -100.0, 100.0),
)

_REPLAY_AGE_S = 10.0  # no camera is that late: such a frame is from a recording


class ValueNode(AutostartNode):
    """Images and state to the value model, its estimate to `/vvf/value`."""

    def __init__(self, **options: Any) -> None:
        self._observer: Observer | None = None
        self._model: ValueRuntime | None = None
        super().__init__('value', **options)
        self.parameters = declare(self, PARAMETERS)
        self._latency = Meter()
        self._scored = 0
        self._non_finite = 0
        self._episode = ''
        self._history: deque[tuple[float, float]] = deque(maxlen=600)
        if self.parameters['autostart']:
            self.autostart()
        self._diagnostics = Diagnostics(self, self._report)

    # -- lifecycle -------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load task and model."""
        return self.attempt(self._configure)

    def _configure(self) -> None:
        p = self.parameters
        self.task = load_task(p['task'])
        model = load_value(Path(p['model']), threads=p['threads'])
        self._cameras = self.task.match_cameras(model.cameras, self.task.models.value_cameras)
        check_state(self.task, f'value model {model.name}', model.state_dim)
        self._model = model
        qos = stream_qos(reliable=True, depth=max(10, p['queue_depth']))
        self._values = self.create_lifecycle_publisher(ValueEstimate, '/vvf/value', qos)
        self._scalar = self.create_lifecycle_publisher(Float32, '/vvf/value/scalar', qos)
        self._events = self.create_subscription(
            EpisodeEvent, '/vvf/episode', self._on_event, LATCHED
        )
        self._set_task = self.create_service(SetTask, '/vvf/set_task', self._on_set_task)
        self.get_logger().info(f'value model {model.name} ({model.kind}) is loaded')

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen."""
        p, model = self.parameters, self._model
        assert model is not None
        self._observer = Observer(
            self,
            self.task,
            self._cameras,
            state=bool(model.state_dim),
            callback=self._on_observation,
            reliable=p['reliable'],
            depth=p['queue_depth'],
        )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo what configuring made."""
        self.destroy_subscription(self._events)
        self.destroy_service(self._set_task)
        self.destroy_publisher(self._values)
        self.destroy_publisher(self._scalar)
        self._model = None
        return super().on_cleanup(state)

    # -- messages --------------------------------------------------------------------------

    def _on_observation(self, seen: Seen) -> None:
        model = self._model
        assert model is not None
        state = None if seen.state is None else seen.state[None]
        try:
            latents = model.encode({k: v[None] for k, v in seen.images.items()}, state)
            estimate = model.value(latents)
        except ValueError as error:
            self._non_finite += 1
            self.get_logger().warning(f'frame not scored: {error}', throttle_duration_sec=5.0)
            return
        value, progress = float(estimate.value[0]), float(estimate.progress[0])
        if not (math.isfinite(value) and math.isfinite(progress)):
            self._non_finite += 1
            self.get_logger().warning(
                'the model gave a value that is no number; it is not published',
                throttle_duration_sec=5.0,
            )
            return
        message = ValueEstimate(
            model=model.name,
            task=self.task.name,
            episode_id=self._episode,
            value=value,
            progress=progress,
            uncertainty=float(estimate.uncertainty[0]),
            advantage=self._advantage(seen.stamp_s, value),
        )
        message.indicator = message.advantage > self.parameters['advantage_threshold']
        message.header.stamp = seen.stamp
        message.header.frame_id = self.task.camera(self._cameras[model.cameras[0]]).frame_id
        now = now_s(self)
        late = now - seen.stamp_s
        latency = late if 0.0 <= late < _REPLAY_AGE_S else now - seen.arrived_s
        message.latency_ms = latency * 1e3
        self._values.publish(message)
        self._scalar.publish(Float32(data=value))
        self._scored += 1
        self._latency.add(now, latency)

    def _advantage(self, stamp: float, value: float) -> float:
        """Advantage over the last steps; NaN until there are enough of them."""
        model = self._model
        assert model is not None
        if self._history and stamp <= self._history[-1][0]:
            self._history.clear()
        self._history.append((stamp, value))
        window = (N_STEPS + 1) / self.task.rate_hz
        while self._history[0][0] < stamp - window:
            self._history.popleft()
        stamps, values = np.asarray(self._history).T
        gains = lookback(stamps, values, gamma=model.gamma, rate_hz=self.task.rate_hz)
        return float(gains[-1])

    def _on_event(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.START:
            self._episode = event.episode_id
            self._history.clear()
        elif event.event == EpisodeEvent.END:
            self._episode = ''

    def _on_set_task(
        self, request: SetTask.Request, response: SetTask.Response
    ) -> SetTask.Response:
        """Another goal: an image for each camera of the model, and the state if it takes one."""
        model = self._model
        assert model is not None
        try:
            if not request.goal_images:
                model.reset_goal()
                response.success, response.message = True, "the checkpoint's own goals are set"
                return response
            if len(request.goal_images) != len(request.goal_cameras):
                raise ValueError('goal_images and goal_cameras need the same length')
            images = {
                name: to_rgb(image)[None]
                for name, image in zip(request.goal_cameras, request.goal_images, strict=True)
            }
            state = np.asarray(request.goal_state, np.float32)
            model.set_goal(images, state[None] if state.size else None)
        except (ImageError, ValueError) as error:
            response.success, response.message = False, str(error)
        except Exception as error:
            if not is_user_error(error):
                raise
            response.success, response.message = False, str(error)
        else:
            response.success, response.message = True, 'the goal is set'
        return response

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        now = now_s(self)
        observer = self._observer
        values: dict[str, Any] = {
            'rate_hz': self._latency.rate_hz(now),
            'age_s': self._latency.age_s(now),
            'latency_ms_p50': self._latency.latency_ms(50),
            'latency_ms_p95': self._latency.latency_ms(95),
            'accepted': observer.accepted if observer else 0,
            'scored': self._scored,
            'not_scored': self._non_finite,
        }
        if observer is not None:
            values |= {f'refused_{reason}': n for reason, n in observer.refused.items()}
        return int(self._non_finite > 0), 'active' if observer else 'inactive', values


def main() -> None:
    """Entry point of `ros2 run vvf value`."""
    sys.exit(run(ValueNode))


if __name__ == '__main__':
    main()
