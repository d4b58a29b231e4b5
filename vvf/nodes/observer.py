# SPDX-License-Identifier: Apache-2.0
"""Subscribes to what a model observes, and hands over one decoded observation for each frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from vvf.images import ImageError, to_rgb
from vvf.nodes.common import now_s, stream_qos
from vvf.nodes.messages import message_class
from vvf.nodes.newest import Mailbox
from vvf.stamp_check import StampCheck
from vvf.state import StateAssembler, StateError
from vvf.sync import Observation, Synchroniser
from vvf.task import TaskSpec

#: Longest that a frame waits for what is due by its stamp but has not come in, s of a steady clock.
LIVE_WAIT_S = 0.01
_REPLAY_WAIT_S = 1.0  # the end of a replay: what a frame waits for may not come any more
_STATES = 1000  # kept of each topic until the next frame: a second of the fastest arms


@dataclass(frozen=True)
class Seen:
    """A decoded observation.

    Attributes:
        stamp: of the reference frame, `builtin_interfaces/Time`; `stamp_s` the same in seconds.
        images: RGB uint8 (height, width, 3) by the model's name of the camera.
        state: float32 (dim,), or `None` where the model takes none.
        arrived_s: the node's clock when the frame that completed it arrived.
    """

    stamp: Any
    stamp_s: float
    images: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32] | None
    arrived_s: float


class Observer:
    """The subscriptions of one model.

    Args:
        node: owner of the subscriptions.
        task: topics, tolerances and state of the observation.
        cameras: the task's camera for each camera of the model.
        state: whether the model takes the state.
        callback: gets each observation.
        reliable: for replays, where nothing may be lost, and where there is time to wait for all
            that belongs to a frame.
        depth: of the queues of each topic.

    Attributes:
        refused: frames that could not be used, by reason.
        overdue: frames that were not waited for any longer, though something was due.
        unusable: messages whose stamps say nothing, by reason and camera or topic.
    """

    def __init__(
        self,
        node: Node,
        task: TaskSpec,
        cameras: Mapping[str, str],
        *,
        state: bool,
        callback: Callable[[Seen], None],
        reliable: bool = False,
        depth: int = 2,
    ) -> None:
        self._node = node
        self._callback = callback
        self._cameras = dict(cameras)
        wanted = tuple(cameras.values())
        self._sync = Synchroniser(task, wanted, state=state, live=not reliable)
        self._assembler = StateAssembler(task) if state else None
        # The stamps of a replay are those of another day.
        self._stamps = None if reliable else StampCheck(task.sync.image_tolerance_s)
        self._names = {c.topic: c.name for c in task.cameras}
        self.bad: Counter[str] = Counter()
        self.overdue = 0
        self._patience = node.create_timer(
            _REPLAY_WAIT_S if reliable else LIVE_WAIT_S,
            self._settle,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
            autostart=False,
        )
        qos = stream_qos(reliable=reliable, depth=depth)
        self._subscriptions = []
        used = [c for c in task.cameras if c.name in wanted]
        # The reference camera is subscribed to last: among messages that arrived together, the
        # executor takes the others first, so that a frame seldom has to wait for them.
        for camera in reversed(used):
            kind = Image if camera.transport == 'raw' else CompressedImage
            receive = self._receiver(camera.topic)
            self._subscriptions.append(node.create_subscription(kind, camera.topic, receive, qos))
        # Joint states come up to a thousand times a second, and only frames ask for them.
        states = stream_qos(reliable=reliable, depth=_STATES)
        self._states = {
            s.topic: Mailbox(node, message_class(s.ros_type), s.topic, states)
            for s in (task.state if state else ())
        }

    @property
    def accepted(self) -> int:
        """Frames that became observations."""
        return self._sync.accepted - sum(self.bad.values())

    @property
    def refused(self) -> dict[str, int]:
        """Frames that did not, by reason."""
        return {**self._sync.dropped, **self.bad}

    @property
    def unusable(self) -> Counter[str]:
        """See the attributes."""
        return self._stamps.refused if self._stamps else Counter()

    def complaints(self) -> list[str]:
        """What is wrong with the stamps that come now, in words; warns of what is new."""
        if self._stamps is None:
            return []
        for sentence in self._stamps.news():
            self._node.get_logger().warning(sentence)
        return self._stamps.complaints()

    def close(self) -> None:
        """Undo the subscriptions."""
        self._node.destroy_timer(self._patience)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        for mailbox in self._states.values():
            mailbox.close()

    def _receiver(self, topic: str) -> Callable[[Any], None]:
        def receive(message: Any) -> None:
            made = self._collect() + self._check_and_push(topic, message)
            if made or not self._sync.waiting:
                self._patience.cancel()
            for observation in made:
                self._hand_over(observation)
            if self._sync.waiting and self._patience.is_canceled():
                self._patience.reset()

        return receive

    def _settle(self) -> None:
        """What is due did not come in time; what cannot do without it waits for the next image."""
        self._patience.cancel()
        made = self._collect()
        late = self._sync.settle()
        self.overdue += len(late)
        for observation in made + late:
            self._hand_over(observation)

    def _collect(self) -> list[Observation]:
        """Take the states that have come; those that waited are older than they were, a little."""
        made = []
        for topic, mailbox in self._states.items():
            for message in mailbox.take():
                made += self._check_and_push(topic, message)
        return made

    def _check_and_push(self, topic: str, message: Any) -> list[Observation]:
        """Use a message that has just come, unless its stamp cannot be right."""
        if self._stamps is not None:
            stamp, now = _nanoseconds(message.header.stamp), self._node.get_clock().now()
            why = self._stamps.add(self._names.get(topic, topic), stamp, now.nanoseconds)
            if why:
                self._sync.refuse(topic, why)
                return []
        return self._push(topic, message)

    def _push(self, topic: str, message: Any) -> list[Observation]:
        return self._sync.push(topic, _nanoseconds(message.header.stamp), message)

    def _hand_over(self, observation: Observation) -> None:
        arrived = now_s(self._node)
        images, what = {}, ''
        try:
            for name, camera in self._cameras.items():
                what = camera
                images[name] = to_rgb(observation.images[camera])
            what = 'state'
            state = self._assembler.assemble(observation.messages) if self._assembler else None
        except (ImageError, StateError) as error:
            self.bad[f'malformed:{what}'] += 1
            self._node.get_logger().warning(
                f'frame refused: {what}: {error}', throttle_duration_sec=5.0
            )
            return
        reference = observation.images[self._sync.reference]
        self._callback(
            Seen(reference.header.stamp, observation.stamp_ns * 1e-9, images, state, arrived)
        )


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
