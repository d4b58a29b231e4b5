# SPDX-License-Identifier: Apache-2.0
"""The objects and containers of the pick-and-place world, as primitive shapes.

The V-PTR paper draws its objects from a pool of ten scanned ones (appendix B.3); the first ten
are of the same kind and size, drawn from capsules, boxes, cylinders and spheres. All fit between
the WidowX's open fingers (56 mm) and are thicker than its closed gap (12 mm).
"""

from vvf_sim.worlds.more_objects import MORE_OBJECTS
from vvf_sim.worlds.object_kinds import GREEN, ContainerKind, ObjectKind, Part

_FIRST: dict[str, ObjectKind] = {
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

# What scenes are drawn from if nobody says otherwise.
OBJECT_NAMES = tuple(_FIRST)
OBJECTS = {**_FIRST, **MORE_OBJECTS}

CONTAINERS: dict[str, ContainerKind] = {
    'bowl': ContainerKind(0.046, 0.066, 0.036, 16, (0.2, 0.35, 0.75)),
    'plate': ContainerKind(0.056, 0.078, 0.012, 16, (0.88, 0.88, 0.9)),
    'pot': ContainerKind(0.06, 0.06, 0.048, 16, (0.42, 0.42, 0.45), True),
    'bin': ContainerKind(0.06, 0.06, 0.034, 4, (0.72, 0.62, 0.45)),
    'basket': ContainerKind(0.05, 0.066, 0.044, 8, (0.6, 0.4, 0.2), True),
    'tray': ContainerKind(0.066, 0.07, 0.014, 4, (0.3, 0.3, 0.32)),
    'dish': ContainerKind(0.04, 0.07, 0.024, 16, (0.85, 0.35, 0.3)),
    'pan': ContainerKind(0.064, 0.066, 0.02, 16, (0.12, 0.12, 0.12), True),
    'crate': ContainerKind(0.058, 0.058, 0.05, 4, (0.25, 0.55, 0.3)),
    'nest': ContainerKind(0.04, 0.062, 0.03, 6, (0.75, 0.7, 0.2)),
    'tub': ContainerKind(0.056, 0.064, 0.05, 16, (0.9, 0.6, 0.75)),
}
CONTAINER_NAMES = ('bowl', 'plate', 'pot', 'bin')
