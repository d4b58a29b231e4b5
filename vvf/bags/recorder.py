# SPDX-License-Identifier: Apache-2.0
"""Records serialized messages of one episode without keeping the caller waiting.

Messages go through a bounded queue to a writing thread; what does not fit is counted, never
silently lost.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from vvf.bags.writer import OUTCOMES, BagWriter, TopicAudit, TopicSpec
from vvf.errors import UserError
from vvf.task import TaskSpec


@dataclass(frozen=True)
class RecordingAudit:
    """What became of an episode's messages: per topic, and what did not fit into the queue."""

    topics: Mapping[str, TopicAudit]
    dropped: int
    complaints: tuple[str, ...]


class Recorder:
    """One episode in one bag.

    Args:
        path: folder of the bag; it must not exist.
        task: whose `recorded_topics` are written, and whose camera rates are audited.
        custom_data: provenance of the bag.
        queue_bytes: how many bytes may wait for the disk.

    Raises:
        UserError: the folder exists or cannot be created.
    """

    def __init__(
        self,
        path: Path,
        task: TaskSpec,
        custom_data: Mapping[str, str],
        *,
        queue_bytes: int = 256 << 20,
    ) -> None:
        self.path = path
        self.dropped = 0
        self._task = task
        self._limit = queue_bytes
        self._waiting = 0
        self._lock = threading.Lock()
        self._error: UserError | None = None
        topics = [TopicSpec(t.topic, t.type, t.qos) for t in task.recorded_topics()]
        self._writer = BagWriter(path, topics, custom_data)
        self._queue: queue.SimpleQueue[tuple[str, int, bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._drain, name='recorder', daemon=True)
        self._thread.start()

    @property
    def written(self) -> int:
        """Messages handed to the bag so far."""
        return self._writer.message_count

    @property
    def error(self) -> UserError | None:
        """Why nothing is written any more (a full disk, say); `None` while all is well."""
        return self._error

    def write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Queue one serialized message; counted in `dropped` where the queue is full."""
        with self._lock:
            if self._error is not None or self._waiting + len(cdr) > self._limit:
                self.dropped += 1
                return
            self._waiting += len(cdr)
        self._queue.put((topic, stamp_ns, cdr))

    def close(self, outcome: str, note: str = '') -> RecordingAudit:
        """Write what waits, then index and metadata with the outcome.

        Raises:
            ValueError: the outcome is not one of `OUTCOMES`.
        """
        if outcome not in OUTCOMES:
            raise ValueError(f'outcome must be one of {OUTCOMES}, not {outcome!r}')
        self._queue.put(None)
        self._thread.join()
        complaints = list(self._complaints())
        try:
            self._writer.close({'outcome': outcome, 'note': note, 'dropped': str(self.dropped)})
        except UserError as error:
            self._error = self._error or error
        if self._error is not None:
            complaints.insert(0, str(self._error))
        return RecordingAudit(dict(self._writer.audit), self.dropped, tuple(complaints))

    def _drain(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=0.5)
            except queue.Empty:
                self._attempt(self._writer.flush_if_due)
                continue
            if item is None:
                return
            written = self._attempt(self._writer.write, *item)
            with self._lock:
                self._waiting -= len(item[2])
                self.dropped += not written

    def _attempt(self, write: Callable[..., None], *arguments: object) -> bool:
        """Whether it could be written; after the first failure (a full disk) nothing is tried."""
        if self._error is None:
            try:
                write(*arguments)
            except UserError as error:
                self._error = error
        return self._error is None

    def _complaints(self) -> list[str]:
        """Topics that came not at all, or with holes in them, in words."""
        lines = [
            f'nothing was recorded of {source.topic}'
            for source in self._task.state
            if self._writer.audit[source.topic].count == 0
        ]
        for camera in self._task.cameras:
            audit = self._writer.audit[camera.topic]
            if audit.count == 0:
                lines.append(f'nothing was recorded of {camera.topic}')
            elif camera.rate_hz and audit.longest_gap_s > 5.0 / camera.rate_hz:
                lines.append(
                    f'{camera.topic} paused for {audit.longest_gap_s:.2f} s '
                    f'({audit.rate_hz:.1f} of {camera.rate_hz:g} Hz)'
                )
        return lines


def set_outcome(path: Path, outcome: str) -> None:
    """Give the recorded episode at `path` another outcome; only its metadata.yaml is touched.

    Raises:
        UserError: there is no bag, or no such outcome.
    """
    if outcome not in OUTCOMES:
        raise UserError(f'outcome {outcome!r}: choose one of {", ".join(OUTCOMES)}.')
    file = path / 'metadata.yaml'
    try:
        data = yaml.safe_load(file.read_text('utf-8'))
        data['rosbag2_bagfile_information']['custom_data']['outcome'] = outcome
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f'{path} is no recorded episode: its metadata.yaml is unusable.') from error
    draft = file.with_suffix('.yaml.tmp')
    draft.write_text(yaml.safe_dump(data, sort_keys=False, width=100), 'utf-8')
    draft.replace(file)
