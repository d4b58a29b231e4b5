# SPDX-License-Identifier: Apache-2.0
"""Everything an episode records, as it comes over the wire: subscribed raw, counted, handed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from rclpy.event_handler import QoSMessageLostInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from vvf.nodes.common import LATCHED, now_s, stream_qos
from vvf.nodes.messages import message_class
from vvf.task import RecordTopic

#: Joint states come up to a thousand times a second and are small: a second's worth may wait.
_SMALL_DEPTH = 1000
_AT_ONCE = 100


class RecordedTopics:
    """Raw subscriptions; messages are never deserialized here.

    Args:
        node: owns the subscriptions.
        topics: what to subscribe to.
        on_message: gets (topic, time of reception in ns, serialized message).
        reliable: subscribe to everything reliably.
        depth: messages that wait for each camera; of other topics at least a thousand do.

    Attributes:
        counts: messages by topic so far.
        lost: messages by topic of which the middleware says that they never arrived.
        latched: newest message of each latched topic, which holds until the next one.
    """

    def __init__(
        self,
        node: Node,
        topics: Iterable[RecordTopic],
        on_message: Callable[[str, int, bytes], None],
        *,
        reliable: bool,
        depth: int,
    ) -> None:
        self._node = node
        self._on_message = on_message
        self._reliable = reliable
        self._depth = depth
        self._subscriptions: dict[str, Subscription] = {}
        self._before: tuple[float, Counter[str]] = (now_s(node), Counter())
        self._rates: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.latched: dict[str, bytes] = {}
        self._sim_time = node.get_parameter('use_sim_time').value
        for topic in topics:
            self._subscriptions[topic.topic] = self._subscribe(topic)

    def __contains__(self, topic: str) -> bool:
        return topic in self._subscriptions

    def has_publisher(self, topic: str) -> bool:
        """Whether somebody publishes a topic."""
        return bool(self._subscriptions[topic].get_publisher_count())

    def measure_rates(self) -> dict[str, float]:
        """Messages per second by topic since the last call."""
        now, (then, before) = now_s(self._node), self._before
        if now > then:
            self._rates = {
                t: (self.counts[t] - before[t]) / (now - then) for t in self._subscriptions
            }
            self._before = now, self.counts.copy()
        return self._rates

    def _subscribe(self, topic: RecordTopic) -> Subscription:
        name, kind, latched = topic.topic, message_class(topic.type), topic.qos == 'latched'

        def take(data: bytes, info: dict[str, int]) -> None:
            self.counts[name] += 1
            if latched:
                self.latched[name] = data
            self._on_message(name, self._received_ns(info), data)

        def receive(data: bytes, info: dict[str, int]) -> None:
            take(data, info)
            # Waiting costs the executor far more than taking: whoever is behind catches up here.
            for _ in range(_AT_ONCE):
                with subscription.handle:
                    more = subscription.handle.take_message(kind, True)
                if more is None:
                    return
                take(*more)

        def lose(info: QoSMessageLostInfo) -> None:
            self.lost[name] += info.total_count_change

        subscription = self._node.create_subscription(
            kind,
            name,
            receive,
            self._qos(topic),
            event_callbacks=SubscriptionEventCallbacks(message_lost=lose),
            raw=True,
        )
        return subscription

    def _received_ns(self, info: dict[str, int]) -> int:
        """When the middleware received a message: a busy executor may take it much later."""
        received = 0 if self._sim_time else info['received_timestamp']
        return received or int(self._node.get_clock().now().nanoseconds)

    def _qos(self, topic: RecordTopic) -> QoSProfile:
        if topic.qos == 'latched':
            return LATCHED
        image = topic.type.endswith('Image')
        return stream_qos(
            reliable=self._reliable or topic.qos == 'reliable',
            depth=self._depth if image else max(self._depth, _SMALL_DEPTH),
        )
