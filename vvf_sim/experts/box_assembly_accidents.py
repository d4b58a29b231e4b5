# SPDX-License-Identifier: Apache-2.0
"""Accidents in the middle of a stroke, from which a demonstrator shows the way back.

A cloned policy that has let go of a flap half way stands still over it for good, if every
demonstration went through with its strokes: nothing showed a flap half bent and no finger at it.
"""

import numpy as np

from vvf_sim.rotations import Array

# The hand strays somewhere, goes home as if all were done, or presses too little and goes home.
_KINDS = ('stray', 'home', 'short')
_CHANCES = (0.5, 0.2, 0.3)
# In these a stray hand shows something new; a retreat comes back to where one was.
_PHASES = ('approach', 'sweep', 'press', 'rise')
# Where it strays to, m: outward of the crease, along it, above it.
_FROM, _TO = (-0.07, -0.03, 0.0), (0.08, 0.03, 0.08)
# Where it presses to, and how high above the crease it stops, m.
_PRESSED, _SHORT = -0.03, (0.003, 0.014)


class Accident:
    """At most one for each stroke: for some steps the hand goes elsewhere.

    Args:
        rng: of when, where to, and how long.
        probability: of one, for each stroke.

    Attributes:
        happening: whether the last step went astray.
        homeward: whether it goes home instead of to a place.
    """

    def __init__(self, rng: np.random.Generator, probability: float) -> None:
        self._rng = rng
        self._probability = probability
        self._kind = ''
        self._wait = self._steps = 0
        self._place = np.zeros(3)
        self.happening = self.homeward = False

    def plan(self) -> None:
        """Draw what happens in the stroke that begins."""
        rng = self._rng
        happens = bool(rng.random() < self._probability)
        self._kind = str(rng.choice(_KINDS, p=_CHANCES))
        self._wait = int(rng.integers(1, 11))
        length = int(rng.integers(2, 6) if self._kind == 'stray' else rng.integers(3, 9))
        self._steps = length if happens else 0
        self._place = rng.uniform(_FROM, _TO)
        if self._kind == 'short':
            self._wait, self._place = 0, np.array([_PRESSED, 0.0, rng.uniform(*_SHORT)])

    def place(self, phase: str) -> Array | None:
        """Where the hand goes in this step: outward of the crease, along it and above it, m.

        Args:
            phase: of the stroke.

        Returns:
            (3,), or None if it does as it should.
        """
        self._wait -= 1
        begins = phase == 'press' if self._kind == 'short' else phase in _PHASES
        due = self._steps > 0 and self._wait < 0 and (self.happening or begins)
        self.homeward = self._kind == 'home' or (self._kind == 'short' and self.happening)
        self.happening = due
        if not due:
            return None
        self._steps -= 1
        return self._place
