# SPDX-License-Identifier: Apache-2.0
"""Seventeen more objects, for scenes with things that no policy has been trained on."""

from vvf_sim.worlds.object_kinds import GREEN, ObjectKind, Part

_WHITE = (0.92, 0.92, 0.9)
_DARK = (0.15, 0.15, 0.17)

MORE_OBJECTS: dict[str, ObjectKind] = {
    'pepper': ObjectKind(
        (
            Part('capsule', (0.0165, 0.018, 0.0), along_x=True),
            Part('capsule', (0.005, 0.008, 0.0), (-0.04, 0.0, 0.0), True, 0.0, GREEN, False),
        ),
        0.0165,
        'x',
        (0.82, 0.1, 0.08),
        True,
    ),
    'corn': ObjectKind(
        (
            Part('capsule', (0.013, 0.034, 0.0), along_x=True),
            Part('box', (0.018, 0.0135, 0.006), (-0.03, 0.0, 0.009), False, 0.0, GREEN, False),
        ),
        0.013,
        'x',
        (0.95, 0.8, 0.15),
        True,
    ),
    'croissant': ObjectKind(
        (
            Part('capsule', (0.0155, 0.012, 0.0), along_x=True),
            Part('capsule', (0.012, 0.012, 0.0), (-0.027, 0.009, 0.0), True, -0.7),
            Part('capsule', (0.012, 0.012, 0.0), (0.027, 0.009, 0.0), True, 0.7),
        ),
        0.0155,
        'x',
        (0.72, 0.45, 0.18),
        True,
    ),
    'pear': ObjectKind(
        (
            Part('sphere', (0.0195, 0.0, 0.0), (0.01, 0.0, 0.0)),
            Part('capsule', (0.012, 0.01, 0.0), (-0.016, 0.0, -0.006), True),
        ),
        0.0195,
        'x',
        (0.65, 0.72, 0.25),
        True,
    ),
    'strawberry': ObjectKind(
        (
            Part('sphere', (0.0175, 0.0, 0.0)),
            Part('ellipsoid', (0.013, 0.013, 0.005), (0.0, 0.0, 0.015), colour=GREEN, solid=False),
        ),
        0.0175,
        'z',
        (0.85, 0.12, 0.2),
        True,
    ),
    'tomato': ObjectKind(
        (
            Part('sphere', (0.0205, 0.0, 0.0)),
            Part('ellipsoid', (0.008, 0.008, 0.004), (0.0, 0.0, 0.019), colour=GREEN, solid=False),
        ),
        0.0205,
        'z',
        (0.9, 0.2, 0.12),
        True,
    ),
    'egg': ObjectKind(
        (Part('sphere', (0.0175, 0.0, 0.0)), Part('sphere', (0.0145, 0.0, 0.0), (0.01, 0.0, 0.0))),
        0.0175,
        'x',
        (0.93, 0.85, 0.72),
        True,
    ),
    'sushi': ObjectKind(
        (
            Part('box', (0.027, 0.014, 0.009), (0.0, 0.0, -0.004), colour=_WHITE),
            Part('box', (0.029, 0.0145, 0.005), (0.0, 0.0, 0.009)),
        ),
        0.013,
        'x',
        (0.95, 0.45, 0.3),
    ),
    'cheese': ObjectKind(
        (
            Part('box', (0.022, 0.016, 0.016)),
            Part('box', (0.006, 0.0162, 0.006), (0.01, 0.0, 0.004), colour=(0.75, 0.58, 0.1)),
        ),
        0.016,
        'x',
        (0.98, 0.78, 0.2),
    ),
    'battery': ObjectKind(
        (
            Part('cylinder', (0.0135, 0.026, 0.0), along_x=True, colour=_DARK),
            Part('cylinder', (0.0136, 0.009, 0.0), (0.02, 0.0, 0.0), True, 0.0, (0.8, 0.5, 0.2)),
        ),
        0.0136,
        'x',
        _DARK,
        True,
    ),
    'marker': ObjectKind(
        (
            Part('capsule', (0.0105, 0.038, 0.0), along_x=True),
            Part('capsule', (0.0107, 0.012, 0.0), (0.026, 0.0, 0.0), True, 0.0, _DARK, False),
        ),
        0.0105,
        'x',
        None,
        True,
    ),
    'domino': ObjectKind(
        (
            Part('box', (0.03, 0.0145, 0.0105)),
            Part('box', (0.0015, 0.0146, 0.0106), colour=_DARK, solid=False),
        ),
        0.0105,
        'x',
        _WHITE,
    ),
    'pawn': ObjectKind(
        (
            Part('cylinder', (0.017, 0.007, 0.0), (0.0, 0.0, -0.016)),
            Part('cylinder', (0.0095, 0.016, 0.0)),
            Part('sphere', (0.0135, 0.0, 0.0), (0.0, 0.0, 0.02)),
        ),
        0.023,
        'z',
    ),
    'jar': ObjectKind(
        (
            Part('cylinder', (0.02, 0.02, 0.0)),
            Part('cylinder', (0.0205, 0.006, 0.0), (0.0, 0.0, 0.021), colour=_DARK),
        ),
        0.02,
        'z',
    ),
    'hammer': ObjectKind(
        (
            Part('capsule', (0.009, 0.028, 0.0), (0.006, 0.0, -0.003), True),
            Part('box', (0.01, 0.024, 0.012), (-0.032, 0.0, 0.0), colour=_DARK),
        ),
        0.012,
        'x',
    ),
    'tower': ObjectKind(
        (
            Part('box', (0.018, 0.018, 0.01), (0.0, 0.0, -0.014)),
            Part('box', (0.013, 0.013, 0.014), (0.0, 0.0, 0.01), colour=(0.9, 0.8, 0.1)),
        ),
        0.024,
        'square',
    ),
    'spool': ObjectKind(
        (
            Part('cylinder', (0.0155, 0.018, 0.0)),
            Part('cylinder', (0.0185, 0.003, 0.0), (0.0, 0.0, -0.018), colour=(0.6, 0.42, 0.25)),
            Part('cylinder', (0.0185, 0.003, 0.0), (0.0, 0.0, 0.018), colour=(0.6, 0.42, 0.25)),
        ),
        0.021,
        'z',
    ),
}
