# SPDX-License-Identifier: Apache-2.0
"""The `arm` node: actions in, commands out, and the safety gate in between.

Takes `/vvf/action`; gives `/joint_states`, `/vvf/ee_pose`, `/vvf/arm/state` and the commands of its
drivers. Its services are in `vvf.nodes.arm_services`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import String
from vvf_msgs.msg import Action, EpisodeEvent, ValueEstimate

from vvf.actions import join_rows
from vvf.arbitration import Arbiter
from vvf.arm_team import ArmTeam, make_team
from vvf.arm_trouble import TroubleWatch
from vvf.diagnostics import Diagnostics, Meter
from vvf.drivers import make_drivers
from vvf.errors import UserError
from vvf.nodes.arm_services import ArmServices
from vvf.nodes.arm_topics import ArmTopics
from vvf.nodes.common import LATCHED, now_s, run, seconds, stream_qos
from vvf.parameters import TASK_PARAMETERS, Parameter, declare
from vvf.rig import load_rig
from vvf.safety import MaxAges, Mode, Reason
from vvf.safety_limits import load_limits
from vvf.task import load_task

PARAMETERS = (
    *TASK_PARAMETERS,
    Parameter('rate_hz', 50.0, 'control rate, Hz', 10.0, 500.0),
    Parameter('seed', 0, 'simulation: seed of the first layout', 0, 2**31 - 1),
    Parameter('dry_run', False, 'judge actions, but do not move'),
    Parameter('max_action_age_s', 0.6, 'hold after this long without an action', 0.05, 10.0),
    Parameter('max_image_age_s', 0.6, 'refuse actions from older images', 0.05, 10.0),
    Parameter('max_joint_age_s', 0.25, 'hold when joint states are older', 0.01, 10.0),
    Parameter('watch_value', False, 'hold when no value arrives'),
    Parameter('max_value_age_s', 0.8, 'oldest value that counts, if watched', 0.05, 10.0),
    Parameter('watch_recorder', False, 'hold when the recorder is silent'),
    Parameter('max_recorder_age_s', 0.8, 'longest silence of the recorder', 0.2, 10.0),
    Parameter('watch_estop_button', False, 'stop when the emergency stop button is silent'),
    Parameter('max_button_age_s', 1.0, 'longest silence of that button, if watched', 0.1, 10.0),
    Parameter('max_astray_s', 0.5, 'how long the arm may not follow its commands', 0.1, 10.0),
    Parameter('park_after_s', 30.0, 'go to sleep after missing inputs this long', 1.0, 3600.0),
    Parameter('moveit', False, 'go home only by ways of the moveit node'),
)

_HEARD_S = 1.0  # until everybody has heard of an episode's end: what comes before is no fault
_KINDS = {Action.KIND_EE_DELTA: 'ee_delta', Action.KIND_JOINT_POSITION: 'joint_position'}
_LEVELS = {Mode.STOPPED: 2, Mode.FAULT: 2, Mode.WAITING: 1}


class ArmNode(Node):
    """Translates; gates judge, players interpolate, drivers move.

    Attributes:
        team: the arms.
        arbiter: whose actions count.
        stopping: whether the node is on its way out.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('arm', **options)
        p = self.parameters = declare(self, PARAMETERS)
        task = load_task(p['task'], p['robot'], p['rig'])
        if task.action is None:
            raise UserError(f'task {task.name} has no action, so no arm can carry it out.')
        self._action_spec = task.action
        limits = load_limits(task.robot)
        ages = MaxAges(
            action=p['max_action_age_s'],
            image=p['max_image_age_s'],
            joint_state=p['max_joint_age_s'],
            value=p['max_value_age_s'] if p['watch_value'] else None,
            recorder=p['max_recorder_age_s'] if p['watch_recorder'] else None,
            tracking=p['max_astray_s'],
        )
        drivers = make_drivers(self, task, limits, rig=p['rig'], seed=p['seed'])
        self.team: ArmTeam = make_team(task, limits, ages, drivers, dry_run=p['dry_run'])
        self.arbiter = Arbiter()
        self.stopping = False
        self._trouble = TroubleWatch(p['park_after_s'])
        self._refused: Reason | None = None
        self._ticks, self._actions, self._commands = Meter(), Meter(), Meter()
        self._unanswered: float | None = None  # image stamp of an action not commanded yet

        joint_topic = load_rig(p['rig']).joint_state_topic if p['rig'] else '/joint_states'
        self._topics = ArmTopics(self, self.team.units, joint_topic)
        self._asked = ArmServices(self, p['max_button_age_s'] if p['watch_estop_button'] else None)
        self.create_subscription(Action, task.action.topic, self._on_action, 10)
        self.create_subscription(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED)
        self.create_subscription(String, '/vvf/episode/heartbeat', self._on_heartbeat, 10)
        self.create_subscription(ValueEstimate, '/vvf/value', self._on_value, stream_qos(depth=10))
        self._last_tick = time.monotonic()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / p['rate_hz'], self._tick, clock=steady)
        self._diagnostics = Diagnostics(self, self._report)

    # -- control ---------------------------------------------------------------------------

    def _tick(self) -> None:
        # A steady clock: a wall clock that is set while the arm moves must not be felt.
        now = time.monotonic()
        dt, self._last_tick = now - self._last_tick, now
        if self.team.sense(now, now_s(self)):
            # First of all: a simulated camera's frame, below, shows the arm in this state.
            self._topics.publish()
        self.team.act(now, dt)
        if self.team.mode is Mode.RUNNING and self._unanswered is not None:
            self._commands.add(now, now_s(self) - self._unanswered)
            self._unanswered = None
        self._asked.tick(now)
        self._watch_trouble(now)
        self._ticks.add(now, time.monotonic() - now)

    def _watch_trouble(self, now: float) -> None:
        reason = self.team.reason(now)
        mode, stale = self.team.mode, self.team.stale(now)
        acting = any(unit.gate.acting for unit in self.team.units)
        for level, text in self._trouble.news(now, mode, stale, reason, acting=acting):
            # Each on a line of its own: rclpy wants one severity from one line.
            if level == 'error':
                self.get_logger().error(text)
            elif level == 'warning':
                self.get_logger().warning(text)
            else:
                self.get_logger().info(text)
        if self._trouble.parks(now, self.team.mode):
            self.get_logger().warning('inputs stayed away: the arm goes to sleep')
            self._asked.interrupt()
            self.team.park()
        if self.arbiter.human and not reason:
            reason = 'a human has taken over'
        self._topics.say(self.team.mode.value, reason)

    # -- messages --------------------------------------------------------------------------

    def _on_action(self, message: Action) -> None:
        now = time.monotonic()
        stamp = seconds(message.header.stamp)
        human = message.source == Action.SOURCE_HUMAN
        if reason := self.arbiter.refusal(stamp, human=human):
            self.team.refuse(reason)
            if reason is Reason.NO_TAKEOVER:
                self.get_logger().warning(
                    'in an episode a human has to take over: these actions are refused', once=True
                )
            elif reason is not Reason.HUMAN and stamp > self.arbiter.changed + _HEARD_S:
                self.get_logger().warning(
                    'no episode runs: actions are refused, but for those of a human', once=True
                )
            return
        before = self.team.held_back
        if not self._is_our_kind(message):
            reason = self.team.refuse(Reason.WRONG_KIND)
        else:
            rows = join_rows(
                message.data, message.gripper, message.horizon, message.dim, self.team.openings
            )
            reason = self.team.play(rows, float(message.dt), image_age=now_s(self) - stamp, now=now)
        if reason is not None:
            if reason is not self._refused:
                self.get_logger().warning(f'action refused ({reason.value}): the arm holds')
            self._refused = reason
            return
        self._refused = None
        if self.team.held_back > before:
            self.get_logger().warning(
                'an action was beyond its limits and was held back', throttle_duration_sec=5.0
            )
        self._actions.add(now, now_s(self) - stamp)
        self._unanswered = stamp

    def _is_our_kind(self, message: Action) -> bool:
        joints = message.kind == Action.KIND_JOINT_POSITION
        names = [n for unit in self.team.units for n in unit.joint_names[:-1]]
        ordered = not joints or not message.names or list(message.names) == names
        return (
            _KINDS.get(message.kind) == self._action_spec.kind
            and ordered
            and 0.0 < message.dt < 10.0
        )

    def _on_event(self, event: EpisodeEvent) -> None:
        stamp = seconds(event.header.stamp)
        if event.event != EpisodeEvent.END:  # which may come after the request for the next one
            self._asked.interrupt()
        if event.event == EpisodeEvent.START:
            self.arbiter.begin(event.episode_id, stamp)
            return
        change = {
            EpisodeEvent.END: self.arbiter.end,
            EpisodeEvent.INTERVENTION_START: self.arbiter.take_over,
            EpisodeEvent.INTERVENTION_END: self.arbiter.give_back,
        }.get(event.event)
        if change is not None:
            change(stamp)
            self.stop_motion()

    def _on_heartbeat(self, message: String) -> None:
        # A recorder that was started again knows nothing of our episode: that is silence, too.
        if message.data == self.arbiter.episode:
            self.team.saw('recorder', time.monotonic())

    def _on_value(self, message: ValueEstimate) -> None:
        if np.isfinite(message.value):
            age = now_s(self) - seconds(message.header.stamp)
            self.team.saw('value', time.monotonic(), age)

    # -- the rest --------------------------------------------------------------------------

    def stop_motion(self) -> None:
        """Brake and hold, and miss no action until the next one."""
        self.team.end_motion()
        self._refused = None
        self._trouble.forget()

    def restart_clock(self) -> None:
        """Count the next tick from now on, after something that took its time."""
        self._last_tick = time.monotonic()

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        now, mode = time.monotonic(), self.team.mode
        level = _LEVELS.get(mode, int(self._trouble.present))
        values = {
            'mode': mode.value,
            'reason': self.team.reason(now),
            'control_rate_hz': self._ticks.rate_hz(now),
            'tick_ms_p95': self._ticks.latency_ms(95),
            'action_rate_hz': self._actions.rate_hz(now),
            'action_age_s': self._actions.age_s(now),
            'image_to_action_ms_p50': self._actions.latency_ms(50),
            'image_to_action_ms_p95': self._actions.latency_ms(95),
            'image_to_command_ms_p50': self._commands.latency_ms(50),
            'image_to_command_ms_p99': self._commands.latency_ms(99),
            'clipped_actions': sum(unit.player.clipped for unit in self.team.units),
            'outside_workspace': sum(unit.player.outside for unit in self.team.units),
        }
        values |= {f'refused_{r.value}': count for r, count in self.team.refusals.items()}
        return level, mode.value, values

    def begin_stop(self) -> None:
        """Park: the arm goes to its sleep pose at parking pace while the node still listens."""
        self.stopping = True
        self._asked.interrupt()
        self.team.park()

    @property
    def stopped(self) -> bool:
        """Whether the arm is where it may be left: parked, stopped or out of reach."""
        return bool(self.parameters['dry_run']) or self.team.at_rest

    @property
    def stop_patience_s(self) -> float:
        """How long parking may take."""
        return max(unit.limits.park_time_s for unit in self.team.units)

    def close(self) -> None:
        """Let go of the hardware."""
        if not self.stopped:
            self.get_logger().warning('the arm did not reach its sleep pose: it stays as it is')
        self.team.close()


def main() -> None:
    """Entry point of `ros2 run vvf arm`."""
    sys.exit(run(ArmNode))


if __name__ == '__main__':
    main()
