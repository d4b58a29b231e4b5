# SPDX-License-Identifier: Apache-2.0
"""Puts the messages of several topics together into observations, by their stamps.

The live nodes and the relabeller use the same class, so that a recorded episode gives the same
observations as the one that was lived. The rule:

* Every frame of the reference camera (the task's first) makes one observation, or is counted as
  dropped with a reason.
* Of every other topic the newest message at or before the frame's stamp is taken, and it may be at
  most the task's tolerance older than the frame.
* A frame waits for the other cameras until each has shown a frame at least as new, or until any
  topic's stamps are ``wait_s`` ahead, whichever comes first; for state topics, which are fast, it
  does not wait.

Stamps decide, and not the clock: the order of arrival only matters for a state message that comes
in later than a frame stamped after it. Payloads are not looked at, so they can be decoded later, or
in another thread.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vvf.task import TaskSpec

_KEEP_FRAMES = 16
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

    Attributes:
        accepted: Frames that became observations.
        dropped: Frames that did not, by reason: ``out_of_order``, ``missing:<name>`` (nothing at
            or before the frame) or ``stale:<name>`` (too old), with the camera's name or topic.
    """

    def __init__(
        self, task: TaskSpec, cameras: Sequence[str] | None = None, *, state: bool = True
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
        self.reset()

    @property
    def frames(self) -> int:
        """Reference frames seen and decided about so far."""
        return self.accepted + sum(self.dropped.values())

    def reset(self) -> None:
        """Forget all messages, but not the counts: for the start of another recording."""
        self._history: dict[str, deque[tuple[int, Any]]] = {
            topic: deque(maxlen=_KEEP_STATES if topic in self._states else _KEEP_FRAMES)
            for topic in self.topics
            if topic != self._reference_topic
        }
        self._pending: deque[tuple[int, Any]] = deque()
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
            self._history[topic].append((stamp_ns, payload))
        else:
            return []
        self._newest = max(self._newest, stamp_ns)
        return self._release(force=False)

    def flush(self) -> list[Observation]:
        """Decide about the frames that still wait: for the end of a recording."""
        return self._release(force=True)

    def _release(self, *, force: bool) -> list[Observation]:
        out = []
        while self._pending:
            stamp, payload = self._pending[0]
            overdue = self._newest > stamp + self._wait
            if not (force or overdue or self._others_caught_up(stamp)):
                break
            self._pending.popleft()
            observation = self._assemble(stamp, payload)
            if observation is not None:
                out.append(observation)
        return out

    def _others_caught_up(self, stamp: int) -> bool:
        for topic in self._cameras:
            if topic != self._reference_topic:
                history = self._history[topic]
                if not history or history[-1][0] < stamp:
                    return False
        return True

    def _assemble(self, stamp: int, payload: Any) -> Observation | None:
        images, messages = {self.reference: payload}, {}
        for topic, history in self._history.items():
            camera = self._cameras.get(topic)
            found = next((m for m in reversed(history) if m[0] <= stamp), None)
            name = camera or topic
            if found is None:
                self.dropped[f'missing:{name}'] += 1
                return None
            tolerance = self._image_tolerance if camera else self._state_tolerance
            if stamp - found[0] > tolerance:
                self.dropped[f'stale:{name}'] += 1
                return None
            if camera:
                images[camera] = found[1]
            else:
                messages[topic] = found[1]
        self.accepted += 1
        return Observation(stamp, images, messages)
