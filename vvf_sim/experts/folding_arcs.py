# SPDX-License-Identifier: Apache-2.0
"""Ways on which two arms turn cloth over, in step."""

import math

import numpy as np

from vvf_sim.experts.script import STEP
from vvf_sim.rotations import Array

# Height of an arc for each metre between its ends; half a circle would be a half.
_RISE = 0.45
# Part of a full step along the straight line, as the arc is longer than that.
_PACE = 0.75


class Arcs:
    """Half ellipses that stand on end, one for each arm.

    Args:
        starts: where the tips are, (3,) each, m.
        ends: where they are to be.

    Attributes:
        progress: how much of the way is commanded, in [0, 1].
    """

    def __init__(self, starts: list[Array], ends: list[Array]) -> None:
        self._starts, self._ends = starts, ends
        self._spans = [
            float(np.linalg.norm((end - start)[:2]))
            for start, end in zip(starts, ends, strict=True)
        ]
        self.progress = 0.0

    def advance(self, tips: list[Array]) -> list[Array]:
        """The next goals, (3,) each; both arms arrive together, and wait for each other.

        Args:
            tips: where the tips are commanded to be, (3,) each.
        """
        goals = self.goals()
        pairs = zip(tips, goals, strict=True)
        if max(float(np.linalg.norm(tip - goal)) for tip, goal in pairs) < STEP:
            ahead = _PACE * STEP / max(*self._spans, 1e-3)
            self.progress = min(1.0, self.progress + ahead)
        return self.goals()

    def goals(self) -> list[Array]:
        """Where the tips should be by now, (3,) each."""
        goals = []
        for start, end, span in zip(self._starts, self._ends, self._spans, strict=True):
            place = start + self.progress * (end - start)
            place[2] += _RISE * span * math.sin(math.pi * self.progress)
            goals.append(place)
        return goals
