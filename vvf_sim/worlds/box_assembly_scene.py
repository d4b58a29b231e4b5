# SPDX-License-Identifier: Apache-2.0
"""A free carton with four flaps on creases, and what stands around it.

The carton is a regular slotted one: all flaps are as long as half its width, the two major ones
meet in the middle, and the minor ones belong under them. The majors' creases lie a thickness of
board higher, so a minor flap on top of a major one cannot lie flat.

A crease is an elastic, perfectly plastic hinge: a spring whose rest angle is dragged along once
it is bent by more than `SPRINGBACK`. So a flap stays where it is bent to, less that angle. (A dry
friction beside a spring, as MuJoCo has it, either holds without springing back or creeps.)
"""

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel
from vvf_sim.worlds.domain import axis_rng
from vvf_sim.worlds.layout import Placed
from vvf_sim.worlds.names import Setting
from vvf_sim.worlds.object_kinds import PALETTE, Vector
from vvf_sim.worlds.objects import OBJECTS
from vvf_sim.worlds.pick_place_scene import add_object
from vvf_sim.worlds.spec import (
    CONTACT,
    GHOST,
    Looks,
    add_looks,
    add_table,
    add_wrist_camera,
    look_at,
    quaternion_z,
)
from vvf_sim.worlds.variation import Area, colour, draw_looks, draw_place

# Where the carton's middle may be, m, and how far it may be turned, rad.
AREA: Area = ((0.26, -0.1), (0.33, 0.1))
YAW = 0.4

# Radians that a bent crease springs back, and its stiffness in N m / rad.
SPRINGBACK = 0.25
STIFFNESS = 0.04

# Half thicknesses of walls and flaps, and how much higher the majors' creases are, m.
WALL = 0.0015
BOARD = 0.001
STEP_UP = 0.003
# What a major flap lacks at either end to the short wall.
GAP = 0.008
# How much narrower a minor flap is on either side, from that part of its length on.
TAPER = 0.008
SHOULDER = 0.35
# Above the walls' edge, so that a closed minor flap rests on it.
CREASE_HEIGHT = 0.0012

# Board weighs about 0.6 kg/m2; what is packed in the carton keeps it in place.
FLAP_MASS = 0.006
WALL_MASS = 0.005
CONTENTS_MASS = 0.25
CONTENTS_HEIGHT = 0.018

# Fingers glide on board whatever their pads are made of.
_BOARD = {
    **CONTACT,
    'condim': 3,
    'friction': [0.35, 0.01, 0.0005],
    'solref': [0.008, 1.0],
    'solimp': [0.99, 0.999, 0.001, 0.5, 2.0],
    'priority': 2,
}
_HINGE = {
    'stiffness': STIFFNESS,
    'damping': 0.003,
    'armature': 1e-4,
    'frictionloss': 0.0005,
    'range': [-0.01, 2.6],
    'solref_limit': [0.008, 1.0],
    'solimp_limit': [0.99, 0.999, 0.001, 0.5, 2.0],
    'limited': True,
}


@dataclass(frozen=True)
class Flap:
    """One of the four: its name, which way it points when open, and whether it is major."""

    name: str
    outward: tuple[float, float]
    major: bool


FLAPS = (
    Flap('near_minor', (-1.0, 0.0), False),
    Flap('far_minor', (1.0, 0.0), False),
    Flap('left_major', (0.0, 1.0), True),
    Flap('right_major', (0.0, -1.0), True),
)


@dataclass(frozen=True)
class Carton:
    """What a seed decides about the carton.

    Attributes:
        xy: of its middle, m.
        yaw: of its long side from the x axis, rad.
        half: half its length and width, m.
        height: of its walls, m.
        colour: of the board's outside.
        contents_colour: of what is packed in it.
        angles: (4,) of the open flaps, rad; 0 is flat.
    """

    xy: tuple[float, float]
    yaw: float
    half: tuple[float, float]
    height: float
    colour: Vector
    contents_colour: Vector
    angles: tuple[float, ...]

    @property
    def flap_length(self) -> float:
        """From the crease to the free edge, m."""
        return self.half[1] - 0.001


@dataclass(frozen=True)
class BoxLayout:
    """Everything that a seed decides; `start` is the tip's place (3,) in m and its yaw."""

    carton: Carton
    looks: Looks
    start: tuple[np.ndarray[Any, np.dtype[np.float64]], float]
    distractors: tuple[Placed, ...]


def draw_layout(
    setting: Setting, axes: tuple[str, ...], seed: int, rng: np.random.Generator
) -> BoxLayout:
    """Draw the scene of a seed."""
    xy = draw_place(setting, rng, AREA)
    size = rng.uniform([0.054, 0.042, 0.05], [0.064, 0.048, 0.06])
    yaw = float(rng.uniform(-YAW, YAW))
    # From kraft to bleached board.
    hue, brightness = float(rng.uniform(0.06, 0.11)), float(rng.uniform(0.55, 0.85))
    board = colorsys.hsv_to_rgb(hue, float(rng.uniform(0.25, 0.6)), brightness)
    contents = PALETTE[str(rng.choice(list(PALETTE)))]
    if 'objects' in axes:
        other = axis_rng('objects', seed)
        # Printed cartons, of any colour that board does not have by itself.
        board = colorsys.hsv_to_rgb(float(other.uniform(0.25, 0.95)), 0.55, brightness)
    carton = Carton(
        xy=xy,
        yaw=yaw,
        half=(float(size[0]), float(size[1])),
        height=float(size[2]),
        colour=colour(board),
        contents_colour=contents,
        angles=tuple(float(v) for v in rng.uniform(2.0, 2.35, 4)),
    )
    jitter = rng.uniform(-1.0, 1.0, 4)
    start = np.array([0.22, 0.0, 0.21]) + 0.02 * jitter[:3]
    distractors = (
        _draw_distractors(xy, axis_rng('distractors', seed)) if ('distractors' in axes) else ()
    )
    return BoxLayout(carton, draw_looks(setting, rng), (start, 0.2 * float(jitter[3])), distractors)


def furnish(spec: 'mujoco.MjSpec', layout: BoxLayout, arm: ArmModel) -> None:
    """Bodies `carton` and one by the name of each flap; cameras `front` and `wrist`."""
    add_looks(spec, layout.looks)
    add_table(spec)
    front = spec.worldbody.add_camera(name='front')
    look_at(front, [0.74, -0.16, 0.42], [0.27, 0.0, 0.075], [0.0, 0.0, 1.0], 34.0)
    add_wrist_camera(spec, arm)
    _add_carton(spec, layout.carton)
    for index, placed in enumerate(layout.distractors):
        add_object(spec, f'distractor_{index}', placed)


def _add_carton(spec: 'mujoco.MjSpec', carton: Carton) -> None:
    box = mujoco.mjtGeom.mjGEOM_BOX
    (hx, hy), height = carton.half, carton.height
    body = spec.worldbody.add_body(
        name='carton', pos=[*carton.xy, 0.0005], quat=quaternion_z(carton.yaw)
    )
    body.add_freejoint()
    outside = {'rgba': [*carton.colour, 1.0]}
    contact = {**CONTACT, **outside}
    body.add_geom(type=box, size=[hx, hy, WALL], pos=[0, 0, WALL], mass=2 * WALL_MASS, **contact)
    # They begin above the bottom, which alone stands on the table.
    half, middle = height / 2 - WALL, height / 2 + WALL
    for name, sign in (('near', -1.0), ('far', 1.0)):
        body.add_geom(
            name=f'{name}_wall',
            type=box,
            size=[WALL, hy - 2 * WALL, half],
            pos=[sign * (hx - WALL), 0, middle],
            mass=WALL_MASS,
            **contact,
        )
    for name, sign in (('left', 1.0), ('right', -1.0)):
        body.add_geom(
            name=f'{name}_wall',
            type=box,
            size=[hx, WALL, half],
            pos=[0, sign * (hy - WALL), middle],
            mass=WALL_MASS,
            **contact,
        )
        # The strip of board up to the major's crease.
        body.add_geom(
            type=box,
            size=[hx, 0.0005, STEP_UP / 2 + 0.001],
            pos=[0, sign * (hy + 0.0002), height + STEP_UP / 2],
            **{**GHOST, **outside},
        )
    body.add_geom(
        type=box,
        size=[hx - 0.008, hy - 0.008, CONTENTS_HEIGHT / 2],
        pos=[0, 0, 2 * WALL + CONTENTS_HEIGHT / 2],
        mass=CONTENTS_MASS,
        **{**CONTACT, 'rgba': [*carton.contents_colour, 1.0]},
    )
    for flap in FLAPS:
        _add_flap(body, flap, carton)
    _collide_with_walls(spec)


def _add_flap(body: 'mujoco.MjsBody', flap: Flap, carton: Carton) -> None:
    box = mujoco.mjtGeom.mjGEOM_BOX
    (hx, hy), length = carton.half, carton.flap_length
    x, y = flap.outward
    height = carton.height + CREASE_HEIGHT + (STEP_UP if flap.major else 0.0)
    # Local x is outward; at angle 0 the flap lies inward, flat.
    part = body.add_body(
        name=flap.name, pos=[x * hx, y * hy, height], quat=quaternion_z(float(np.arctan2(y, x)))
    )
    part.add_joint(name=flap.name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0], **_HINGE)
    # A minor flap narrows towards its end, or its corners would jam against the major ones.
    sides = (
        ((hx - GAP, 0.0, 1.0),)
        if flap.major
        else ((hy - 0.002, 0.0, SHOULDER), (hy - TAPER, SHOULDER, 1.0))
    )
    shade = 1.0 if flap.major else 0.9
    outside = shade * np.array(carton.colour)
    # The inside of board is lighter, which tells an open flap from a closed one.
    inside = shade * (0.35 * np.array(carton.colour) + 0.65)
    for index, (half_width, start, end) in enumerate(sides):
        half, middle = length * (end - start) / 2, -length * (start + end) / 2
        part.add_geom(
            name=f'{flap.name}_{index}',
            type=box,
            size=[half, half_width, BOARD],
            pos=[middle, 0, 0],
            mass=FLAP_MASS * (end - start),
            **{**_BOARD, 'rgba': [*outside, 1.0]},
        )
        part.add_geom(
            type=box,
            size=[half, half_width - 0.0005, 0.0002],
            pos=[middle, 0, -BOARD - 0.0001],
            **{**GHOST, 'rgba': [*inside, 1.0]},
        )


def _collide_with_walls(spec: 'mujoco.MjSpec') -> None:
    """Flaps rest on the edges beside them; MuJoCo leaves out a body and its parent by itself."""
    walls = {True: ('near_wall', 'far_wall'), False: ('left_wall', 'right_wall')}
    for flap in FLAPS:
        for wall in walls[flap.major]:
            pair = spec.add_pair(geomname1=f'{flap.name}_0', geomname2=wall)
            pair.condim = 3
            pair.friction = [0.35, 0.35, 0.01, 0.0005, 0.0005]
            pair.solref = CONTACT['solref']
            pair.solimp = CONTACT['solimp']


def _draw_distractors(carton: tuple[float, float], rng: np.random.Generator) -> tuple[Placed, ...]:
    """Two or three things at the table's sides, out of the strokes' way."""
    placed: list[Placed] = []
    kinds = [str(kind) for kind in rng.choice(list(OBJECTS), 3, replace=False)]
    for kind in kinds[: int(rng.integers(2, 4))]:
        for _ in range(100):
            side = float(rng.choice([-1.0, 1.0]))
            xy = np.array([rng.uniform(0.15, 0.42), side * rng.uniform(0.2, 0.3)])
            others = [np.array(carton), *(np.array(other.xy) for other in placed)]
            limits = [0.2, *[0.09] * len(placed)]
            if all(np.hypot(*(xy - o)) > d for o, d in zip(others, limits, strict=True)):
                toy = PALETTE[str(rng.choice(list(PALETTE)))]
                shown = OBJECTS[kind].colour or toy
                yaw = float(rng.uniform(-np.pi, np.pi))
                placed.append(Placed(kind, (float(xy[0]), float(xy[1])), yaw, shown))
                break
    return tuple(placed)
