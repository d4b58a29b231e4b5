# SPDX-License-Identifier: Apache-2.0
"""Designed mistakes at a carton: which stroke goes wrong, and how; drawn once per demonstration."""

from collections.abc import Sequence

import numpy as np

from vvf_sim.experts.box_assembly_strokes import OVER, SHORT, Point, release, shove
from vvf_sim.rotations import Array


class BadStroke:
    """The stroke that goes wrong.

    Args:
        mistake: its name; `missed_flap`, `early_release` and `push` have one.
        rng: of the demonstration.

    Attributes:
        flap: at which flap.
    """

    def __init__(self, mistake: str, rng: np.random.Generator) -> None:
        # What is pushed away from the arm gets out of its reach.
        self.flap = int(rng.choice([1, 2, 3] if mistake == 'push' else [0, 1, 2, 2, 3, 3]))
        self._too_high = bool(rng.random() < 0.5)
        self._held_at = float(rng.uniform(0.24, 0.29))
        self._shove = float(rng.uniform(0.1, 0.115))

    def path(self, mistake: str, flap_length: float) -> Sequence[Point]:
        """The way of the fingers; `flap_length` in m.

        Raises:
            KeyError: that mistake is none of a single stroke.
        """
        return {
            'push': shove(self._shove),
            'missed_flap': OVER if self._too_high else SHORT,
            'early_release': release(flap_length, self._held_at),
        }[mistake]


class Wander:
    """Points above the carton, for who looks about and never folds.

    Args:
        start: (3,) in m, where the tip is.
        rng: of the demonstration.
    """

    def __init__(self, start: Array, rng: np.random.Generator) -> None:
        self._rng = rng
        self._point = start
        self._left = 0
        self.give_up_after = int(rng.integers(14, 28))  # steps

    def next(self, middle: Array, edge: float) -> Array:
        """Where to go in this step, (3,) in m: `edge` above `middle` of the carton, or higher."""
        if self._left <= 0:
            self._point = middle + self._rng.uniform(
                [-0.06, -0.06, edge], [0.06, 0.06, edge + 0.06]
            )
            self._left = int(self._rng.integers(3, 8))
        self._left -= 1
        return self._point
