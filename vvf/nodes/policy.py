# SPDX-License-Identifier: Apache-2.0
"""The `policy` node: observations to action chunks, while an episode runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from vvf_msgs.msg import Action, EpisodeEvent, ValueEstimate

from vvf.actions import delta_names, split_rows
from vvf.errors import UserError, is_user_error
from vvf.nodes.common import LATCHED, now_s, run, seconds, stream_qos
from vvf.nodes.model_node import COMMON_PARAMETERS, ModelNode
from vvf.nodes.observer import Seen
from vvf.nodes.policy_gate import GATE_PARAMETERS, PolicyGate
from vvf.parameters import Parameter
from vvf.task_overlay import sides_of
from vvf_models.runtime import PolicyRuntime, load_policy

PARAMETERS = (
    *COMMON_PARAMETERS,
    Parameter(
        'guidance', -1.0, "how far beyond its data RECAP's policy goes; -1: its own", -1.0, 10.0
    ),
    Parameter('only_in_episodes', True, 'act only between the start and the end of an episode'),
    Parameter('queue_depth', 2, 'frames that may wait', 1, 100),
    *GATE_PARAMETERS,
)

_KINDS = {'ee_delta': Action.KIND_EE_DELTA, 'joint_position': Action.KIND_JOINT_POSITION}
_EARLY = 0.25  # part of a period by which a frame may come early and still count as the next


class PolicyNode(ModelNode):
    """Acts at the task's action rate, on frames; without new frames there is no new action."""

    def __init__(self, **options: Any) -> None:
        self._no_action = 0
        self._began: float | None = None
        self._last_stamp = -np.inf
        self._progress = float('nan')
        super().__init__('policy', PARAMETERS, **options)

    def configure(self) -> None:
        """Load the model; make the publisher and the subscriptions."""
        p = self.parameters
        if self.task.action is None:
            raise UserError(f'task {self.task.name} has no action for a policy to give.')
        self._spec = self.task.action
        self._sides = sides_of(self.task)
        self._model: PolicyRuntime = load_policy(Path(p['model']), threads=p['threads'])
        self.use_model(self._model, 'policy', self.task.models.policy_cameras)
        if self._model.action_dim != self._spec.dim:
            raise UserError(
                f'policy {self._model.name} gives {self._model.action_dim} numbers, an action of '
                f'task {self.task.name} has {self._spec.dim}.'
            )
        if p['guidance'] >= 0.0:
            self._model.guidance = p['guidance']
        self._ask(self.task.instruction)
        self._gate = PolicyGate(self, self._spec, self._sides)
        keep = self.until_cleanup
        self._actions = keep(
            self.create_lifecycle_publisher(Action, self._spec.topic, 10), self.destroy_publisher
        )
        for kind, topic, callback, qos in (
            (EpisodeEvent, '/vvf/episode', self._on_event, LATCHED),
            (ValueEstimate, '/vvf/value', self._on_value, stream_qos()),
        ):
            keep(self.create_subscription(kind, topic, callback, qos), self.destroy_subscription)

    def on_observation(self, seen: Seen) -> None:
        """Act, if it is time to."""
        # A frame from before the start still shows the last episode's scene.
        too_early = self._began is None or seen.stamp_s < self._began
        if too_early and self.parameters['only_in_episodes']:
            return
        period = 1.0 / self._spec.rate_hz
        if 0.0 <= seen.stamp_s - self._last_stamp < period * (1.0 - _EARLY):
            return
        if self._gate.waiting:
            return
        model = self._model
        back = self._gate.next_step()
        if back is not None:
            # Without a gripper: a retreat leaves it as it is.
            data, gripper = back.astype(np.float32), np.zeros(0, np.float32)
        else:
            try:
                chunk = model.act(seen.images, seen.state)
            except ValueError as error:
                self._no_action += 1
                self.get_logger().warning(f'no action: {error}', throttle_duration_sec=5.0)
                return
            if self._spec.low:
                chunk = np.clip(chunk, self._spec.low, self._spec.high)
            data, gripper = split_rows(chunk, len(self._sides))
        horizon = 1 if back is not None else len(chunk)
        self._last_stamp = seen.stamp_s
        message = Action(
            source=Action.SOURCE_POLICY,
            kind=_KINDS[self._spec.kind],
            horizon=horizon,
            dim=len(data) // horizon,
            data=data.tolist(),
            gripper=np.clip(gripper, 0.0, 1.0).tolist(),
            dt=period,
            names=delta_names(self._sides) if self._spec.kind == 'ee_delta' else [],
            policy=model.name,
        )
        message.header.stamp = seen.stamp
        self._actions.publish(message)
        now = now_s(self)
        self.latency.add(now, now - seen.stamp_s)

    def act_anew(self) -> None:
        """Act on the next frame, whatever the last action was for."""
        self._last_stamp = -np.inf

    def _on_event(self, event: EpisodeEvent) -> None:
        if self._gate.on_event(event):
            self.act_anew()
        if event.event == EpisodeEvent.START:
            self._began = seconds(event.header.stamp)
            self._ask(event.instruction)
        elif event.event == EpisodeEvent.END:
            self._began = None

    def _ask(self, instruction: str) -> None:
        """Tell the policy what to do; one that does not know it acts as it was asked before."""
        if not instruction:
            return
        try:
            self._model.set_instruction(instruction)
        except Exception as error:
            if not is_user_error(error):
                raise
            self.get_logger().error(str(error))

    def _on_value(self, message: ValueEstimate) -> None:
        self._progress = float(message.progress)

    def report(self) -> tuple[int, dict[str, Any]]:
        """How many actions were given, and what the policy knows of the value."""
        values = {
            'actions': self.latency.count,
            'no_action': self._no_action,
            'progress_seen': self._progress,
            'gate_falls': self._gate.falls,
            'gate_waits': self._gate.waiting,
        }
        return int(self._no_action > 0), values


def main() -> None:
    """Entry point of `ros2 run vvf policy`."""
    sys.exit(run(PolicyNode))


if __name__ == '__main__':
    main()
