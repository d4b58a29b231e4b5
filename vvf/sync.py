# SPDX-License-Identifier: Apache-2.0
"""Puts the messages of several topics together into observations, by their stamps.

The live nodes and the relabeller use the same class, so that a recorded episode gives the same
observations as the one that was lived. The rule:

* Every frame of the reference camera (the task's first) makes one observation, or is counted as
  dropped with a reason.
* Of every other topic the newest message at or before the frame's stamp is taken, and it may be at
  most the task's tolerance older than the frame.
* In a recording, a frame waits until every other topic has shown a message at least as new, or
  until any topic's stamps are ``wait_s``, and no less than .3 s, ahead, whichever comes first.
  Stamps decide alone; in which order messages were recorded does not matter.
* Live, that would cost up to a camera's period, only to learn that no frame was missed. There, a
  frame waits for a camera only while that camera's next frame is due by the frame's stamp, which
  its last stamps tell; and for a state only while none is fresh enough. Whoever owns the clock ends
  the waiting with ``settle``.

So a value that was given live differs from the relabelled one only where a frame or a state came
later than the short time for which it was waited. Payloads are not looked at, so they can be
decoded later, or in another thread.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vvf.task import TaskSpec

_KEEP_FRAMES = 16
_KEEP_RECORDED = 64
_RECORDED_WAIT_NS = 300_000_000  # nothing is lost by waiting, but a topic may have ended
_LEAST_FRAMES = 4  # before a camera's period is known
_EARLY = 0.2  # part of its period by which a camera's frame may come before it is due
_KEEP_STATES = 1024
_RESTART_NS = 1_000_000_000


@dataclass(frozen=True)
class Observation:
    """What was seen at one frame of the reference camera; payloads are as they were pushed.

    Attributes:
        stamp_ns: Stamp of the reference frame.
        images: Payload by camera name.
        messages: Payload by state topic.
    """

    stamp_ns: int
    images: dict[str, Any]
    messages: dict[str, Any]


class Synchroniser:
    """Collects messages and gives observations.

    Args:
        task: Topics and tolerances.
        cameras: Names of the cameras that are needed; all where it is None. The reference is the
            first of them in the task's order.
        state: Whether the state topics are needed.
        live: Wait for no more than what is due, as the module's docstring says.

    Attributes:
        accepted: Frames that became observations.
        dropped: Frames that did not, by reason: ``out_of_order``, ``missing:<name>`` (nothing at
            or before the frame) or ``stale:<name>`` (too old), with the camera's name or topic;
            or why the messages of that camera or topic are refused, see `refuse`.
    """

    def __init__(
        self,
        task: TaskSpec,
        cameras: Sequence[str] | None = None,
        *,
        state: bool = True,
        live: bool = False,
    ) -> None:
        wanted = [c.name for c in task.cameras] if cameras is None else list(cameras)
        for name in wanted:
            task.camera(name)
        used = [c for c in task.cameras if c.name in wanted]
        self.reference = used[0].name
        self.accepted = 0
        self.dropped: Counter[str] = Counter()
        self._cameras = {c.topic: c.name for c in used}
        self._reference_topic = used[0].topic
        self._states = tuple(s.topic for s in task.state) if state else ()
        self.topics = (*self._cameras, *self._states)
        self._image_tolerance = int(task.sync.image_tolerance_s * 1e9)
        self._state_tolerance = int(task.sync.state_tolerance_s * 1e9)
        self._wait = int(task.sync.wait_s * 1e9)
        if not live:
            self._wait = max(self._wait, _RECORDED_WAIT_NS)
        self._live = live
        self.reset()

    @property
    def frames(self) -> int:
        """Reference frames seen and decided about so far."""
        return self.accepted + sum(self.dropped.values())

    def reset(self) -> None:
        """Forget all messages, but not the counts: for the start of another recording."""
        keep = _KEEP_FRAMES if self._live else _KEEP_RECORDED
        self._history: dict[str, deque[tuple[int, Any]]] = {
            topic: deque(maxlen=_KEEP_STATES if topic in self._states else keep)
            for topic in self.topics
            if topic != self._reference_topic
        }
        self._pending: deque[tuple[int, Any]] = deque()
        self._refused: dict[str, str] = {}
        self._newest = 0
        self._last = 0

    def push(self, topic: str, stamp_ns: int, payload: Any) -> list[Observation]:
        """Add a message and return the observations that it completes, oldest first.

        Args:
            topic: Topics that are not needed are ignored.
            stamp_ns: The header's stamp, nanoseconds.
            payload: Anything; kept and handed back.
        """
        if topic == self._reference_topic:
            if stamp_ns <= self._last - _RESTART_NS:
                self.reset()  # a simulation or a replay began again
            if stamp_ns <= self._last:
                self.dropped['out_of_order'] += 1
                return []
            self._last = stamp_ns
            self._pending.append((stamp_ns, payload))
        elif topic in self._history:
            _insert(self._history[topic], stamp_ns, payload)
            self._refused.pop(topic, None)
        else:
            return []
        self._newest = max(self._newest, stamp_ns)
        return self._release(force=False)

    def refuse(self, topic: str, reason: str) -> None:
        """Count a message that cannot be used, because its stamp says nothing.

        A frame of the reference camera is dropped for that reason; what lacks a message of another
        topic is, too, until that topic shows one that can be used.
        """
        if topic == self._reference_topic:
            self.dropped[f'{reason}:{self.reference}'] += 1
        elif topic in self._history:
            self._refused[topic] = reason

    @property
    def waiting(self) -> bool:
        """Whether a frame waits for something."""
        return bool(self._pending)

    def settle(self) -> list[Observation]:
        """Wait no longer for what is due: return the observations that can be made without it."""
        out = []
        while self._pending and all(map(self._is_usable, self._history)):
            out += self._decide()
            out += self._release(force=False)
        return out

    def flush(self) -> list[Observation]:
        """Decide about the frames that still wait: for the end of a recording."""
        return self._release(force=True)

    def _release(self, *, force: bool) -> list[Observation]:
        out: list[Observation] = []
        enough = self._nothing_is_due if self._live else self._caught_up
        while self._pending:
            overdue = self._newest > self._pending[0][0] + self._wait
            if not (force or overdue or all(map(enough, self._history))):
                break
            out += self._decide()
        return out

    def _decide(self) -> list[Observation]:
        """Make an observation of the oldest frame that waits, or count it as dropped."""
        observation = self._assemble(*self._pending.popleft())
        return [] if observation is None else [observation]

    def _caught_up(self, topic: str) -> bool:
        """Whether a topic has shown a message as new as the oldest frame that waits."""
        history = self._history[topic]
        return bool(history) and history[-1][0] >= self._pending[0][0]

    def _is_usable(self, topic: str) -> bool:
        """Whether that frame could be used with what the topic has shown so far."""
        stamp = self._pending[0][0]
        found = _at_or_before(self._history[topic], stamp)
        return found is not None and stamp - found[0] <= self._tolerance(topic)

    def _nothing_is_due(self, topic: str) -> bool:
        """Whether there is nothing to wait for from the topic, as far as can be known."""
        if self._caught_up(topic):
            return True
        if topic not in self._cameras:
            return self._is_usable(topic)  # states are fast: one more would change little
        history = self._history[topic]
        if len(history) < _LEAST_FRAMES:
            return False
        period = float(np.median(np.diff([stamp for stamp, _ in history])))
        return history[-1][0] + period * (1.0 - _EARLY) > self._pending[0][0]

    def _tolerance(self, topic: str) -> int:
        return self._image_tolerance if topic in self._cameras else self._state_tolerance

    def _assemble(self, stamp: int, payload: Any) -> Observation | None:
        images, messages = {self.reference: payload}, {}
        for topic, history in self._history.items():
            camera = self._cameras.get(topic)
            found = _at_or_before(history, stamp)
            name = camera or topic
            if found is None or stamp - found[0] > self._tolerance(topic):
                why = self._refused.get(topic, 'missing' if found is None else 'stale')
                self.dropped[f'{why}:{name}'] += 1
                return None
            if camera:
                images[camera] = found[1]
            else:
                messages[topic] = found[1]
        self.accepted += 1
        return Observation(stamp, images, messages)


def _insert(history: deque[tuple[int, Any]], stamp: int, payload: Any) -> None:
    """Keep messages in the order of their stamps, in which nearly all of them come."""
    later = []
    while history and history[-1][0] > stamp:
        later.append(history.pop())
    history.append((stamp, payload))
    # What is ahead by far was stamped by a clock that has been set since.
    history.extend(message for message in reversed(later) if message[0] < stamp + _RESTART_NS)


def _at_or_before(history: deque[tuple[int, Any]], stamp: int) -> tuple[int, Any] | None:
    """The newest message that is no newer than a stamp."""
    return next((message for message in reversed(history) if message[0] <= stamp), None)
