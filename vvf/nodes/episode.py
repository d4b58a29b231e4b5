# SPDX-License-Identifier: Apache-2.0
"""The `episode` node: starts, ends and labels episodes, and records one bag for each.

Services `/vvf/episode/start`, `/vvf/episode/end`, `/vvf/episode/label`, and `/vvf/episode/save` for
the ring buffer; action `/vvf/episode/run`; events on `/vvf/episode`; the id of the running episode
on `/vvf/episode/heartbeat`, so that the arm notices when nobody records any more.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.serialization import serialize_message
from std_msgs.msg import String
from vvf_msgs.msg import EpisodeEvent, ValueEstimate

from vvf.bags.audit import RecordingAudit
from vvf.bags.disk import free_gib
from vvf.bags.recorder import EpisodeRecorder
from vvf.bags.ring import Message, Ring
from vvf.bags.rosbag2 import NODE_NAME, Rosbag2Recorder
from vvf.bags.store import EpisodeStore, recorded_task
from vvf.diagnostics import Diagnostics
from vvf.errors import UserError
from vvf.nodes.common import LATCHED, now_s, run, seconds, stream_qos
from vvf.nodes.episode_ring import RingSaver
from vvf.nodes.episode_runner import EpisodeRunner, until
from vvf.nodes.episode_services import EpisodeServices
from vvf.nodes.episode_topics import RecordedTopics
from vvf.parameters import TASK_PARAMETERS, Parameter, declare
from vvf.task import load_task

PARAMETERS = (
    *TASK_PARAMETERS,
    Parameter('record', True, 'record one bag for each episode'),
    Parameter('directory', 'runs/bags', 'folder that the bags are written to'),
    Parameter('value_model', '', 'value checkpoint written into the bags'),
    Parameter('policy', '', 'policy checkpoint written into the bags'),
    Parameter('prepare_arm', True, 'ask the arm to go home before an episode begins'),
    Parameter('dry_run', False, 'nothing moves: running out of time is no failure then'),
    Parameter('success_topic', '/sim/success', 'std_msgs/Bool that ends a run with success'),
    Parameter('success_hold', 5, 'how many times in a row success must be reported', 1, 100),
    Parameter('reliable', False, 'subscribe reliably: for replays, where nothing may be lost'),
    Parameter('queue_depth', 100, 'messages kept for each recorded camera', 1, 10000),
    Parameter('recorder', 'vvf', 'vvf, or rosbag2 for ros2 bag record where it is installed'),
    Parameter('images', 'raw', 'raw: as the task says; compressed: every camera as JPEG'),
    Parameter('ring_seconds', 0.0, 'ring buffer to save afterwards, s; 0: none', 0.0, 3600.0),
    Parameter('ring_mb', 256, 'memory that the ring buffer may take, MiB', 1, 65536),
    Parameter('min_free_gib', 1.0, 'no recording where less is free, GiB', 0.0, 1e5),
)

EVENTS_TOPIC = '/vvf/episode'
VALUE_TOPIC = '/vvf/value'
_LOOK_AT_DISK_S = 1.0


class EpisodeNode(Node):
    """One episode at a time; see the module docstring for its topics.

    Attributes:
        episode_id: of the running episode, '' between two.
        steps: actions of the running or last episode.
        progress: newest progress in [0, 1], NaN before the first of an episode.
        last_outcome: how the last episode ended.
        last_path: its bag, `None` if it was not recorded.
        starting: a recorder is being started.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('episode', **options)
        p = declare(self, PARAMETERS)
        self.task = recorded_task(load_task(p['task'], p['robot'], p['rig']), p['images'])
        self.store = EpisodeStore(
            Path(p['directory']),
            self.task,
            recorder=p['recorder'],
            min_free_gib=p['min_free_gib'],
            value_checkpoint=p['value_model'],
            policy_checkpoint=p['policy'],
        )
        self.parameters = p
        self.episode_id = ''
        self.instruction = self.task.instruction
        self.last_path: Path | None = None
        self.last_outcome = 'aborted'
        self.recorder: EpisodeRecorder | None = None
        self.steps = 0
        self.progress = 0.0
        self._count = 0
        self.starting = False
        self._began_ns = 0
        self._looked_at_disk = time.monotonic()

        topics = self.task.recorded_topics()
        latched = [t.topic for t in topics if t.qos == 'latched']
        self._ring = (
            Ring(p['ring_seconds'], p['ring_mb'] << 20, latched) if p['ring_seconds'] else None
        )
        self._events = self.create_publisher(EpisodeEvent, EVENTS_TOPIC, LATCHED)
        self._records_events = any(t.topic == EVENTS_TOPIC for t in topics)
        self._heartbeat = self.create_publisher(String, '/vvf/episode/heartbeat', 10)
        self.topics = RecordedTopics(
            self,
            # Events are written as they are published: the end comes after the last message.
            [t for t in topics if t.topic != EVENTS_TOPIC],
            self._on_message,
            reliable=p['reliable'],
            depth=p['queue_depth'],
        )
        self._lost_before = self.topics.lost.copy()
        self.create_subscription(EpisodeEvent, EVENTS_TOPIC, self._on_event, LATCHED)
        self.create_subscription(ValueEstimate, VALUE_TOPIC, self._on_value, stream_qos())
        self._saver = RingSaver(self, self._ring, self._save_ring)
        self._runner = EpisodeRunner(self)
        self._asked = EpisodeServices(self, self._runner)
        self.create_timer(0.2, self._beat)
        self._diagnostics = Diagnostics(self, self._report)
        # Whoever still believes in an episode of an earlier life of this node is put right.
        self.publish_event(EpisodeEvent.END, 'aborted', 'episode node started')

    def silent_topics(self) -> list[str]:
        """What an episode cannot be without and nobody publishes (yet): it would be lost."""
        if not self.parameters['record']:
            return []
        needed = [c.topic for c in self.task.cameras] + [s.topic for s in self.task.state]
        if self.parameters['value_model'] and VALUE_TOPIC in self.topics:
            needed.append(VALUE_TOPIC)
        return [t for t in needed if not self.topics.has_publisher(t)]

    def explain_silence(self, topic: str) -> str:
        """One sentence about a topic that nobody publishes."""
        if topic.endswith('/compressed') and self.parameters['images'] == 'compressed':
            return f'nobody publishes {topic}: is its node running, or is it images:=raw?'
        return f'nobody publishes {topic}: is its node running?'

    # -- one episode -----------------------------------------------------------------------

    async def begin(self, instruction: str, episode_id: str, *, record: bool = True) -> None:
        """Start an episode, and its bag.

        Raises:
            ValueError: the id is no plain name.
            UserError: the bag exists or cannot be written, or the disk is nearly full.
        """
        name = episode_id or self.store.new_name()
        if Path(name).name != name or name in ('.', '..'):
            raise ValueError(f'an episode id is a plain name, not {name!r}')
        self.instruction = instruction or self.task.instruction
        self._lost_before = self.topics.lost.copy()
        recorder = None
        if record and self.parameters['record']:
            self.starting = True
            try:
                recorder = await self._open_recorder(name)
            finally:
                self.starting = False
        self.recorder = recorder
        self.episode_id, self.steps = name, 0
        self._count += 1
        self.progress = float('nan')
        self._began_ns = self.get_clock().now().nanoseconds
        if recorder is not None:
            for topic, data in self.topics.latched.items():
                recorder.write(topic, self._began_ns, data)
        self.publish_event(EpisodeEvent.START, '', '')
        self._beat()
        self.get_logger().info(f'episode {name} began')

    def end(self, outcome: str, note: str = '') -> None:
        """End the running episode and close its bag."""
        self.last_outcome, self.last_path = outcome, None
        recorder = self.recorder
        lost = self.topics.lost - self._lost_before
        known = recorder.settle(lost) if recorder else None
        detail = '\n'.join(part for part in (note, known.table() if known else '') if part)
        self.publish_event(EpisodeEvent.END, outcome, detail)
        name, self.episode_id = self.episode_id, ''
        self.recorder = None
        if recorder is not None:
            audit = recorder.close(outcome, note, lost)
            self.last_path = recorder.path
            self._log_audit(name, audit)
        self.get_logger().info(f'episode {name} ended: {outcome}')

    def close(self) -> None:
        """A running episode is closed as aborted, so that its bag is complete."""
        if self.episode_id:
            self.end('aborted', 'the episode node was stopped')

    async def _open_recorder(self, name: str) -> EpisodeRecorder:
        reliable = self.parameters['reliable']
        recorder = self.store.open(name, self.instruction, reliable=reliable)
        if isinstance(recorder, Rosbag2Recorder):
            await until(self, lambda: recorder.error or self._is_recorded_by(NODE_NAME))
            if not recorder.error and not self._is_recorded_by(NODE_NAME):
                recorder.close('aborted')
                raise UserError('`ros2 bag record` does not subscribe to the topics of the task')
            if error := recorder.error:
                recorder.close('aborted')
                raise error
        return recorder

    def _is_recorded_by(self, node_name: str) -> bool:
        return all(
            any(s.node_name == node_name for s in self.get_subscriptions_info_by_topic(t.topic))
            for t in self.task.recorded_topics()
        )

    def _save_ring(self, messages: list[Message]) -> Path:
        path, audit = self.store.save(messages, self.instruction)
        self.get_logger().info(f'the last {audit.seconds:.1f} s were saved: {path}')
        return path

    def _log_audit(self, name: str, audit: RecordingAudit) -> None:
        self.get_logger().info(f'{name}: {audit.seconds:.1f} s\n{audit.table()}')
        for line in audit.complaints:
            self.get_logger().warning(f'{name}: {line}')

    # -- messages --------------------------------------------------------------------------

    def _on_message(self, topic: str, stamp_ns: int, data: bytes) -> None:
        if self.task.action is not None and topic == self.task.action.topic:
            self.steps += 1
        if self.recorder is not None and stamp_ns >= self._began_ns:
            self.recorder.write(topic, stamp_ns, data)
        if self._ring is not None:
            self._ring.add(topic, stamp_ns, data)

    def _on_value(self, message: ValueEstimate) -> None:
        self.progress = float(message.progress)

    def _beat(self) -> None:
        self._guard_disk()
        error = self.recorder.error if self.recorder else None
        if error is not None:
            # No heartbeat: an arm that watches its recorder holds.
            self.get_logger().error(str(error), once=True)
            return
        self._heartbeat.publish(String(data=self.episode_id))

    def _guard_disk(self) -> None:
        """A full disk ends the episode while its bag can still be completed."""
        now = time.monotonic()
        if self.recorder is None or now - self._looked_at_disk < _LOOK_AT_DISK_S:
            return
        self._looked_at_disk = now
        if problem := self.store.shortage():
            self.get_logger().error(f'episode {self.episode_id} is ended: {problem}')
            self.end('aborted', problem)

    def publish_event(self, event: int, outcome: str, detail: str) -> None:
        """Publish what happened to the episode, and record it."""
        message = EpisodeEvent(
            event=event,
            episode_id=self.episode_id,
            task=self.task.name,
            instruction=self.instruction,
            outcome=outcome,
            detail=detail,
        )
        now = self.get_clock().now()
        message.header.stamp = now.to_msg()
        self._events.publish(message)
        self._record_event(message, now.nanoseconds)

    def _on_event(self, message: EpisodeEvent) -> None:
        """Record what others say of the running episode: interventions, milestones, errors."""
        now = self.get_clock().now().nanoseconds
        is_ours = message.event in (EpisodeEvent.START, EpisodeEvent.END, EpisodeEvent.LABEL)
        is_old = seconds(message.header.stamp) * 1e9 < self._began_ns
        if is_ours or not self.episode_id or is_old:
            return
        # A node that was just started again may not have heard yet which episode runs.
        if message.episode_id in ('', self.episode_id):
            message.episode_id = self.episode_id
            self._record_event(message, now)

    def _record_event(self, message: EpisodeEvent, now_ns: int) -> None:
        if not self._records_events:
            return
        if self.recorder is not None:
            self.recorder.write(EVENTS_TOPIC, now_ns, serialize_message(message))
        if self._ring is not None:
            self._ring.add(EVENTS_TOPIC, now_ns, serialize_message(message))

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        r, ring = self.recorder, self._ring
        free, least = free_gib(self.store.directory), self.store.min_free_gib
        values: dict[str, Any] = {
            'episode': self.episode_id,
            'episodes': self._count,
            'seconds': now_s(self) - self._began_ns * 1e-9 if self.episode_id else 0.0,
            'written': r.written if r else 0,
            'dropped': r.dropped if r else 0,
            'lost': (self.topics.lost - self._lost_before).total(),
            'last_outcome': self.last_outcome if self.last_path else '',
            'last_path': str(self.last_path or ''),
            'free_gib': free,
            'ring_s': ring.seconds if ring else 0.0,
            'ring_mib': ring.bytes / (1 << 20) if ring else 0.0,
        }
        # A key that begins with a slash is a topic, its value the rate in Hz.
        values |= self.topics.measure_rates()
        if r and r.error:
            return 2, str(r.error), values
        if self.parameters['record'] and free < least:
            return 1, f'only {free:.1f} of {least:g} GiB are free: nothing is recorded', values
        if values['dropped']:
            return 1, 'messages did not fit into the write queue', values
        if ring and ring.limited:
            held = f'{ring.seconds:.1f} of {self.parameters["ring_seconds"]:g} s'
            advice = 'images:=compressed or more ring_mb'
            return 1, f'the ring buffer holds {held} in its memory: {advice}', values
        return 0, ('recording' if r else 'idle'), values


def main() -> None:
    """Entry point of `ros2 run vvf episode`."""
    sys.exit(run(EpisodeNode))


if __name__ == '__main__':
    main()
