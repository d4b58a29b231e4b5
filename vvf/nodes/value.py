# SPDX-License-Identifier: Apache-2.0
"""The `value` node: one `ValueEstimate` for each frame, stamped with the frame's stamp."""

from __future__ import annotations

import math
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from std_msgs.msg import Float32
from vvf_msgs.msg import EpisodeEvent, ValueEstimate
from vvf_msgs.srv import SetTask

from vvf.errors import is_user_error
from vvf.graph import ENGINES
from vvf.images import ImageError, to_rgb
from vvf.nodes.common import LATCHED, now_s, run, stream_qos
from vvf.nodes.model_node import COMMON_PARAMETERS, ModelNode
from vvf.nodes.observer import Seen
from vvf.parameters import Parameter
from vvf_models.runtime import ValueRuntime, load_value
from vvf_models.values.advantage import N_STEPS, lookback

PARAMETERS = (
    *COMMON_PARAMETERS,
    Parameter('engine', 'auto', f'what the model runs on: {", ".join(ENGINES)}'),
    Parameter('reliable', False, 'subscribe reliably: for replays, where nothing may be lost'),
    Parameter('queue_depth', 2, 'frames that may wait; live, old ones are worthless', 1, 10000),
    Parameter('advantage_threshold', 0.0, 'advantage that counts as improvement', -100.0, 100.0),
)

_REPLAY_AGE_S = 10.0  # no camera is that late: such a frame is from a recording


class ValueNode(ModelNode):
    """Images and state to the value model, its estimate to `/vvf/value`."""

    def __init__(self, **options: Any) -> None:
        self._scored = self._not_scored = 0
        self._episode = ''
        self._history: deque[tuple[float, float]] = deque(maxlen=600)
        super().__init__('value', PARAMETERS, **options)

    def configure(self) -> None:
        """Load the model; make the publishers, the subscription and the service."""
        p = self.parameters
        self._model: ValueRuntime = load_value(Path(p['model']), p['threads'], p['engine'])
        self.use_model(self._model, 'value model', self.task.models.value_cameras)
        self.get_logger().info(f'it runs on {self._model.engine} in {self._model.precision}')
        if self._model.engine_note:
            self.get_logger().warning(self._model.engine_note)
        self._model.set_instruction(self.task.instruction)
        qos = stream_qos(reliable=True, depth=max(10, p['queue_depth']))
        keep = self.until_cleanup
        publisher = self.create_lifecycle_publisher
        self._values = keep(publisher(ValueEstimate, '/vvf/value', qos), self.destroy_publisher)
        self._scalar = keep(publisher(Float32, '/vvf/value/scalar', qos), self.destroy_publisher)
        keep(
            self.create_subscription(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED),
            self.destroy_subscription,
        )
        keep(self.create_service(SetTask, '/vvf/set_task', self._on_set_task), self.destroy_service)

    def on_observation(self, seen: Seen) -> None:
        """Score a frame."""
        model = self._model
        state = None if seen.state is None else seen.state[None]
        try:
            latents = model.encode({k: v[None] for k, v in seen.images.items()}, state)
            estimate = model.value(latents)
        except ValueError as error:
            self._not_scored += 1
            self.get_logger().warning(f'frame not scored: {error}', throttle_duration_sec=5.0)
            return
        value, progress = float(estimate.value[0]), float(estimate.progress[0])
        if not (math.isfinite(value) and math.isfinite(progress)):
            self._not_scored += 1
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
        message.header.frame_id = self.frame_id
        now = now_s(self)
        late = now - seen.stamp_s
        latency = late if 0.0 <= late < _REPLAY_AGE_S else now - seen.arrived_s
        message.latency_ms = latency * 1e3
        self._values.publish(message)
        self._scalar.publish(Float32(data=value))
        self._scored += 1
        self.latency.add(now, latency)

    def _advantage(self, stamp: float, value: float) -> float:
        """Advantage over the last steps; NaN until there are enough of them."""
        model = self._model
        if self._history and stamp <= self._history[-1][0]:
            self._history.clear()
        self._history.append((stamp, value))
        window = (N_STEPS + 1) / self.task.rate_hz
        while self._history[0][0] < stamp - window:
            self._history.popleft()
        stamps, values = np.asarray(self._history).T
        gains = lookback(
            stamps, values, gamma=model.gamma, rate_hz=self.task.rate_hz, step_cost=model.step_cost
        )
        return float(gains[-1])

    def _on_event(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.START:
            self._episode = event.episode_id
            self._history.clear()
            if event.instruction and event.instruction != self._model.instruction:
                self._model.set_instruction(event.instruction)
        elif event.event == EpisodeEvent.END:
            self._episode = ''

    def _on_set_task(
        self, request: SetTask.Request, response: SetTask.Response
    ) -> SetTask.Response:
        """Another instruction, another goal: an image for each camera, and the state if needed."""
        model = self._model
        try:
            if request.goal_images:
                if len(request.goal_images) != len(request.goal_cameras):
                    raise ValueError('goal_images and goal_cameras need the same length')
                images = {
                    name: to_rgb(image)[None]
                    for name, image in zip(request.goal_cameras, request.goal_images, strict=True)
                }
                state = np.asarray(request.goal_state, np.float32)
                model.set_goal(images, state[None] if state.size else None)
            # After what can fail, since a refused request changes nothing.
            if request.instruction:
                model.set_instruction(request.instruction)
            if not request.goal_images:
                model.reset_goal()
        except (ImageError, ValueError) as error:
            response.success, response.message = False, str(error)
        except Exception as error:
            if not is_user_error(error):
                raise
            response.success, response.message = False, str(error)
        else:
            given = bool(request.goal_images)
            said = 'the goal is set' if given else "the checkpoint's own goals are set"
            response.success = True
            response.message = said if model.takes_goal else 'the task is set'
        return response

    def report(self) -> tuple[int, dict[str, Any]]:
        """How many frames were scored."""
        counts = {'scored': self._scored, 'not_scored': self._not_scored}
        return int(self._not_scored > 0), counts


def main() -> None:
    """Entry point of `ros2 run vvf value`."""
    sys.exit(run(ValueNode))


if __name__ == '__main__':
    main()
