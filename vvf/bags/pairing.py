# SPDX-License-Identifier: Apache-2.0
"""Which frames of a recording make observations, and what the others lack; found while it runs."""

from __future__ import annotations

from vvf.bags.frames import header_stamp
from vvf.stamp_check import FUTURE, UNSTAMPED, StampCheck
from vvf.sync import Synchroniser
from vvf.task import TaskSpec


class PairingAudit:
    """The synchroniser of the relabeller, over the stamps of what is recorded.

    Args:
        task: Whose cameras and states belong together.
    """

    def __init__(self, task: TaskSpec) -> None:
        self._sync = Synchroniser(task)
        types = {c.topic: c.type for c in task.cameras}
        types |= {s.topic: s.ros_type for s in task.state}
        self._types = {topic: types[topic] for topic in self._sync.topics}
        self._stamps = StampCheck(task.sync.image_tolerance_s)

    def add(self, topic: str, recorded_ns: int, cdr: bytes) -> None:
        """Look at a message that is recorded."""
        kind = self._types.get(topic)
        if kind is None:
            return
        stamp = header_stamp(cdr, kind)
        if self._stamps.add(topic, stamp, recorded_ns) == FUTURE:
            self._sync.refuse(topic, FUTURE)
        else:
            self._sync.push(topic, stamp or recorded_ns, None)

    def report(self) -> dict[str, int]:
        """Counts so far: `frames` that are complete, what the others lack, and `unstamped:TOPIC`.

        A frame that still waits for something is not among them.
        """
        lost = dict(sorted(self._sync.dropped.items()))
        refused = dict(self._stamps.refused)
        unstamped = {why: n for why, n in refused.items() if why.startswith(UNSTAMPED)}
        return {'frames': self._sync.accepted, **lost, **unstamped}

    def finish(self) -> None:
        """Nothing more will come: decide about the frames that still wait."""
        self._sync.flush()
