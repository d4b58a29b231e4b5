# SPDX-License-Identifier: Apache-2.0
"""Everyday things of drawn sizes and colours, and those of the pick-and-place world."""

import colorsys
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.worlds.object_kinds import Shape, Vector
from vvf_sim.worlds.objects import OBJECTS
from vvf_sim.worlds.spec import GHOST, quaternion_z

Grasp = Literal['tips', 'palm', 'none']
Quaternion = tuple[float, float, float, float]

NO_TURN: Quaternion = (1.0, 0.0, 0.0, 0.0)
ALONG_X: Quaternion = (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0)
ALONG_Y: Quaternion = (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0)

# Hue and saturation by name; brightness is drawn.
_HUES: dict[str, tuple[float, float]] = {
    'red': (0.0, 0.8),
    'orange': (0.075, 0.85),
    'yellow': (0.145, 0.8),
    'green': (0.34, 0.65),
    'teal': (0.5, 0.65),
    'blue': (0.61, 0.75),
    'purple': (0.77, 0.55),
    'pink': (0.92, 0.5),
}
_WHITE: Vector = (0.92, 0.92, 0.9)
BLACK: Vector = (0.12, 0.12, 0.13)
_STEEL: Vector = (0.68, 0.7, 0.73)
_WOOD: Vector = (0.62, 0.44, 0.27)


@dataclass(frozen=True)
class Piece:
    """One primitive; sizes as MuJoCo's, z = 0 is where the thing stands."""

    shape: Shape
    size: Vector
    position: Vector
    colour: Vector
    turn: Quaternion = NO_TURN


@dataclass(frozen=True)
class Thing:
    """Something on the table.

    Attributes:
        noun: what it is called, with its colour.
        pieces: what it is made of.
        width: where it is grasped, m.
        height: m.
        radius: of the place it needs on the table, m.
        grasp: by the finger tips from above, in the palm from the side, or not at all.
        grip: height at which it is grasped, m.
        cavity: radius of what it can hold, 0 if nothing.
        floor: height of the cavity's floor, m.
    """

    noun: str
    pieces: tuple[Piece, ...]
    width: float
    height: float
    radius: float
    grasp: Grasp
    grip: float
    cavity: float = 0.0
    floor: float = 0.0

    def add_to(self, body: 'mujoco.MjsBody') -> None:
        """Add the pieces to a body."""
        for piece in self.pieces:
            body.add_geom(
                type=getattr(mujoco.mjtGeom, f'mjGEOM_{piece.shape.upper()}'),
                size=piece.size,
                pos=piece.position,
                quat=piece.turn,
                rgba=[*piece.colour, 1.0],
                **GHOST,
            )


def draw_colour(rng: np.random.Generator) -> tuple[str, Vector]:
    """A colour and its name."""
    pick = rng.random()
    if pick < 0.1:
        return 'white', _shaded(_WHITE, rng)
    if pick < 0.18:
        return 'black', _shaded(BLACK, rng)
    name = str(rng.choice(list(_HUES)))
    hue, saturation = _HUES[name]
    hue += float(rng.uniform(-0.018, 0.018))
    return name, colorsys.hsv_to_rgb(
        hue % 1.0, saturation * float(rng.uniform(0.75, 1.1)), float(rng.uniform(0.55, 0.95))
    )


def _shaded(colour: Vector, rng: np.random.Generator) -> Vector:
    r, g, b = (float(v) for v in np.clip(np.array(colour) * rng.uniform(0.8, 1.08), 0.0, 1.0))
    return (r, g, b)


def draw_box(rng: np.random.Generator) -> Thing:
    """A box or a block."""
    colour, rgb = draw_colour(rng)
    x, y, z = (float(v) for v in rng.uniform([0.02, 0.015, 0.012], [0.045, 0.032, 0.05]))
    noun = 'block' if z < 0.025 else 'box'
    stripe = Piece('box', (x * 1.003, y * 1.003, z * 0.2), (0, 0, z), draw_colour(rng)[1])
    pieces = (Piece('box', (x, y, z), (0, 0, z), rgb), *((stripe,) if rng.random() < 0.5 else ()))
    return Thing(f'{colour} {noun}', pieces, 2 * y, 2 * z, max(x, y), 'tips', 1.5 * z)


def draw_block(rng: np.random.Generator) -> Thing:
    """A block that others can be stacked on."""
    colour, rgb = draw_colour(rng)
    x, z = float(rng.uniform(0.019, 0.028)), float(rng.uniform(0.015, 0.026))
    piece = Piece('box', (x, x, z), (0, 0, z), rgb)
    return Thing(f'{colour} block', (piece,), 2 * x, 2 * z, x, 'tips', 1.3 * z)


def draw_can(rng: np.random.Generator) -> Thing:
    """A can or a jar."""
    colour, rgb = draw_colour(rng)
    radius, half = float(rng.uniform(0.022, 0.036)), float(rng.uniform(0.035, 0.065))
    noun = 'can' if rng.random() < 0.6 else 'jar'
    top = _STEEL if noun == 'can' else draw_colour(rng)[1]
    pieces = (
        Piece('cylinder', (radius, half, 0), (0, 0, half), rgb),
        Piece('cylinder', (radius * 1.01, 0.18 * half, 0), (0, 0, 1.85 * half), top),
    )
    noun = f'{colour} {noun}'
    return Thing(noun, pieces, 2 * radius, 2 * half, radius, 'palm', 1.1 * half)


def draw_bottle(rng: np.random.Generator) -> Thing:
    """A bottle with a label."""
    colour, rgb = draw_colour(rng)
    radius, half = float(rng.uniform(0.022, 0.033)), float(rng.uniform(0.05, 0.08))
    cap = draw_colour(rng)[1]
    pieces = (
        Piece('cylinder', (radius, half, 0), (0, 0, half), rgb),
        Piece('ellipsoid', (radius, radius, 0.02), (0, 0, 2 * half), rgb),
        Piece('cylinder', (0.4 * radius, 0.02, 0), (0, 0, 2 * half + 0.025), rgb),
        Piece('cylinder', (0.5 * radius, 0.008, 0), (0, 0, 2 * half + 0.045), cap),
        Piece('cylinder', (1.01 * radius, 0.4 * half, 0), (0, 0, 0.9 * half), draw_colour(rng)[1]),
    )
    return Thing(
        f'{colour} bottle', pieces, 2 * radius, 2 * half + 0.05, radius, 'palm', 1.1 * half
    )


def draw_ball(rng: np.random.Generator) -> Thing:
    """A ball or a fruit."""
    radius = float(rng.uniform(0.02, 0.037))
    fruits: tuple[tuple[str, Vector], ...] = (
        ('orange', (0.95, 0.55, 0.12)),
        ('apple', (0.75, 0.12, 0.1)),
        ('green apple', (0.55, 0.75, 0.2)),
        ('peach', (0.95, 0.65, 0.45)),
        ('lemon', (0.95, 0.88, 0.25)),
    )
    if rng.random() < 0.4:
        colour, rgb = draw_colour(rng)
        noun = f'{colour} ball'
    else:
        noun, rgb = fruits[int(rng.integers(len(fruits)))]
    long = 1.25 * radius if noun == 'lemon' else radius
    pieces: tuple[Piece, ...] = (
        Piece('ellipsoid', (long, radius, radius), (0, 0, radius), _shaded(rgb, rng)),
    )
    if 'apple' in noun:
        pieces += (Piece('cylinder', (0.002, 0.008, 0), (0, 0, 2 * radius), _WOOD),)
    return Thing(noun, pieces, 2 * radius, 2 * radius, radius, 'tips', 1.2 * radius)


def draw_flat(rng: np.random.Generator) -> Thing:
    """A phone, a book and the like."""
    noun, x, y, z = (
        ('phone', 0.07, 0.034, 0.005),
        ('remote', 0.085, 0.022, 0.009),
        ('book', 0.075, 0.05, 0.012),
        ('notebook', 0.065, 0.045, 0.007),
        ('soap', 0.038, 0.025, 0.014),
    )[int(rng.integers(5))]
    colour, rgb = draw_colour(rng)
    scale = float(rng.uniform(0.85, 1.1))
    x, y = x * scale, y * scale
    top = BLACK if noun == 'phone' else draw_colour(rng)[1]
    pieces = (
        Piece('box', (x, y, z), (0, 0, z), rgb),
        Piece('box', (0.85 * x, 0.8 * y, 0.001), (0, 0, 2 * z), top),
    )
    return Thing(f'{colour} {noun}', pieces, min(2 * y, 0.085), 2 * z, x, 'tips', z + 0.008)


def draw_sponge(rng: np.random.Generator) -> Thing:
    """Something to wipe with."""
    colour, rgb = draw_colour(rng)
    x, y = float(rng.uniform(0.035, 0.05)), float(rng.uniform(0.024, 0.036))
    if rng.random() < 0.5:
        pieces = (
            Piece('box', (x, y, 0.010), (0, 0, 0.010), rgb),
            Piece('box', (x, y, 0.004), (0, 0, 0.024), draw_colour(rng)[1]),
        )
        return Thing(f'{colour} sponge', pieces, 2 * y, 0.028, x, 'tips', 0.024)
    cloth = tuple(
        Piece('ellipsoid', (x, 0.6 * y, 0.011), (0, dy, 0.010), _shaded(rgb, rng))
        for dy in (-0.5 * y, 0.0, 0.5 * y)
    )
    return Thing(f'{colour} cloth', cloth, 1.6 * y, 0.022, x, 'tips', 0.024)


def draw_spoon(rng: np.random.Generator) -> Thing:
    """Something to stir with; its head is at -x."""
    noun, rgb = (('spoon', _STEEL), ('wooden spoon', _WOOD), ('whisk', _STEEL))[
        int(rng.integers(3))
    ]
    half = float(rng.uniform(0.05, 0.075))
    head: Vector = (0.02, 0.013, 0.005) if noun != 'whisk' else (0.03, 0.016, 0.014)
    pieces = (
        Piece('capsule', (0.0055, half, 0), (0, 0, 0.008), rgb, ALONG_X),
        Piece('ellipsoid', head, (-half - 0.8 * head[0], 0, 0.01), _shaded(rgb, rng)),
    )
    return Thing(noun, pieces, 0.015, 0.016, half, 'tips', 0.022)


def draw_stick(rng: np.random.Generator) -> Thing:
    """A pen, a brush and the like."""
    colour, rgb = draw_colour(rng)
    noun = str(rng.choice(['pen', 'toothbrush', 'candle', 'screwdriver']))
    radius, half = float(rng.uniform(0.005, 0.009)), float(rng.uniform(0.04, 0.065))
    tip = _STEEL if noun == 'screwdriver' else _WHITE
    pieces = (
        Piece('capsule', (radius, half, 0), (0, 0, radius), rgb, ALONG_X),
        Piece('capsule', (0.6 * radius, 0.02, 0), (-half - 0.02, 0, radius), tip, ALONG_X),
    )
    return Thing(f'{colour} {noun}', pieces, 2 * radius, 2 * radius, half, 'tips', 0.018)


def draw_catalogue(rng: np.random.Generator) -> Thing:
    """A thing of the pick-and-place world, at the size of a real one."""
    noun = str(rng.choice(list(OBJECTS)))
    kind, scale = OBJECTS[noun], float(rng.uniform(1.2, 1.6))
    colour, rgb = ('', kind.colour) if kind.colour else draw_colour(rng)
    rest = kind.rest_height
    pieces = []
    for part in kind.parts:
        turn = np.array(quaternion_z(part.yaw))
        if part.along_x:
            turned = np.zeros(4)
            mujoco.mju_mulQuat(turned, turn, np.array(ALONG_X))
            turn = turned
        x, y, z = (scale * v for v in part.position)
        w, i, j, k = (float(v) for v in turn)
        a, b, c = (scale * v for v in part.size)
        shown = part.colour or rgb
        spot: Vector = (x, y, z + scale * rest)
        pieces.append(Piece(part.shape, (a, b, c), spot, _shaded(shown, rng), (w, i, j, k)))
    width = 0.036 * scale
    return Thing(
        f'{colour} {noun}'.strip(), tuple(pieces), width, 2 * scale * rest, 0.045 * scale,
        'tips', max(0.02, 1.4 * scale * rest),
    )  # fmt: skip
