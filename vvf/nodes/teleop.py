# SPDX-License-Identifier: Apache-2.0
"""The `teleop` node: a human's keys, gamepad or leader arm to actions, and who drives to events.

Takes keys from `vvf teleop` on `/vvf/teleop/keys`, or from the terminal that it is started in; a
pad on `/joy`, a leader's joint states. Gives `/vvf/action` while a human drives, interventions on
`/vvf/episode`, and how it goes on `/vvf/teleop/status`.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import String
from vvf_msgs.msg import Action, EpisodeEvent

from vvf.bags.frames import header_stamp
from vvf.diagnostics import Diagnostics, Meter
from vvf.nodes.common import LATCHED, run, stream_qos
from vvf.nodes.messages import message_class
from vvf.nodes.teleop_inputs import Inputs
from vvf.nodes.teleop_requests import Requests
from vvf.parameters import TASK_PARAMETERS, Parameter, declare
from vvf.safety_limits import load_limits
from vvf.task import load_task
from vvf.teleop.build import action_names, build_operator
from vvf.teleop.commands import STATUS_TOPIC, Command
from vvf.teleop.operator import Step
from vvf.teleop.pacing import Pacing
from vvf.teleop.report import report
from vvf.terminal import pressed, single_keys

PARAMETERS = (
    *TASK_PARAMETERS,
    Parameter('source', 'keyboard', 'keyboard, or besides it: gamepad, leader'),
    Parameter('speed', 0.3, 'of keys and sticks at first, part of the fastest', 0.05, 1.0),
    Parameter('max_x_m_s', 0.25, 'fastest forward and back, m/s', 0.001, 2.0),
    Parameter('max_y_m_s', 0.25, 'fastest to the sides, m/s', 0.001, 2.0),
    Parameter('max_z_m_s', 0.25, 'fastest up and down, m/s', 0.001, 2.0),
    Parameter('max_roll_rad_s', 1.5, 'fastest turn about x, rad/s', 0.001, 6.0),
    Parameter('max_pitch_rad_s', 1.5, 'fastest turn about y, rad/s', 0.001, 6.0),
    Parameter('max_yaw_rad_s', 1.5, 'fastest turn about z, rad/s', 0.001, 6.0),
    Parameter('max_joint_rad_s', 1.5, 'fastest joint behind a leader, rad/s', 0.01, 6.0),
    Parameter('ramp_s', 0.5, 'from a takeover until motion counts in full, s', 0.0, 5.0),
    Parameter('terminal_timeout_s', 1.0, 'longest silence of the terminal, s', 0.2, 10.0),
    Parameter('max_key_age_s', 0.5, 'oldest key that counts, s', 0.05, 5.0),
    Parameter('gamepad', 'controller', 'mapping of the pad: a name in config/teleop or a path'),
    Parameter('joy_topic', '/joy', 'Joy of the pad'),
    Parameter('gamepad_timeout_s', 0.3, 'longest silence of the pad, s', 0.05, 2.0),
    Parameter('leader_topic', '/leader/joint_states', 'JointState of the leader, the left of two'),
    Parameter('right_leader_topic', '/right_leader/joint_states', 'JointState of the right one'),
    Parameter('leader_robot', '', "the leader's kind, of config/robots; empty: the robot's own"),
    Parameter('leader_prefix', '', "before the names of the leader's joints"),
    Parameter('leader_timeout_s', 0.25, 'longest silence of a leader, s', 0.02, 2.0),
    Parameter('leader_jump_rad_s', 6.0, 'faster than this no hand moves a joint, rad/s', 0.5, 50.0),
)

_KINDS = {'ee_delta': Action.KIND_EE_DELTA, 'joint_position': Action.KIND_JOINT_POSITION}
_TICK_S = 0.02
_STATUS_S = 0.2
_POLICY_S = 1.0  # since its last action: a policy drives


class TeleopNode(Node):
    """Translates; `Operator` knows what the human wants, `Pacing` when it is due.

    Attributes:
        operator: see there.
        done: the terminal that the node was started in said so.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('teleop', **options)
        p = declare(self, PARAMETERS)
        self.parameters = p
        self.done = False
        self._task = load_task(p['task'], p['robot'], p['rig'])
        limits = load_limits(self._task.robot)
        leader_limits = load_limits(p['leader_robot'] or self._task.robot)
        self.operator = build_operator(self._task, limits, leader_limits, p)
        assert self._task.action is not None  # or there would be no operator
        self._action = self._task.action
        self._names = action_names(self._task, limits)
        self._pacing = Pacing(self._action.rate_hz)
        self._said = ''
        self._taken_ns = -1
        self._policy_acted = -np.inf
        self._arm_state = ''
        self._meter = Meter()
        self._events = self.create_publisher(EpisodeEvent, '/vvf/episode', LATCHED)
        self._actions = self.create_publisher(Action, self._action.topic, 10)
        self._status = self.create_publisher(DiagnosticStatus, STATUS_TOPIC, 10)
        self._requests = Requests(self, self._say)
        self._inputs = Inputs(self, self.operator, self._obey, self._task, limits, p)
        self._subscribe()
        self._terminal = self._own_terminal()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_TICK_S, self._tick, clock=steady)
        self.create_timer(_STATUS_S, self._publish_status, clock=steady)
        self._diagnostics = Diagnostics(self, self._report)

    def _subscribe(self) -> None:
        camera = self._task.reference_camera
        subscribe = self.create_subscription
        kind = message_class(camera.type)

        def see(data: bytes) -> None:  # images are large, and only their stamps are wanted
            self._pacing.saw_frame(header_stamp(data, camera.type))

        subscribe(kind, camera.topic, see, stream_qos(depth=1), raw=True)
        subscribe(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED)
        subscribe(Action, self._action.topic, self._on_action, 10)
        subscribe(String, '/vvf/arm/state', self._on_arm_state, LATCHED)

    # -- what comes in ---------------------------------------------------------------------

    def _on_event(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.START:
            self._requests.running = event.episode_id
            if self.operator.human:  # the arm stays theirs, and the bag is told
                self._publish_event(EpisodeEvent.INTERVENTION_START)
        elif event.event == EpisodeEvent.END:
            self._requests.running = ''
        elif event.event == EpisodeEvent.INTERVENTION_END and self.operator.human:
            stamp = Time.from_msg(event.header.stamp).nanoseconds
            if stamp > self._taken_ns:  # an older one is our own, of the last time
                self.operator.give()
                self._say('somebody else gave the arm back')

    def _on_action(self, message: Action) -> None:
        if message.source == Action.SOURCE_HUMAN:
            return
        self._policy_acted = time.monotonic()
        sides = len(self.operator.sides)
        grips = np.asarray(message.gripper, np.float64)
        if message.horizon and grips.size == message.horizon * sides:
            step = min(self._action.execute, message.horizon) - 1
            self.operator.saw_grippers(grips.reshape(-1, sides)[step].tolist())

    def _on_arm_state(self, message: String) -> None:
        self._arm_state = message.data

    # -- what a human asks for -------------------------------------------------------------

    def _obey(self, command: Command, now: float) -> None:
        if command is Command.INTERVENE:
            self._hand_over(now)
        elif said := self.operator.obey(command, now):
            self._say(said)
        else:
            if command in (Command.STOP, Command.HOME, Command.RECOVER):
                self.operator.interrupt(now)
            self._requests.obey(command)

    def _hand_over(self, now: float) -> None:
        if self.operator.human:
            self.operator.give()
            self._publish_event(EpisodeEvent.INTERVENTION_END)
            self._say('given back')
        else:
            self._publish_event(EpisodeEvent.INTERVENTION_START)
            self.operator.take(now)
            self._say('taken over')

    def _publish_event(self, event: int) -> None:
        message = EpisodeEvent(
            event=event,
            episode_id=self._requests.running,
            task=self._task.name,
            detail=self.parameters['source'],
        )
        now = self.get_clock().now()
        if event == EpisodeEvent.INTERVENTION_START:
            self._taken_ns = now.nanoseconds
        message.header.stamp = now.to_msg()
        self._events.publish(message)

    def _say(self, text: str) -> None:
        self._said = text
        self.get_logger().info(text)

    # -- what goes out ---------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        if self._terminal is not None:
            self.operator.hear_terminal(now)
            for key in pressed():
                self.done |= key == 'q'
                self._inputs.press(key, now)
        self._requests.look_at_answer()
        self._inputs.look(now)
        self.operator.watch(now)
        if self._requests.homing or not self._arm_follows():
            self._requests.forget_home()
            self.operator.interrupt(now)
        elif self.operator.human:
            self._step(now)

    def _step(self, now: float) -> None:
        stamp = self._pacing.due(
            now,
            self.get_clock().now().nanoseconds,
            after_ns=self._taken_ns,
            in_episode=bool(self._requests.running),
        )
        step = self.operator.step(now, self._pacing.period) if stamp is not None else None
        if stamp is not None and step is not None and np.isfinite(step.data).all():
            self._act(step, stamp)
            self._pacing.sent(now, stamp)
            self._meter.add(now)

    def _arm_follows(self) -> bool:
        """Whether the arm listens: not stopped, faulty, asleep or on a way of its own."""
        return self._arm_state.partition(':')[0] in ('', 'holding', 'running')

    def _act(self, step: Step, stamp_ns: int) -> None:
        message = Action(
            source=Action.SOURCE_HUMAN,
            kind=_KINDS[self._action.kind],
            horizon=1,
            dim=len(step.data),
            data=step.data.astype(np.float32).tolist(),
            gripper=step.gripper,
            dt=step.seconds,
            names=self._names,
            policy=self.parameters['source'],
        )
        message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        self._actions.publish(message)

    # -- how it goes -----------------------------------------------------------------------

    def _drives(self) -> str:
        if self.operator.human:
            return 'human'
        return 'policy' if time.monotonic() - self._policy_acted < _POLICY_S else 'nobody'

    def _warning(self) -> str:
        """Why a human who drives moves nothing; '' where all is well."""
        if why := self.operator.warning(time.monotonic()):
            return why
        flows = self._pacing.frames_flow(self.get_clock().now().nanoseconds)
        if self.operator.human and self._requests.running and not flows:
            return f'no new image on {self._task.reference_camera.topic}: the arm holds'
        return ''

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        now, warning = time.monotonic(), self._warning()
        values = {
            'drives': self._drives(),
            'source': self.parameters['source'],
            **report(self.operator, now),
            'episode': self._requests.running,
            'arm': self._arm_state,
            'said': self._said,
            'warning': warning,
            'actions': self._meter.count,
            'action_rate_hz': self._meter.rate_hz(now),
        }
        return int(bool(warning)), warning or self._drives(), values

    def _publish_status(self) -> None:
        level, message, values = self._report()
        text = {k: f'{v:.3f}' if isinstance(v, float) else str(v) for k, v in values.items()}
        self._status.publish(
            DiagnosticStatus(
                level=bytes([level]),
                name=self.get_fully_qualified_name(),
                message=message,
                values=[KeyValue(key=k, value=v) for k, v in text.items()],
            )
        )

    # -- the rest --------------------------------------------------------------------------

    def _own_terminal(self) -> ExitStack | None:
        """Take the keys of the terminal that this was started in, if it was, and not behind."""
        try:
            ours = sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
        except (OSError, ValueError):
            return None
        if not ours:
            return None
        stack = ExitStack()
        stack.enter_context(single_keys())
        self.get_logger().info('keys of this terminal count: i takes over, q ends')
        return stack

    def close(self) -> None:
        """Leave the terminal as it was. Only a human's key gives the arm back to a policy."""
        if self._terminal is not None:
            self._terminal.close()
        if self.operator.human and self._arm_follows():
            self.get_logger().warning(
                'a human has the arm: it holds until somebody takes over and gives back'
            )


def main() -> None:
    """Entry point of `ros2 run vvf teleop`."""
    sys.exit(run(TeleopNode))


if __name__ == '__main__':
    main()
