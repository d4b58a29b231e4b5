# SPDX-License-Identifier: Apache-2.0
"""Records serialized messages of one episode without keeping the caller waiting.

Messages go through a bounded queue to a writing thread; what does not fit is counted, never
silently lost.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import yaml

from vvf.bags.audit import AUDIT, RecordingAudit, audit_recording
from vvf.bags.pairing import PairingAudit
from vvf.bags.writer import OUTCOMES, BagWriter, TopicSpec
from vvf.errors import UserError
from vvf.task import TaskSpec

_IDLE_S = 0.2


class EpisodeRecorder(Protocol):
    """What records one episode: `Recorder` here, or `ros2 bag record` (`vvf.bags.rosbag2`)."""

    @property
    def path(self) -> Path:
        """Folder of the bag."""

    @property
    def written(self) -> int:
        """Messages handed to the bag so far."""

    @property
    def dropped(self) -> int:
        """Messages that did not fit into the queue."""

    @property
    def error(self) -> UserError | None:
        """Why nothing is written any more; `None` while all is well."""

    def write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Take one serialized message."""

    def settle(self, lost: Mapping[str, int] | None = None) -> RecordingAudit | None:
        """Wait until everything so far is written; what it is, where that is known already."""

    def close(
        self, outcome: str, note: str = '', lost: Mapping[str, int] | None = None
    ) -> RecordingAudit:
        """Complete the bag."""


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
        self._task = task
        self._limit = queue_bytes
        self._waiting = 0
        self._dropped: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._error: UserError | None = None
        self._pairing = PairingAudit(task)
        self._writer = BagWriter(path, recorded_specs(task), custom_data)
        self._queue: queue.SimpleQueue[tuple[str, int, bytes] | threading.Event | None]
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._drain, name='recorder', daemon=True)
        self._thread.start()

    @property
    def written(self) -> int:
        """Messages handed to the bag so far."""
        return self._writer.message_count

    @property
    def flushed(self) -> int:
        """Messages that would be in the bag if this process were killed now."""
        return self._writer.flushed

    @property
    def dropped(self) -> int:
        """Messages that did not fit into the queue, or came after the disk was full."""
        return self._dropped.total()

    @property
    def error(self) -> UserError | None:
        """Why nothing is written any more (a full disk, say); `None` while all is well."""
        return self._error

    def write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Queue one serialized message; counted in `dropped` where the queue is full."""
        with self._lock:
            if self._error is not None or self._waiting + len(cdr) > self._limit:
                self._dropped[topic] += 1
                return
            self._waiting += len(cdr)
        self._queue.put((topic, stamp_ns, cdr))

    def settle(self, lost: Mapping[str, int] | None = None) -> RecordingAudit:
        """Wait until what is queued is written, and sum up what came so far.

        Args:
            lost: messages by topic that the middleware lost.
        """
        written = threading.Event()
        self._queue.put(written)
        while not written.wait(_IDLE_S) and self._thread.is_alive():
            pass
        return self._audit(lost)

    def close(
        self, outcome: str, note: str = '', lost: Mapping[str, int] | None = None
    ) -> RecordingAudit:
        """Write what waits, then index and metadata with the outcome and the audit.

        Args:
            outcome: one of `OUTCOMES`.
            note: free text, kept with the bag.
            lost: messages by topic that the middleware lost.

        Raises:
            ValueError: the outcome is not one of `OUTCOMES`.
        """
        if outcome not in OUTCOMES:
            raise ValueError(f'outcome must be one of {OUTCOMES}, not {outcome!r}')
        self._queue.put(None)
        self._thread.join()
        self._pairing.finish()
        audit = self._audit(lost)
        notes = {'outcome': outcome, 'note': note, 'dropped': str(self.dropped)}
        try:
            self._writer.close({**notes, AUDIT: audit.to_json()})
        except UserError as error:
            self._error = self._error or error
        if self._error is not None:
            audit = replace(audit, complaints=(str(self._error), *audit.complaints))
        return audit

    def _audit(self, lost: Mapping[str, int] | None) -> RecordingAudit:
        return audit_recording(
            self._task,
            self._writer.audit,
            dropped=dict(self._dropped),
            lost=lost,
            pairing=self._pairing.report(),
        )

    def _drain(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=_IDLE_S)
            except queue.Empty:
                self._attempt(self._writer.flush_if_due)
                continue
            if item is None:
                return
            if isinstance(item, threading.Event):
                item.set()
                continue
            written = self._attempt(self._writer.write, *item)
            if written:
                self._pairing.add(*item)
            with self._lock:
                self._waiting -= len(item[2])
                self._dropped[item[0]] += not written

    def _attempt(self, write: Callable[..., None], *arguments: object) -> bool:
        """Whether it could be written; after the first failure (a full disk) nothing is tried."""
        if self._error is None:
            try:
                write(*arguments)
            except UserError as error:
                self._error = error
        return self._error is None


def recorded_specs(task: TaskSpec) -> list[TopicSpec]:
    """The topics of a task's bag."""
    return [TopicSpec(t.topic, t.type, t.qos) for t in task.recorded_topics()]


def set_outcome(path: Path, outcome: str) -> None:
    """Give the recorded episode at `path` another outcome; only its metadata.yaml is touched.

    Raises:
        UserError: there is no bag, or no such outcome.
    """
    if outcome not in OUTCOMES:
        raise UserError(f'outcome {outcome!r}: choose one of {", ".join(OUTCOMES)}.')
    update_custom_data(path, {'outcome': outcome})


def update_custom_data(path: Path, entries: Mapping[str, str]) -> None:
    """Add or change custom data of the bag at `path`; only its metadata.yaml is touched.

    Raises:
        UserError: it has no metadata.yaml, or one that is damaged.
    """
    file = path / 'metadata.yaml'
    try:
        data = yaml.safe_load(file.read_text('utf-8'))
        information = data['rosbag2_bagfile_information']
        information['custom_data'] = {**(information.get('custom_data') or {}), **entries}
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f'{path} is no recorded episode: its metadata.yaml is unusable.') from error
    draft = file.with_suffix('.yaml.tmp')
    draft.write_text(yaml.safe_dump(data, sort_keys=False, width=100), 'utf-8')
    draft.replace(file)
