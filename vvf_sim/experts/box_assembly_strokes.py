# SPDX-License-Identifier: Apache-2.0
"""Strokes at a carton's flaps: way points of closed finger tips that point down.

A way point is the phase it belongs to, then metres outward of the flap's crease and metres above
it. Strokes come down inside the crease and leave outward over it: on one and the same way nothing
that can be seen tells whether the fingers are still coming or already leaving, and who learns from
that stands still there.
"""

import math
from collections.abc import Sequence

from vvf_sim.rotations import Array

Point = tuple[str, float, float]

TRAVEL = 0.06
FOLD: tuple[Point, ...] = (
    ('approach', 0.056, TRAVEL),
    ('approach', 0.056, 0.014),
    ('sweep', 0.02, 0.02),
    ('sweep', -0.014, 0.03),
    ('press', -0.03, 0.018),
    ('press', -0.032, -0.009),
    ('rise', -0.01, 0.022),
    ('rise', 0.0, TRAVEL),
)
# For a flap that is bent inward already.
PRESS: tuple[Point, ...] = (
    ('approach', -0.03, TRAVEL),
    ('press', -0.032, -0.009),
    ('rise', -0.01, 0.022),
    ('rise', 0.0, TRAVEL),
)
# So near to the crease, m, and so far along it fingers are at a flap; so far behind it, rad, they
# touch it still.
AT_FLAP, BESIDE, BEHIND = 0.06, 0.03, 0.1


def rest_of(stroke: Sequence[Point], place: Array, angle: float) -> Sequence[Point]:
    """What is left of a stroke for fingers that are at the flap, on the side that closes it.

    Args:
        stroke: FOLD or PRESS.
        place: (3,) of the finger tips in m: outward of the crease, along it, above it.
        angle: of the flap, rad.

    Returns:
        Way points, none where the fingers have to come from elsewhere.
    """
    off, along, up = place
    around = math.atan2(up, -off)
    if math.hypot(off, up) > AT_FLAP or abs(along) > BESIDE or around < angle - BEHIND:
        return ()
    if stroke is PRESS:
        return FOLD[5:] if off < -0.02 else FOLD[4:]
    return FOLD[3:] if off < 0.02 else FOLD[2:]


# How much the gripper leans, rad, to come under a closed flap; upright it clears the open ones.
LEAN = 0.55


def lift(length: float) -> tuple[Point, ...]:
    """In under the free edge of a closed flap of a length in m, and round its crease."""
    return (
        ('approach', -length - 0.028, TRAVEL),
        ('approach', -length - 0.019, -0.003),
        ('lift', -length + 0.002, -0.003),
        ('lift', -0.03, 0.018),
        ('lift', -0.01, 0.034),
        ('lift', 0.018, 0.034),
        ('lift', 0.03, 0.026),
        ('rise', 0.0, TRAVEL),
    )


# Over the flap and down behind it; and a fold that lets go half way.
OVER: tuple[Point, ...] = (
    ('approach', 0.056, TRAVEL),
    ('sweep', 0.014, TRAVEL),
    ('press', -0.03, 0.016),
    ('rise', -0.03, TRAVEL),
)
SHORT: tuple[Point, ...] = (*FOLD[:4], ('rise', -0.014, TRAVEL))


def release(length: float, angle: float) -> tuple[Point, ...]:
    """A fold of a flap of a length in m that lets go of it at an angle in rad."""
    return (
        *FOLD[:4],
        ('press', -0.016, 0.02),
        ('press', -0.03, 0.9 * length * math.tan(angle)),
        ('rise', -0.034, TRAVEL),
    )


def shove(distance: float) -> tuple[Point, ...]:
    """Too low: against the wall, which is pushed before the fingers for a distance in m."""
    return (
        FOLD[0],
        ('approach', 0.056, -0.03),
        ('sweep', 0.056 - distance, -0.03),
        ('rise', 0.07 - distance, -0.03),
        ('rise', 0.075 - distance, TRAVEL),
    )
