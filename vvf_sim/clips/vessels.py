# SPDX-License-Identifier: Apache-2.0
"""Vessels, to put things into or pour them out of, and a draw of all that can be picked up."""

import math
from collections.abc import Callable

import numpy as np

from vvf_sim.clips.things import (
    ALONG_Y,
    BLACK,
    Piece,
    Thing,
    draw_ball,
    draw_block,
    draw_bottle,
    draw_box,
    draw_can,
    draw_catalogue,
    draw_colour,
    draw_flat,
    draw_sponge,
    draw_stick,
)
from vvf_sim.mj import mujoco
from vvf_sim.worlds.object_kinds import Vector
from vvf_sim.worlds.spec import quaternion_z


def draw_vessel(rng: np.random.Generator) -> Thing:
    """A cup, mug or glass: grasped in the palm, and something can be poured out of it."""
    colour, rgb = draw_colour(rng)
    noun = str(rng.choice(['cup', 'mug', 'glass']))
    radius, height = float(rng.uniform(0.027, 0.037)), float(rng.uniform(0.07, 0.105))
    narrow = radius * (0.8 if noun == 'cup' else 1.0)
    pieces = _shell(narrow, radius, height, 12, rgb)
    if noun == 'mug':
        pieces += (
            Piece('capsule', (0.004, 0.018, 0), (0, radius + 0.018, 0.5 * height), rgb),
            *(
                Piece('capsule', (0.004, 0.01, 0), (0, radius + 0.008, z * height), rgb, ALONG_Y)
                for z in (0.28, 0.72)
            ),
        )
    noun = f'{colour} {noun}'
    return Thing(
        noun, pieces, 2 * radius, height, radius + 0.01, 'palm', 0.55 * height, radius, 0.008
    )


def draw_bowl(rng: np.random.Generator) -> Thing:
    """Something that other things are put into or onto."""
    colour, rgb = draw_colour(rng)
    noun, foot, rim, height, sides = (
        ('bowl', 0.045, 0.078, 0.045, 16),
        ('plate', 0.06, 0.09, 0.012, 16),
        ('pot', 0.07, 0.07, 0.065, 16),
        ('basket', 0.055, 0.075, 0.055, 8),
        ('tray', 0.078, 0.082, 0.018, 4),
        ('carton', 0.07, 0.07, 0.06, 4),
    )[int(rng.integers(6))]
    scale = float(rng.uniform(0.85, 1.15))
    foot, rim, height = foot * scale, rim * scale, height * float(rng.uniform(0.8, 1.2))
    pieces = _shell(foot, rim, height, sides, rgb)
    for side in (-1.0, 1.0) if noun == 'pot' else ():
        spot: Vector = (0, side * (rim + 0.015), 0.8 * height)
        pieces += (Piece('box', (0.02, 0.015, 0.004), spot, BLACK),)
    return Thing(f'{colour} {noun}', pieces, 0.02, height, rim, 'none', height, 0.7 * foot, 0.008)


def _shell(foot: float, rim: float, height: float, sides: int, colour: Vector) -> tuple[Piece, ...]:
    """Floor and sloping wall of a vessel that is open at the top."""
    if sides == 4:
        floor = Piece('box', (foot, foot, 0.003), (0, 0, 0.003), colour)
    else:
        floor = Piece('cylinder', (foot, 0.003, 0), (0, 0, 0.003), colour)
    slope = math.atan2(rim - foot, height)
    long, wide = math.hypot(rim - foot, height) / 2, rim * math.tan(math.pi / sides) * 1.02
    middle, walls = (rim + foot) / 2, []
    tilt = np.array([math.cos(slope / 2), 0.0, math.sin(slope / 2), 0.0])
    # Neighbouring walls differ a little, or a round vessel has no relief without shadows.
    for side in range(sides):
        angle = 2 * math.pi * side / sides
        turn = np.zeros(4)
        mujoco.mju_mulQuat(turn, np.array(quaternion_z(angle)), tilt)
        w, i, j, k = (float(v) for v in turn)
        spot: Vector = (middle * math.cos(angle), middle * math.sin(angle), height / 2)
        walls.append(Piece('box', (0.0028, wide, long), spot, colour, (w, i, j, k)))
    return (floor, *walls)


_KINDS: tuple[Callable[[np.random.Generator], Thing], ...] = (
    draw_box,
    draw_can,
    draw_bottle,
    draw_ball,
    draw_flat,
    draw_stick,
    draw_catalogue,
    draw_vessel,
    draw_sponge,
    draw_block,
)
# Twice as many of what there are most kinds of.
_SHARES = np.array([2, 2, 1, 2, 2, 1, 4, 1, 1, 1], np.float64)


def draw_thing(rng: np.random.Generator) -> Thing:
    """Anything that can be picked up."""
    return _KINDS[int(rng.choice(len(_KINDS), p=_SHARES / _SHARES.sum()))](rng)
