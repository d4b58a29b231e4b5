# SPDX-License-Identifier: Apache-2.0
"""The last seconds of every topic, kept in memory, to be saved when something worth it happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from vvf.bags.audit import AUDIT, RecordingAudit, audit_recording
from vvf.bags.recorder import recorded_specs
from vvf.bags.writer import BagWriter
from vvf.task import TaskSpec

Message = tuple[str, int, bytes]
"""Topic, time of recording in ns, serialized message."""

#: What Python needs besides the bytes of a message: small ones come often.
_OVERHEAD = 200


class Ring:
    """Serialized messages of the last seconds, bounded in time and in memory.

    Args:
        seconds: how far back it reaches.
        max_bytes: memory that it may take; where that is too little, it reaches less far.
        latched: topics whose newest message holds until the next one, however old it is.
    """

    def __init__(self, seconds: float, max_bytes: int, latched: Collection[str] = ()) -> None:
        self.bytes = 0
        self.limited = False
        """Whether memory, and not time, decides how far back it reaches."""
        self._span_ns = round(seconds * 1e9)
        self._limit = max_bytes
        self._latched = frozenset(latched)
        self._held: dict[str, Message] = {}
        self._messages: deque[Message] = deque()

    @property
    def seconds(self) -> float:
        """How far back it reaches now."""
        if not self._messages:
            return 0.0
        return (self._messages[-1][1] - self._messages[0][1]) * 1e-9

    def add(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Keep one message, and forget what is too old."""
        self._messages.append((topic, stamp_ns, cdr))
        self.bytes += len(cdr) + _OVERHEAD
        while self._messages[0][1] < stamp_ns - self._span_ns:
            self._forget()
            self.limited = False
        while self.bytes > self._limit:
            self._forget()
            self.limited = True

    def snapshot(self) -> list[Message]:
        """The messages, oldest first; what is latched comes at the start."""
        start = self._messages[0][1] if self._messages else 0
        held = [(t, max(stamp, start), cdr) for t, stamp, cdr in self._held.values()]
        return [*held, *self._messages]

    def _forget(self) -> None:
        message = self._messages.popleft()
        self.bytes -= len(message[2]) + _OVERHEAD
        if message[0] in self._latched:
            self._held[message[0]] = message


def save_messages(
    path: Path, task: TaskSpec, custom_data: Mapping[str, str], messages: Iterable[Message]
) -> RecordingAudit:
    """Write messages that are in memory as a bag of their own, unlabelled.

    Args:
        path: folder of the bag; it must not exist.
        task: what was recorded.
        custom_data: provenance of the bag.
        messages: as `Ring.snapshot` gives them.

    Raises:
        UserError: the folder exists, or the bag cannot be written.
    """
    writer = BagWriter(path, recorded_specs(task), custom_data)
    for message in messages:
        writer.write(*message)
    audit = audit_recording(task, writer.audit)
    writer.close({'dropped': '0', AUDIT: audit.to_json()})
    return audit
