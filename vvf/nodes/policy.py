# SPDX-License-Identifier: Apache-2.0
"""The `policy` node: observations to action chunks, while an episode runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String
from vvf_msgs.msg import Action, EpisodeEvent, ValueEstimate

from vvf.actions import delta_names, split_rows
from vvf.arm_state import follows
from vvf.diagnostics import Meter
from vvf.errors import UserError
from vvf.nodes.common import LATCHED, now_s, run, seconds, stream_qos
from vvf.nodes.model_node import COMMON_PARAMETERS, ModelNode
from vvf.nodes.observer import Seen
from vvf.nodes.policy_gate import GATE_PARAMETERS, PolicyGate
from vvf.pace import Pace
from vvf.parameters import Parameter
from vvf.policy_fit import check_actions
from vvf.policy_thread import PolicyThread
from vvf.receding import RecedingHorizon
from vvf.task_overlay import sides_of
from vvf_models.runtime import load_policy

PARAMETERS = (
    *COMMON_PARAMETERS,
    Parameter('execute', 0, "steps of each chunk that are executed; 0: the task's", 0, 1000),
    Parameter('blend', 2, 'steps over which a chunk takes over, at most execute - 1', 0, 1000),
    Parameter('rtc', False, 'RECAP: each chunk goes on from the last one (real-time chunking)'),
    Parameter('indicator', 'positive', 'RECAP: what is asked for: positive, negative, none'),
    Parameter(
        'guidance', -1.0, "how far beyond its data RECAP's policy goes; -1: its own", -1.0, 10.0
    ),
    Parameter(
        'temperature', -1.0, 'RECAP, CQL: of the noise that it draws from; -1: its own', -1.0, 10.0
    ),
    Parameter('candidates', 1, 'CQL: chunks that are drawn, the best by Q is taken', 1, 1000),
    Parameter('only_in_episodes', True, 'act only between the start and the end of an episode'),
    Parameter(
        'max_sight_age_s', 1.0, 'begin no chunk that was computed from older images', 0.05, 60.0
    ),
    Parameter('queue_depth', 2, 'frames that may wait', 1, 100),
    *GATE_PARAMETERS,
)

_KINDS = {'ee_delta': Action.KIND_EE_DELTA, 'joint_position': Action.KIND_JOINT_POSITION}


class PolicyNode(ModelNode):
    """Acts at the task's action rate, on frames; without new frames there is no new action."""

    def __init__(self, **options: Any) -> None:
        self._no_action = 0
        self._late_reported = 0
        self._began: float | None = None
        self._oldest = -np.inf  # frames from before still show what was there before
        self._progress = float('nan')
        self._human = False
        self._arm_follows = True  # also where no arm says how it stands
        self._inference = Meter()
        self._end_thread: Callable[[], object] = lambda: None
        super().__init__('policy', PARAMETERS, **options)

    def configure(self) -> None:
        """Load the model; make the publisher and the subscriptions."""
        p, keep = self.parameters, self.until_cleanup
        if self.task.action is None:
            raise UserError(f'task {self.task.name} has no action for a policy to give.')
        self._spec = self.task.action
        self._period = 1.0 / self._spec.rate_hz
        self._pace = Pace(self._period)
        self._sides = sides_of(self.task)
        answered = self.create_guard_condition(self._on_answer)
        self._thread = PolicyThread(
            lambda: load_policy(Path(p['model']), threads=p['threads']), answered.trigger
        )
        self._end_thread = self._thread.close
        keep(self._thread, PolicyThread.close)
        keep(answered, self.destroy_guard_condition)
        self._model = self._thread.model
        self.use_model(self._model, 'policy', self.task.models.policy_cameras)
        check_actions(
            self._model,
            self._model.name,
            f'task {self.task.name}',
            dim=self._spec.dim,
            period_s=self._period,
            displacements=self._spec.kind == 'ee_delta',
        )
        self._model.ask_for(
            indicator=p['indicator'],
            guidance=p['guidance'] if p['guidance'] >= 0.0 else None,
            temperature=p['temperature'] if p['temperature'] >= 0.0 else None,
            candidates=p['candidates'],
            goes_on=p['rtc'],
        )
        self._ask_for(self.task.instruction)
        self._thread.warm_up()
        grippers = np.arange(1, self._spec.dim + 1) % (self._spec.dim // len(self._sides)) == 0
        execute = p['execute'] or self._spec.execute
        self._plan = RecedingHorizon(
            execute,
            self._model.horizon,
            p['blend'],
            self._period,
            grippers,
            p['max_sight_age_s'],
        )
        self._gate = PolicyGate(self, self._spec, self._sides)
        self._actions = keep(
            self.create_lifecycle_publisher(Action, self._spec.topic, 10), self.destroy_publisher
        )
        for kind, topic, callback, qos in (
            (EpisodeEvent, '/vvf/episode', self._on_event, LATCHED),
            (ValueEstimate, '/vvf/value', self._on_value, stream_qos()),
            (String, '/vvf/arm/state', self._on_arm_state, LATCHED),
        ):
            keep(self.create_subscription(kind, topic, callback, qos), self.destroy_subscription)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop acting."""
        self._plan.reset()
        self._gate.forget()
        return super().on_deactivate(state)

    # -- acting ------------------------------------------------------------------------------

    def on_observation(self, seen: Seen) -> None:
        """Act, if it is time to."""
        if self._began is None and self.parameters['only_in_episodes']:
            return
        # From before the start it still shows the last episode's scene, from before a human gave
        # back the scene of before, and the arm refuses what answers it.
        if seen.stamp_s < self._oldest:
            return
        if not self._pace.due(seen.stamp_s):
            return
        # What an arm refuses must not count as executed.
        if self._gate.waiting or not self._arm_follows:
            return
        back = self._gate.next_step(time.monotonic())
        if back is not None:
            self._pace.took(seen.stamp_s)
            # Without a gripper: a retreat leaves it as it is.
            self._publish(seen, back.astype(np.float32), np.zeros(0, np.float32), 1)
            return
        if self._human:
            # Nothing of what is planned is executed: every chunk begins with its own frame.
            if self._plan.busy:
                return
            self._plan.reset()
        self._pace.took(seen.stamp_s)
        late = self._plan.late
        self._execute(seen, self._plan.tick(seen, time.monotonic()))
        if self._plan.late > late:
            self.get_logger().warning(
                'the policy is late: the arm holds until it has answered (see late in '
                '/diagnostics); give it more time by execute, or a quicker machine',
                once=True,
            )
        self._ask()

    def _ask(self) -> None:
        """Let the policy compute, if it is time to."""
        ask = self._plan.ask()
        if ask is not None:
            seen = ask.observation
            goes_on = self.parameters['rtc'] and len(ask.previous) > 0
            self._thread.put(ask, seen.images, seen.state, goes_on=goes_on)

    def _on_answer(self) -> None:
        """The policy has computed; what has been waited for is executed at once."""
        answer = self._thread.take()
        if answer is None:
            return
        now, chunk = time.monotonic(), answer.chunk
        self._inference.add(now, answer.seconds)
        if chunk is None:
            self._no_action += 1
            self.get_logger().warning(f'no action: {answer.problem}', throttle_duration_sec=5.0)
        elif self._spec.low:
            chunk = np.clip(chunk, self._spec.low, self._spec.high).astype(np.float32)
        dropped = self._plan.dropped
        rows = self._plan.answer(answer.ask, chunk, answer.seconds, now)
        if self._plan.dropped > dropped:
            self.get_logger().warning(
                f'the policy took {answer.seconds:.2g} s, and its chunk is over, or of a sight '
                'older than max_sight_age_s: nothing of it is executed; give it a quicker machine, '
                'or allow older sights',
                throttle_duration_sec=5.0,
            )
        self._execute(answer.ask.observation, rows)
        self._ask()

    def _execute(self, seen: Seen, rows: NDArray[np.float32] | None) -> None:
        if rows is None:
            return
        # An arm that goes on by itself after a step would do the next one twice.
        rows = rows if self._spec.execute == 1 else rows[:1]
        self._publish(seen, *split_rows(rows, len(self._sides)), len(rows))

    def _publish(
        self, seen: Seen, data: NDArray[np.float32], gripper: NDArray[np.float32], horizon: int
    ) -> None:
        message = Action(
            source=Action.SOURCE_POLICY,
            kind=_KINDS[self._spec.kind],
            horizon=horizon,
            dim=len(data) // horizon,
            data=data.tolist(),
            gripper=np.clip(gripper, 0.0, 1.0).tolist(),
            dt=self._period,
            names=delta_names(self._sides) if self._spec.kind == 'ee_delta' else [],
            policy=self._model.name,
        )
        message.header.stamp = seen.stamp
        self._actions.publish(message)
        now = now_s(self)
        self.latency.add(now, now - seen.stamp_s)

    def act_anew(self) -> None:
        """Act on the next frame, whatever was planned or is computed now."""
        self._pace.restart()
        self._plan.reset()

    # -- messages ----------------------------------------------------------------------------

    def _on_event(self, event: EpisodeEvent) -> None:
        if self._gate.on_event(event):
            self.act_anew()
        if event.event == EpisodeEvent.INTERVENTION_START:
            self._human = True
        elif event.event == EpisodeEvent.INTERVENTION_END:
            self._human = False
            self._oldest = max(self._oldest, seconds(event.header.stamp))
        elif event.event == EpisodeEvent.START:
            self._began = self._oldest = seconds(event.header.stamp)
            self._ask_for(event.instruction or self.task.instruction)
        elif event.event == EpisodeEvent.END:
            self._began = None

    def _ask_for(self, instruction: str) -> None:
        """Tell the policy what to do; it does nothing, if it does not know it."""

        def complain(error: str) -> None:
            self.get_logger().error(f'{error} Until it is told what it knows, it does not act.')

        if instruction:
            self._thread.tell(instruction, complain)

    def _on_arm_state(self, message: String) -> None:
        if follows(message.data) != self._arm_follows:
            self._arm_follows = not self._arm_follows
            self._gate.arm_follows(self._arm_follows)
            self.act_anew()

    def _on_value(self, message: ValueEstimate) -> None:
        self._progress = float(message.progress)

    def report(self) -> tuple[int, dict[str, Any]]:
        """How many actions were given and how long they took, and what is known of the value."""
        values: dict[str, Any] = {
            'actions': self.latency.count,
            'no_action': self._no_action,
            'inference_ms_p50': self._inference.latency_ms(50),
            'inference_ms_p95': self._inference.latency_ms(95),
            'progress_seen': self._progress,
        }
        if self._observer is None:
            return int(self._no_action > 0), values
        plan, late = self._plan, self._plan.late > self._late_reported
        self._late_reported = plan.late
        values |= {
            'chunks': plan.chunks,
            'late': plan.late,
            'dropped_chunks': plan.dropped,
            'delay_steps': plan.delay,
            'gate_falls': self._gate.falls,
            'gate_waits': self._gate.waiting,
            'arm_follows': self._arm_follows,
        }
        return int(self._no_action > 0 or late), values

    def destroy_node(self) -> None:
        """End the policy's thread, which would wake a node that is gone."""
        self._end_thread()
        super().destroy_node()


def main() -> None:
    """Entry point of `ros2 run vvf policy`."""
    sys.exit(run(PolicyNode))


if __name__ == '__main__':
    main()
