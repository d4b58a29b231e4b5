# SPDX-License-Identifier: Apache-2.0
"""The ten objects and four containers of the pick-and-place world, as primitive shapes.

The V-PTR paper draws its objects from a pool of ten scanned ones (appendix B.3); these are of
the same kind and size, drawn from capsules, boxes, cylinders and spheres. All fit between the
open fingers (56 mm) and are thicker than the closed gap (12 mm).
"""

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


OBJECTS: dict[str, ObjectKind] = {
    'carrot': ObjectKind(
        (
            Part('capsule', (0.013, 0.030, 0.0), along_x=True),
            Part('capsule', (0.006, 0.008, 0.0), (-0.047, 0.0, 0.003), True, 0.0, GREEN, False),
        ),
        0.013,
        'x',
        (0.95, 0.5, 0.1),
        True,
    ),
    'cucumber': ObjectKind(
        (Part('capsule', (0.0145, 0.034, 0.0), along_x=True),),
        0.0145,
        'x',
        (0.2, 0.5, 0.15),
        True,
    ),
    'eggplant': ObjectKind(
        (
            Part('capsule', (0.0135, 0.02, 0.0), (-0.012, 0.0, -0.004), True),
            Part('sphere', (0.0185, 0.0, 0.0), (0.018, 0.0, 0.0)),
            Part('capsule', (0.006, 0.006, 0.0), (-0.048, 0.0, -0.004), True, 0.0, GREEN, False),
        ),
        0.0185,
        'x',
        (0.35, 0.12, 0.4),
        True,
    ),
    'banana': ObjectKind(
        (
            Part('capsule', (0.0125, 0.016, 0.0), along_x=True),
            Part('capsule', (0.0115, 0.012, 0.0), (-0.027, 0.006, 0.0), True, -0.45),
            Part('capsule', (0.0115, 0.012, 0.0), (0.027, 0.006, 0.0), True, 0.45),
        ),
        0.0125,
        'x',
        (0.92, 0.82, 0.2),
        True,
    ),
    'mushroom': ObjectKind(
        (
            Part('cylinder', (0.013, 0.014, 0.0), colour=(0.9, 0.87, 0.8)),
            Part('ellipsoid', (0.021, 0.021, 0.01), (0.0, 0.0, 0.016)),
        ),
        0.014,
        'z',
        (0.62, 0.42, 0.3),
    ),
    'ball': ObjectKind((Part('sphere', (0.019, 0.0, 0.0)),), 0.019, 'z', None, True),
    'cube': ObjectKind((Part('box', (0.016, 0.016, 0.016)),), 0.016, 'square'),
    'brick': ObjectKind((Part('box', (0.028, 0.015, 0.014)),), 0.014, 'x'),
    'can': ObjectKind((Part('cylinder', (0.019, 0.026, 0.0)),), 0.026, 'z'),
    'bottle': ObjectKind(
        (
            Part('cylinder', (0.017, 0.021, 0.0)),
            Part('cylinder', (0.008, 0.009, 0.0), (0.0, 0.0, 0.03), colour=(0.92, 0.92, 0.9)),
        ),
        0.021,
        'z',
    ),
}
OBJECT_NAMES = tuple(OBJECTS)


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


CONTAINERS: dict[str, ContainerKind] = {
    'bowl': ContainerKind(0.046, 0.066, 0.036, 16, (0.2, 0.35, 0.75)),
    'plate': ContainerKind(0.056, 0.078, 0.012, 16, (0.88, 0.88, 0.9)),
    'pot': ContainerKind(0.06, 0.06, 0.048, 16, (0.42, 0.42, 0.45), True),
    'bin': ContainerKind(0.06, 0.06, 0.034, 4, (0.72, 0.62, 0.45)),
}
CONTAINER_NAMES = tuple(CONTAINERS)
