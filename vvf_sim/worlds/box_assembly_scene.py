# SPDX-License-Identifier: Apache-2.0
"""A free carton with four flaps on creases, and what stands around it.

The carton is a regular slotted one: all flaps are as long as half its width, the two major ones
meet in the middle, and the minor ones belong under them. The majors' creases lie a thickness of
board higher, so a minor flap on top of a major one cannot lie flat.

A crease is an elastic, perfectly plastic hinge: a spring whose rest angle is dragged along once
it is bent by more than `SPRINGBACK`. So a flap stays where it is bent to, less that angle. (A dry
friction beside a spring, as MuJoCo has it, either holds without springing back or creeps.)
"""

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel
from vvf_sim.worlds.box_assembly_layout import FLAPS, BoxLayout, Carton, Flap
from vvf_sim.worlds.pick_place_scene import add_object
from vvf_sim.worlds.spec import (
    CONTACT,
    GHOST,
    add_looks,
    add_table,
    add_wrist_camera,
    look_at,
    quaternion_z,
)

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


def furnish(spec: 'mujoco.MjSpec', layout: BoxLayout, arm: ArmModel) -> None:
    """Bodies `carton` and one by the name of each flap; cameras `front` and `wrist`."""
    add_looks(spec, layout.looks)
    add_table(spec)
    front = spec.worldbody.add_camera(name='front')
    look_at(front, [0.74, -0.16, 0.42], [0.27, 0.0, 0.075], [0.0, 0.0, 1.0], 37.0)
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
