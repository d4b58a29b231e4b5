# SPDX-License-Identifier: Apache-2.0
"""The `replay` node: publishes a recorded bag again, so that live nodes score it.

Messages keep their header stamps and go out reliably, at the bag's pace times `rate`; what the
graph itself makes (`/vvf/value`, `/vvf/episode`, `/vvf/action`) is left out. A value node that
cannot keep up is waited for, so that no queue overflows. The node ends when the last frame was
scored.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

from rclpy.node import Node
from vvf_msgs.msg import ValueEstimate
from vvf_msgs.srv import EndEpisode, StartEpisode

from vvf.bags.reader import open_bag
from vvf.diagnostics import Diagnostics
from vvf.errors import UserError
from vvf.nodes.common import now_s, run, stream_qos
from vvf.nodes.messages import OUTCOME_CODES, message_class
from vvf.parameters import Parameter, declare
from vvf.task import load_task

PARAMETERS = (
    Parameter('task', 'pick_place', 'task file: a name in config/tasks or a path'),
    Parameter('bag', '', 'the recorded bag'),
    Parameter('rate', 1.0, 'pace relative to the recording', 0.01, 100.0),
    Parameter('episode', True, 'start and end an episode around the replay'),
    Parameter('wait_s', 30.0, 'how long to wait for the value node', 1.0, 600.0),
)

OWN_OUTPUTS = ('/vvf/value', '/vvf/value/scalar', '/vvf/episode', '/vvf/action')
_SETTLE_S = 1.0
_QUIET_S = 2.0
_RECORDED_S = 0.5  # for the recorder to have the last value, too
_AHEAD = 100  # frames that may be on their way; queues are ten times as long


class ReplayNode(Node):
    """Waits for its listeners, plays, waits for the last value, and is done."""

    def __init__(self, **options: Any) -> None:
        super().__init__('replay', **options)
        p = declare(self, PARAMETERS)
        self.parameters = p
        self.task = load_task(p['task'])
        self.done = False
        self.failure: str | None = None
        self.published = self.frames = 0
        self.values = 0
        self._given_up = 0  # frames for which no value will come
        self._last_value = now_s(self)
        self._bag = open_bag(p['bag']).__enter__()
        cameras = {c.topic for c in self.task.cameras}
        # Only what the task observes: a vendor's command topic in the bag must not move an arm.
        wanted = {t.topic for t in self.task.recorded_topics()} - set(OWN_OUTPUTS)
        present = {t: s.type for t, s in self._bag.topics.items() if t in wanted}
        missing = cameras - present.keys()
        if missing:
            raise UserError(
                f'{p["bag"]} has no topic {sorted(missing)[0]} of task {self.task.name}; '
                'give the task of the recording with --task.'
            )
        qos = stream_qos(reliable=True, depth=1000)
        self._outputs = {
            topic: self.create_publisher(message_class(kind), topic, qos)
            for topic, kind in present.items()
        }
        self._needed = [self._outputs[t] for t in cameras]
        self._scored = self.create_subscription(
            ValueEstimate, '/vvf/value', self._on_value, stream_qos(reliable=True, depth=1000)
        )
        self._start_client = self.create_client(StartEpisode, '/vvf/episode/start')
        self._end_client = self.create_client(EndEpisode, '/vvf/episode/end')
        self._messages: Iterator[tuple[str, str, int, bytes]] | None = None
        self._pending: deque[tuple[str, int, bytes]] = deque()
        self._state = 'waiting'
        self._since = self._began = now_s(self)
        self._offset = 0.0
        self.create_timer(0.002, self._step)
        self._diagnostics = Diagnostics(self, self._report)

    def _step(self) -> None:
        getattr(self, f'_{self._state}')()

    def _go(self, state: str) -> None:
        self._state, self._since = state, now_s(self)

    def _waiting(self) -> None:
        """For the value node, and the recorder where there is one, to listen to every camera."""
        counts = [p.get_subscription_count() for p in self._needed]
        recorders = int(self.parameters['episode'])
        # The recorder listens to every camera, the value model perhaps to some only.
        ready = min(counts) >= recorders and max(counts) > recorders
        ready = ready and self.count_publishers('/vvf/value') > 0
        if self.parameters['episode']:
            ready = ready and self._start_client.service_is_ready()
        if ready:
            self._go('settling')
        elif now_s(self) - self._since > self.parameters['wait_s']:
            self.failure = 'nobody listens to the replay: is the value node running?'
            self.done = True

    def _settling(self) -> None:
        """Discovery is not symmetric: give the other side the time to see us, too."""
        if now_s(self) - self._since < _SETTLE_S:
            return
        if not self.parameters['episode']:
            self._go('playing')
            return
        future = self._start_client.call_async(StartEpisode.Request(task=self.task.name))
        future.add_done_callback(self._on_started)
        self._go('starting')

    def _starting(self) -> None:
        pass

    def _on_started(self, future: Any) -> None:
        answer = future.result()
        if not answer.success:
            # The recorder has not found everybody yet.
            self._go('settling')
            if now_s(self) - self._began > self.parameters['wait_s']:
                self.failure, self.done = answer.message, True
            return
        self.get_logger().info(f'recording the replay to {answer.path}')
        self._go('playing')

    def _playing(self) -> None:
        now = now_s(self)
        if self._messages is None:
            self._messages = self._bag.messages(list(self._outputs))
            first = next(self._messages, None)
            if first is None:
                self.failure, self.done = 'the bag holds no message of the task', True
                return
            self._pending.append((first[0], first[2], first[3]))
            self._offset = now - first[2] * 1e-9 / self.parameters['rate']
            self._last_value = now
        while self._pending or self._fetch():
            topic, stamp_ns, data = self._pending[0]
            due = stamp_ns * 1e-9 / self.parameters['rate']
            if due + self._offset > now:
                return
            if self._too_far_ahead(now):
                self._offset = now - due  # what is waited now is not made up for later
                return
            self._outputs[topic].publish(data)
            self._pending.popleft()
            self.published += 1
            self.frames += topic == self.task.reference_camera.topic
        self._last_value = now
        self._go('draining')

    def _too_far_ahead(self, now: float) -> bool:
        """Whether to wait for values; a frame that the value node refuses is given up in time."""
        if self.frames - self.values - self._given_up < _AHEAD:
            return False
        if now - self._last_value < _QUIET_S:
            return True
        self._given_up = self.frames - self.values
        return False

    def _fetch(self) -> bool:
        assert self._messages is not None
        item = next(self._messages, None)
        if item is not None:
            self._pending.append((item[0], item[2], item[3]))
        return item is not None

    def _draining(self) -> None:
        """Until no value came for a while: the last frames are still being scored."""
        patience = _QUIET_S if self.values < self.frames else _RECORDED_S
        if now_s(self) - max(self._last_value, self._since) < patience:
            return
        loss = self._bag.loss
        if loss:
            self.get_logger().warning(f'the bag is damaged: {loss}')
        self.get_logger().info(f'{self.published} messages played, {self.values} values came back')
        if self.values < self.frames:
            self.get_logger().warning(
                f'{self.frames - self.values} of {self.frames} frames came back without a value: '
                'see the diagnostics of the value node'
            )
        if not self.parameters['episode']:
            self.done = True
            return
        known = self._bag.custom_data.get('outcome', '')
        outcome = OUTCOME_CODES.get(known, EndEpisode.Request.UNLABELLED)
        note = f'replay of {self.parameters["bag"]}'
        future = self._end_client.call_async(EndEpisode.Request(outcome=outcome, note=note))
        future.add_done_callback(lambda _: setattr(self, 'done', True))
        self._go('starting')

    def _on_value(self, message: ValueEstimate) -> None:
        self.values += 1
        self._last_value = now_s(self)

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        return 0, self._state, {'published': self.published, 'values': self.values}

    def close(self) -> None:
        """Close the bag."""
        self._bag.__exit__(None, None, None)


def main() -> None:
    """Entry point of `ros2 run vvf replay`."""
    sys.exit(run(ReplayNode))


if __name__ == '__main__':
    main()
