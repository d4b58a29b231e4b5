# SPDX-License-Identifier: Apache-2.0
"""The `episode` node: starts, ends and labels episodes, and records one bag for each.

Services `/vvf/episode/start`, `/vvf/episode/end`, `/vvf/episode/label`, action `/vvf/episode/run`;
events on `/vvf/episode`; the id of the running episode on `/vvf/episode/heartbeat`, so that the
arm notices when nobody records any more.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from rclpy.subscription import Subscription
from std_msgs.msg import String
from vvf_msgs.msg import EpisodeEvent, ValueEstimate
from vvf_msgs.srv import EndEpisode, StartEpisode

from vvf.bags.recorder import Recorder, set_outcome
from vvf.diagnostics import Diagnostics
from vvf.errors import UserError
from vvf.nodes.common import LATCHED, run, stream_qos
from vvf.nodes.episode_runner import EpisodeRunner
from vvf.nodes.messages import OUTCOMES, message_class
from vvf.parameters import Parameter, declare
from vvf.provenance import provenance
from vvf.task import RecordTopic, load_task

PARAMETERS = (
    Parameter('task', 'pick_place', 'task file: a name in config/tasks or a path'),
    Parameter('record', True, 'record one bag for each episode'),
    Parameter('directory', 'runs/bags', 'folder that the bags are written to'),
    Parameter('robot', '', 'robot written into the bags'),
    Parameter('value_model', '', 'value checkpoint written into the bags'),
    Parameter('policy', '', 'policy checkpoint written into the bags'),
    Parameter('prepare_arm', True, 'ask the arm to go home before an episode begins'),
    Parameter('dry_run', False, 'nothing moves: running out of time is no failure then'),
    Parameter('success_topic', '/sim/success', 'std_msgs/Bool that ends a run with success'),
    Parameter('success_hold', 5, 'how many times in a row success must be reported', 1, 100),
    Parameter('reliable', False, 'subscribe reliably: for replays, where nothing may be lost'),
    Parameter('queue_depth', 100, 'messages kept for each recorded topic', 1, 10000),
)

EVENTS_TOPIC = '/vvf/episode'
VALUE_TOPIC = '/vvf/value'


class EpisodeNode(Node):
    """One episode at a time; see the module docstring for its topics.

    Attributes:
        episode_id: of the running episode, '' between two.
        steps: actions of the running or last episode.
        progress: newest progress in [0, 1], NaN before the first of an episode.
        last_outcome: how the last episode ended.
        last_path: its bag, `None` if it was not recorded.
    """

    def __init__(self) -> None:
        super().__init__('episode')
        p = declare(self, PARAMETERS)
        self.task = load_task(p['task'])
        self.directory = Path(p['directory'])
        self.parameters = p
        self.episode_id = ''
        self.instruction = self.task.instruction
        self.last_path: Path | None = None
        self.recorder: Recorder | None = None
        self.steps = 0
        self.progress = 0.0
        self._count = 0
        self._recorded: dict[str, Subscription] = {}
        self.last_outcome = 'aborted'

        self._events = self.create_publisher(EpisodeEvent, EVENTS_TOPIC, LATCHED)
        self._records_events = any(t.topic == EVENTS_TOPIC for t in self.task.recorded_topics())
        self._heartbeat = self.create_publisher(String, '/vvf/episode/heartbeat', 10)
        for topic in self.task.recorded_topics():
            if topic.topic == EVENTS_TOPIC:
                continue  # written as they are published: the end comes after the last message
            self._recorded[topic.topic] = self.create_subscription(
                message_class(topic.type),
                topic.topic,
                lambda data, name=topic.topic: self._on_message(name, data),
                self._qos(topic),
                raw=True,
            )
        self.create_subscription(ValueEstimate, VALUE_TOPIC, self._on_value, stream_qos())
        self.create_service(StartEpisode, '/vvf/episode/start', self._on_start)
        self.create_service(EndEpisode, '/vvf/episode/end', self._on_end)
        self.create_service(EndEpisode, '/vvf/episode/label', self._on_label)
        self._runner = EpisodeRunner(self)
        self.create_timer(0.2, self._beat)
        self._diagnostics = Diagnostics(self, self._report)
        # Whoever still believes in an episode of an earlier life of this node is put right.
        self._publish_event(EpisodeEvent.END, 'aborted', 'episode node started')

    def _qos(self, topic: RecordTopic) -> QoSProfile:
        if topic.qos == 'latched':
            return LATCHED
        reliable = self.parameters['reliable'] or topic.qos == 'reliable'
        return stream_qos(reliable=reliable, depth=self.parameters['queue_depth'])

    # -- services --------------------------------------------------------------------------

    def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        problem = ''
        if self.episode_id:
            problem = f'episode {self.episode_id} is still running: end it first'
        elif self._runner.busy:
            problem = 'an episode is about to begin'
        elif request.task not in ('', self.task.name):
            problem = f'this graph runs task {self.task.name}, not {request.task}'
        elif silent := self.silent_topics():
            problem = f'nobody publishes {silent[0]}: is its node running?'
        if problem:
            response.success, response.message = False, problem
            return response
        try:
            self.begin(request.instruction, request.episode_id)
        except (UserError, ValueError) as error:
            self.get_logger().error(f'cannot start an episode: {error}')
            response.success, response.message = False, str(error)
            return response
        response.success = True
        response.episode_id = self.episode_id
        response.path = str(self.recorder.path) if self.recorder else ''
        return response

    def _on_end(
        self, request: EndEpisode.Request, response: EndEpisode.Response
    ) -> EndEpisode.Response:
        if not self.episode_id:
            response.success, response.message = False, 'no episode is running'
        elif request.outcome not in OUTCOMES:
            response.success, response.message = False, f'there is no outcome {request.outcome}'
        else:
            self.end(OUTCOMES[request.outcome], request.note)
            response.success = True
            response.path = str(self.last_path or '')
        return response

    def _on_label(
        self, request: EndEpisode.Request, response: EndEpisode.Response
    ) -> EndEpisode.Response:
        if request.outcome not in OUTCOMES:
            response.success, response.message = False, f'there is no outcome {request.outcome}'
        elif self.episode_id or self.last_path is None:
            response.success = False
            response.message = 'end the episode first: labels are for the last recorded one'
        else:
            outcome = OUTCOMES[request.outcome]
            response.path = str(self.last_path)
            try:
                set_outcome(self.last_path, outcome)
            except (UserError, OSError) as error:
                response.success, response.message = False, str(error)
                return response
            self._publish_event(EpisodeEvent.LABEL, outcome, request.note)
            response.success = True
        return response

    def silent_topics(self) -> list[str]:
        """What an episode cannot be without and nobody publishes (yet): it would be lost."""
        if not self.parameters['record']:
            return []
        needed = [c.topic for c in self.task.cameras] + [s.topic for s in self.task.state]
        needed += [topic for topic in (VALUE_TOPIC,) if topic in self._recorded]
        return [t for t in needed if not self._recorded[t].get_publisher_count()]

    # -- one episode -----------------------------------------------------------------------

    def begin(self, instruction: str, episode_id: str, *, record: bool = True) -> None:
        """Start an episode, and its bag.

        Raises:
            ValueError: the id is no plain name.
            UserError: the bag exists or cannot be written.
        """
        self._count += 1
        stamp = datetime.now(UTC).strftime('%Y%m%d-%H%M%S')
        name = episode_id or f'{self.task.name}-{stamp}-{self._count:03d}'
        if Path(name).name != name or name in ('.', '..'):
            raise ValueError(f'an episode id is a plain name, not {name!r}')
        self.instruction = instruction or self.task.instruction
        if record and self.parameters['record']:
            self.recorder = Recorder(
                self.directory / name,
                self.task,
                custom_data=provenance(
                    self.task,
                    episode_id=name,
                    instruction=self.instruction,
                    robot=self.parameters['robot'] or self.task.robot,
                    value_checkpoint=self.parameters['value_model'],
                    policy_checkpoint=self.parameters['policy'],
                ),
            )
        self.episode_id, self.steps = name, 0
        self.progress = float('nan')
        self._publish_event(EpisodeEvent.START, '', '')
        self._beat()
        self.get_logger().info(f'episode {name} began')

    def end(self, outcome: str, note: str = '') -> None:
        """End the running episode and close its bag."""
        self.last_outcome = outcome
        self._publish_event(EpisodeEvent.END, outcome, note)
        name, self.episode_id = self.episode_id, ''
        self.last_path = None
        if self.recorder is not None:
            recorder, self.recorder = self.recorder, None
            audit = recorder.close(outcome, note)
            self.last_path = recorder.path
            if audit.dropped:
                self.get_logger().warning(
                    f'{audit.dropped} messages of {name} did not fit into the write queue'
                )
            for line in audit.complaints:
                self.get_logger().warning(f'{name}: {line}')
        self.get_logger().info(f'episode {name} ended: {outcome}')

    def close(self) -> None:
        """A running episode is closed as aborted, so that its bag is complete."""
        if self.episode_id:
            self.end('aborted', 'the episode node was stopped')

    # -- messages --------------------------------------------------------------------------

    def _on_message(self, topic: str, data: bytes) -> None:
        if self.task.action is not None and topic == self.task.action.topic:
            self.steps += 1
        if self.recorder is not None:
            self.recorder.write(topic, self.get_clock().now().nanoseconds, data)

    def _on_value(self, message: ValueEstimate) -> None:
        self.progress = float(message.progress)

    def _beat(self) -> None:
        error = self.recorder.error if self.recorder else None
        if error is not None:
            # No heartbeat: an arm that watches its recorder holds.
            self.get_logger().error(str(error), once=True)
            return
        self._heartbeat.publish(String(data=self.episode_id))

    def _publish_event(self, event: int, outcome: str, detail: str) -> None:
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
        if self.recorder is not None and self._records_events:
            self.recorder.write(EVENTS_TOPIC, now.nanoseconds, serialize_message(message))

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        r = self.recorder
        values = {
            'episode': self.episode_id,
            'episodes': self._count,
            'written': r.written if r else 0,
            'dropped': r.dropped if r else 0,
        }
        if r and r.error:
            return 2, str(r.error), values
        return (1 if values['dropped'] else 0), ('recording' if r else 'idle'), values


def main() -> None:
    """Entry point of `ros2 run vvf episode`."""
    sys.exit(run(EpisodeNode))


if __name__ == '__main__':
    main()
