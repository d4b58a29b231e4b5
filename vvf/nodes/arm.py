# SPDX-License-Identifier: Apache-2.0
"""The `arm` node: actions in, commands out, and the safety gate in between.

Takes `/vvf/action`; gives `/joint_states`, `/vvf/ee_pose` and the commands of its driver. Services:
`/vvf/arm/prepare`, `/vvf/estop`, `/vvf/estop_reset`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import yaml
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vvf_msgs.msg import Action, EpisodeEvent, ValueEstimate

from vvf.diagnostics import Diagnostics, Meter
from vvf.drivers.base import ArmDriver
from vvf.errors import UserError
from vvf.motion import Chunk, ChunkPlayer
from vvf.nodes.common import LATCHED, now_s, run, seconds, stream_qos
from vvf.parameters import Parameter, declare
from vvf.paths import config_path
from vvf.safety import MaxAges, Mode, Reason, RobotLimits, SafetyGate
from vvf.task import load_task
from vvf_sim.controllers import CartesianTarget
from vvf_sim.robots.arm import Workspace, arm_model

PARAMETERS = (
    Parameter('task', 'pick_place', 'task file: a name in config/tasks or a path'),
    Parameter('robot', 'wx250s', 'limits: a name in config/robots'),
    Parameter('driver', 'sim', 'what moves: sim'),
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
    Parameter('park_after_s', 30.0, 'go to sleep after holding a fault this long', 1.0, 3600.0),
)

STALE_TEXT = {
    Reason.STALE_ACTION: 'no new action',
    Reason.STALE_IMAGE: 'no new image behind the actions',
    Reason.STALE_JOINT_STATE: 'no new joint state',
    Reason.STALE_VALUE: 'no new value',
    Reason.STALE_RECORDER: 'the recorder is silent',
}
_GATHER_S = 0.3  # the arm holds at once; the line about it waits for what follows
_HEARD_S = 1.0  # until everybody has heard of an episode's end: what comes before is no fault
_KINDS = {Action.KIND_EE_DELTA: 'ee_delta', Action.KIND_JOINT_POSITION: 'joint_position'}


class ArmNode(Node):
    """Translates; `SafetyGate` judges, `ChunkPlayer` interpolates, the driver moves.

    Attributes:
        episode: id of the running episode, '' between two.
    """

    def __init__(self) -> None:
        super().__init__('arm')
        p = declare(self, PARAMETERS)
        self.parameters = p
        task = load_task(p['task'])
        if task.action is None:
            raise UserError(f'task {task.name} has no action, so no arm can carry it out.')
        self._action_spec = task.action
        limits = load_limits(p['robot'])
        self.gate = SafetyGate(
            limits,
            MaxAges(
                action=p['max_action_age_s'],
                image=p['max_image_age_s'],
                joint_state=p['max_joint_age_s'],
                value=p['max_value_age_s'] if p['watch_value'] else None,
                recorder=p['max_recorder_age_s'] if p['watch_recorder'] else None,
            ),
        )
        if task.action.dim != len(limits.joint_names) + 1:
            raise UserError(
                f'task {task.name}: an action for {limits.name} has {len(limits.joint_names)} '
                f'numbers and the gripper, not {task.action.dim} in all.'
            )
        arm = arm_model(limits.name)
        self._kinematics = arm.kinematics(limits.lower, limits.upper)
        box = Workspace(tuple(limits.workspace_lower), tuple(limits.workspace_upper))
        self.player = ChunkPlayer(task.action, CartesianTarget(arm, self._kinematics, box))
        self.episode = ''
        self._began = 0.0  # stamp of the start of that episode, s
        self._ended = 0.0  # stamp of the end of the last one, s
        self._faulty_since: float | None = None
        self._announced = False
        self._refused: Reason | None = None
        self._ticks = Meter()
        self._actions = Meter()
        self._commands = Meter()
        self._unanswered: float | None = None  # image stamp of an action not commanded yet
        self.driver: ArmDriver = _make_driver(self, p, task)
        self._start_gate()

        self._joints = self.create_publisher(JointState, '/joint_states', 10)
        self._pose = self.create_publisher(PoseStamped, '/vvf/ee_pose', 10)
        self.create_subscription(Action, task.action.topic, self._on_action, 10)
        self.create_subscription(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED)
        self.create_subscription(String, '/vvf/episode/heartbeat', self._on_heartbeat, 10)
        self.create_subscription(ValueEstimate, '/vvf/value', self._on_value, stream_qos(depth=10))
        self.create_service(Trigger, '/vvf/arm/prepare', self._on_prepare)
        self.create_service(Trigger, '/vvf/estop', self._on_estop)
        self.create_service(Trigger, '/vvf/estop_reset', self._on_reset)
        self._last_tick = time.monotonic()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / p['rate_hz'], self._tick, clock=steady)
        self._diagnostics = Diagnostics(self, self._report)

    # -- control ---------------------------------------------------------------------------

    def _tick(self) -> None:
        # A steady clock: a wall clock that is set while the arm moves must not be felt.
        now = time.monotonic()
        dt, self._last_tick = now - self._last_tick, now
        reading = self.driver.read()
        if reading.finite():
            self.gate.saw('joint_state', now, now_s(self) - reading.stamp)
            # First of all: a simulated camera's frame, below, shows the arm in this state.
            self._publish_state(reading)
        target = self.player.at(now)
        command = self.gate.command(
            None if target is None else target[:-1],
            float('nan') if target is None else float(target[-1]),
            now,
            dt,
        )
        if self.gate.mode is not Mode.RUNNING:
            # The next displacement counts from where the arm is held, not from where it was going.
            self.player.hold(np.append(command.position, command.gripper))
        elif self._unanswered is not None:
            self._commands.add(now, now_s(self) - self._unanswered)
            self._unanswered = None
        if not self.parameters['dry_run']:
            self.driver.write(command, dt)
        else:
            self.driver.write(self._dry_command, dt)
        self._watch_faults(now)
        self._ticks.add(now, time.monotonic() - now)

    def _watch_faults(self, now: float) -> None:
        stale = self.gate.stale(now)
        if not stale:
            if self._announced:
                self.get_logger().info('all inputs are back')
            self._faulty_since, self._announced = None, False
        elif self._faulty_since is None:
            self._faulty_since = now
        elif not self._announced and now - self._faulty_since > _GATHER_S:
            # One fault, one line: what fails for the same reason fails within a moment.
            self._announced = True
            texts = '; '.join(sorted(STALE_TEXT[r] for r in stale))
            self.get_logger().warning(f'{texts}: the arm holds')
        elif (
            self.gate.mode is Mode.HOLDING
            and now - self._faulty_since > self.parameters['park_after_s']
        ):
            self.get_logger().warning('inputs stayed away: the arm goes to sleep')
            self.gate.park()

    def _publish_state(self, reading: Any) -> None:
        stamp = Time(seconds=reading.stamp).to_msg()
        limits = self.gate.limits
        joints = JointState(
            name=[*limits.joint_names, limits.gripper_name],
            position=[*reading.position.tolist(), reading.gripper],
            velocity=[*reading.velocity.tolist(), 0.0],
        )
        joints.header.stamp = stamp
        self._joints.publish(joints)
        transform = self._kinematics.forward(reading.position)
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = stamp, 'base_link'
        position, orientation = pose.pose.position, pose.pose.orientation
        position.x, position.y, position.z = (float(v) for v in transform[:3, 3])
        quaternion = Rotation.from_matrix(transform[:3, :3]).as_quat()
        orientation.x, orientation.y, orientation.z, orientation.w = map(float, quaternion)
        self._pose.publish(pose)

    # -- messages --------------------------------------------------------------------------

    def _on_action(self, message: Action) -> None:
        now = time.monotonic()
        stamp = seconds(message.header.stamp)
        if message.source != Action.SOURCE_HUMAN and (reason := self._out_of_episode(stamp)):
            self.gate.refuse(reason)
            if stamp > max(self._began, self._ended) + _HEARD_S:
                self.get_logger().warning(
                    'no episode runs: actions are refused, but for those of a human', once=True
                )
            return
        data = np.asarray(message.data, np.float64)
        shape = (message.horizon, message.dim)
        chunk = data.reshape(shape) if data.size == shape[0] * shape[1] else data
        gripper = np.asarray(message.gripper, np.float64)
        if not gripper.size:  # leave it as it is
            gripper = np.full(shape[0], self.player.opening)
        if not self._is_our_kind(message):
            reason = self.gate.refuse(Reason.WRONG_KIND)
        else:
            reason = self.gate.check_action(
                chunk,
                gripper,
                dim=self._action_spec.dim - 1,
                image_age=now_s(self) - stamp,
                now=now,
            )
        if reason is not None:
            if reason is not self._refused:
                self.get_logger().warning(f'action refused ({reason.value}): the arm holds')
            self._refused = reason
            return
        self._refused = None
        refused = self.player.clipped + self.player.outside
        kind = self._action_spec.kind
        self.player.load(Chunk(kind, chunk, gripper, float(message.dt)), now)
        self.player.at(now)
        if self.player.clipped + self.player.outside > refused:
            self.get_logger().warning(
                'an action was beyond its limits and was held back', throttle_duration_sec=5.0
            )
        self._actions.add(now, now_s(self) - stamp)
        self._unanswered = stamp

    def _out_of_episode(self, stamp: float) -> Reason | None:
        """Why an action that is not a human's does not belong to the running episode."""
        if not self.episode:
            return Reason.NO_EPISODE
        return Reason.OUTDATED if stamp < self._began else None

    def _is_our_kind(self, message: Action) -> bool:
        joints = message.kind == Action.KIND_JOINT_POSITION
        names = self.gate.limits.joint_names
        ordered = not joints or not message.names or tuple(message.names) == names
        return (
            _KINDS.get(message.kind) == self._action_spec.kind
            and ordered
            and 0.0 < message.dt < 10.0
        )

    def _on_event(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.START:
            self.episode, self._began = event.episode_id, seconds(event.header.stamp)
        elif event.event == EpisodeEvent.END:
            self.episode = ''
            self._ended = seconds(event.header.stamp)
            self._stop_motion()

    def _on_heartbeat(self, message: String) -> None:
        # A recorder that was started again knows nothing of our episode: that is silence, too.
        if message.data == self.episode:
            self.gate.saw('recorder', time.monotonic())

    def _on_value(self, message: ValueEstimate) -> None:
        if np.isfinite(message.value):
            age = now_s(self) - seconds(message.header.stamp)
            self.gate.saw('value', time.monotonic(), age)

    # -- services --------------------------------------------------------------------------

    def _on_prepare(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.gate.mode is Mode.STOPPED:
            response.success, response.message = False, 'the emergency stop is on: reset it first'
            return response
        self._stop_motion()
        response.message = self.driver.prepare()
        self._start_gate()
        self._last_tick = time.monotonic()
        response.success = True
        return response

    def _on_estop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.gate.emergency_stop()
        self.get_logger().error('emergency stop: the arm holds until /vvf/estop_reset')
        response.success, response.message = True, 'stopped'
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.gate.reset()
        response.success, response.message = True, 'the arm follows actions again'
        return response

    # -- the rest --------------------------------------------------------------------------

    def _stop_motion(self) -> None:
        self.gate.end_motion()
        self._refused = None
        self._faulty_since, self._announced = None, False

    def _start_gate(self) -> None:
        reading = self.driver.read()
        self.gate.start_from(reading.position, reading.gripper)
        self._dry_command = self.gate.command(None, 0.0, time.monotonic(), 0.01)
        self.player.reset(np.append(reading.position, reading.gripper))

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        now = time.monotonic()
        gate = self.gate
        level = 2 if gate.mode is Mode.STOPPED else int(self._faulty_since is not None)
        values = {
            'mode': gate.mode.value,
            'control_rate_hz': self._ticks.rate_hz(now),
            'tick_ms_p95': self._ticks.latency_ms(95),
            'action_rate_hz': self._actions.rate_hz(now),
            'action_age_s': self._actions.age_s(now),
            'image_to_action_ms_p50': self._actions.latency_ms(50),
            'image_to_action_ms_p95': self._actions.latency_ms(95),
            'image_to_command_ms_p50': self._commands.latency_ms(50),
            'image_to_command_ms_p99': self._commands.latency_ms(99),
            'clipped_actions': self.player.clipped,
            'outside_workspace': self.player.outside,
        }
        values |= {f'refused_{reason.value}': count for reason, count in gate.refusals.items()}
        return level, gate.mode.value, values

    def begin_stop(self) -> None:
        """Park: the arm goes to its sleep pose at parking pace while the node still listens."""
        self.gate.park()

    @property
    def stopped(self) -> bool:
        """Whether the arm is where it may be left: parked, or held by the emergency stop."""
        return self.parameters['dry_run'] or self.gate.mode in (Mode.PARKED, Mode.STOPPED)

    def close(self) -> None:
        """Let go of the hardware."""
        if not self.stopped:
            self.get_logger().warning('the arm did not reach its sleep pose: it stays as it is')
        self.driver.close()


def load_limits(robot: str) -> RobotLimits:
    """The limits in `config/robots/<robot>.yaml`.

    Raises:
        UserError: there is no such robot, or its file is wrong.
    """
    file = config_path('robots', f'{robot}.yaml')
    if not file.is_file():
        known = ', '.join(sorted(p.stem for p in file.parent.glob('*.yaml')))
        raise UserError(f'there is no robot {robot!r}; known: {known}.')
    return RobotLimits.from_mapping(yaml.safe_load(file.read_text()), str(file))


def _make_driver(node: Node, parameters: dict[str, Any], task: Any) -> ArmDriver:
    if parameters['driver'] != 'sim':
        raise UserError(f'there is no driver {parameters["driver"]!r}; known: sim.')
    from vvf.drivers.sim import SimDriver

    return SimDriver(node, task, seed=parameters['seed'])


def main() -> None:
    """Entry point of `ros2 run vvf arm`."""
    sys.exit(run(ArmNode))


if __name__ == '__main__':
    main()
