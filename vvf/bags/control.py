# SPDX-License-Identifier: Apache-2.0
"""When a human was in control of a recorded robot: the one rule, for all who ask.

A human is in control from an event of intervention to the one that ends it, and as long as a
human's action is in effect: from the stamp of the frame that it answers until it is used up or
another one follows. Some recorders write the events, others only say whose the actions are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

#: Begin and end in ns, the end excluded.
NsSpan = tuple[int, int]

_FOREVER = np.iinfo(np.int64).max


class Control:
    """Collects who was in control, from messages in any order."""

    def __init__(self) -> None:
        self._switches: list[tuple[int, bool]] = []
        self._actions: list[tuple[int, int, bool]] = []

    def add_event(self, stamp_ns: int, message: Any) -> None:
        """Note an EpisodeEvent; what says nothing of control is passed over."""
        if message.event in (message.INTERVENTION_START, message.INTERVENTION_END):
            self._switches.append((stamp_ns, bool(message.event == message.INTERVENTION_START)))

    def add_action(self, stamp_ns: int, message: Any) -> None:
        """Note an Action."""
        # A step counts for the frames that are nearer to it than to the next one.
        lasts = (float(message.horizon) - 0.5) * float(message.dt) * 1e9
        if not (math.isfinite(lasts) and lasts >= 0):
            lasts = 0.0
        by_hand = bool(message.source == message.SOURCE_HUMAN)
        self._actions.append((stamp_ns, stamp_ns + round(lasts) + 1, by_hand))

    def spans(self, end_ns: int = _FOREVER) -> list[NsSpan]:
        """When a human was in control, in order of the beginnings; spans may overlap.

        Args:
            end_ns: End of the recording, where an intervention that goes on ends, too.
        """
        found = self.interventions(end_ns)
        actions = sorted(self._actions, key=lambda action: action[0])
        for number, (start, end, by_hand) in enumerate(actions):
            if by_hand:
                after = actions[number + 1][0] if number + 1 < len(actions) else _FOREVER
                found.append((start, min(end, after, end_ns)))
        return sorted(span for span in found if span[0] < span[1])

    def interventions(self, end_ns: int = _FOREVER) -> list[NsSpan]:
        """From each takeover to the giving back, by the events alone; see `spans`."""
        found, begin = [], None
        for stamp, taken in sorted(self._switches):
            if taken and begin is None:
                begin = stamp
            elif not taken and begin is not None:
                found.append((begin, stamp))
                begin = None
        if begin is not None:
            found.append((begin, end_ns))
        return found

    def human_at(self, stamps: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether a human was in control, (T,), at some stamps in ns."""
        times = np.asarray(stamps, np.int64)
        human = np.zeros(len(times), bool)
        for begin, end in self.spans():
            human |= (times >= begin) & (times < end)
        return human
