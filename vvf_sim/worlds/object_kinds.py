# SPDX-License-Identifier: Apache-2.0
"""What objects and containers are made of: primitive shapes, sizes and colours."""

from dataclasses import dataclass
from typing import Literal

Vector = tuple[float, float, float]
Shape = Literal['box', 'capsule', 'cylinder', 'sphere', 'ellipsoid']
Axis = Literal['x', 'z', 'square']

GREEN: Vector = (0.2, 0.55, 0.2)

# Colours of toys, which have none of their own.
PALETTE: dict[str, Vector] = {
    'red': (0.8, 0.12, 0.1),
    'green': (0.15, 0.6, 0.2),
    'blue': (0.15, 0.3, 0.8),
    'yellow': (0.9, 0.8, 0.1),
    'purple': (0.5, 0.2, 0.6),
    'orange': (0.95, 0.5, 0.1),
    'white': (0.9, 0.9, 0.88),
    'teal': (0.1, 0.6, 0.6),
}


@dataclass(frozen=True)
class Part:
    """One primitive of an object, in the object's frame.

    Attributes:
        shape: MuJoCo's geom type.
        size: its half sizes in m; a capsule or cylinder is (radius, half length, 0).
        position: of its centre in m.
        along_x: whether a capsule or cylinder lies along x instead of z.
        yaw: turn about z in rad.
        colour: its own colour, or None for the object's.
        solid: whether it collides and has mass.
    """

    shape: Shape
    size: Vector
    position: Vector = (0.0, 0.0, 0.0)
    along_x: bool = False
    yaw: float = 0.0
    colour: Vector | None = None
    solid: bool = True


@dataclass(frozen=True)
class ObjectKind:
    """An object that can be picked up.

    Attributes:
        parts: its primitives.
        rest_height: of its origin above the table in m, when it stands as made.
        axis: how to grasp it: across its x axis, across its z axis once it has fallen (any
            direction while upright), or square to its sides.
        colour: its natural colour; None lets the layout draw one of `PALETTE`.
        rolls: whether it needs rolling friction to come to rest.
    """

    parts: tuple[Part, ...]
    rest_height: float
    axis: Axis
    colour: Vector | None = None
    rolls: bool = False


@dataclass(frozen=True)
class ContainerKind:
    """A container that stands fixed on the table.

    Attributes:
        floor_radius: from its middle to the foot of the wall in m.
        rim_radius: to the rim in m.
        height: of the rim above the table in m.
        sides: of the polygon that the wall is; 4 is a square box.
        colour: RGB.
        handles: whether it has two.
    """

    floor_radius: float
    rim_radius: float
    height: float
    sides: int
    colour: Vector
    handles: bool = False
