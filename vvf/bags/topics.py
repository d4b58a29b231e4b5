# SPDX-License-Identifier: Apache-2.0
"""Topics of a bag: type, definition, quality of service, and what was recorded of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

from vvf.bags.typestore import typestore
from vvf.errors import UserError

_FOREVER = QosTime(9223372036, 854775807)
_QOS = {
    'sensor': (5, QosReliability.BEST_EFFORT, QosDurability.VOLATILE),
    'reliable': (10, QosReliability.RELIABLE, QosDurability.VOLATILE),
    'latched': (10, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL),
}


@dataclass(frozen=True)
class TopicSpec:
    """A topic to record: its ROS type and the quality of service its publisher offers.

    ``definition`` and ``type_hash`` describe a type that vvf does not know itself, as copied from
    another bag; both are looked up where they are empty. ``qos_profiles``
    overrules ``qos``.
    """

    topic: str
    type: str
    qos: Literal['sensor', 'reliable', 'latched'] = 'reliable'
    definition: str = ''
    type_hash: str = ''
    encoding: Literal['ros2msg', 'ros2idl'] = 'ros2msg'
    qos_profiles: tuple[Qos, ...] | None = None

    def profiles(self) -> list[Qos]:
        """The offered profiles, as rosbag2 stores them."""
        if self.qos_profiles is not None:
            return list(self.qos_profiles)
        depth, reliability, durability = _QOS[self.qos]
        return [
            Qos(QosHistory.KEEP_LAST, depth, reliability, durability, _FOREVER, _FOREVER,
                QosLiveliness.AUTOMATIC, _FOREVER, False)
        ]  # fmt: skip


@dataclass
class TopicAudit:
    """What was recorded of one topic. Times are those of writing; gaps are in seconds."""

    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    longest_gap_s: float = 0.0
    gap_began_ns: int = 0

    @property
    def rate_hz(self) -> float:
        """Mean rate; 0 with fewer than two messages."""
        span = (self.last_ns - self.first_ns) * 1e-9
        return (self.count - 1) / span if span > 0 else 0.0

    def add(self, stamp_ns: int) -> None:
        """Count one message."""
        if self.count:
            gap = (stamp_ns - self.last_ns) * 1e-9
            if gap > self.longest_gap_s:
                self.longest_gap_s, self.gap_began_ns = gap, self.last_ns
            self.first_ns, self.last_ns = min(self.first_ns, stamp_ns), max(self.last_ns, stamp_ns)
        else:
            self.first_ns = self.last_ns = stamp_ns
        self.count += 1


def described(topic: TopicSpec) -> TopicSpec:
    """Return the topic with definition and hash filled in where they are not given.

    Raises:
        UserError: The type is unknown.
    """
    store = typestore()
    if topic.definition and topic.type_hash:
        return topic
    definition, type_hash, encoding = topic.definition, topic.type_hash, topic.encoding
    if topic.type in store.fielddefs:
        type_hash = type_hash or store.hash_rihs01(topic.type)
        if not definition:
            definition, encoding = store.generate_msgdef(topic.type, ros_version=2)[0], 'ros2msg'
    elif not definition and topic.qos_profiles is None:
        raise UserError(f"topic {topic.topic}: the message type '{topic.type}' is not known here")
    return TopicSpec(
        topic.topic, topic.type, topic.qos, definition, type_hash, encoding, topic.qos_profiles
    )
