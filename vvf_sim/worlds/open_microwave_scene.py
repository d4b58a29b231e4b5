# SPDX-License-Identifier: Apache-2.0
"""The microwave's shape and physics, and what stands around it."""

from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel
from vvf_sim.worlds.open_microwave_layout import DOOR_HALF, STANDOFF, Microwave
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

MAX_ANGLE = 1.75
MASS = 2.5
WALL_HALF = 0.004
HANDLE_HALF = 0.009

_GLASS = (0.13, 0.14, 0.16, 1.0)
_INSIDE = (0.8, 0.78, 0.7, 1.0)
_SOLID = {key: value for key, value in CONTACT.items() if key != 'density'}


def furnish(spec: 'mujoco.MjSpec', microwave: Microwave, arm: ArmModel) -> None:
    """Table, light, cameras `shoulder` and `wrist`, bodies `microwave` and `door`, other things.

    The microwave stands free; its joint and that of the door are called as the bodies.
    """
    add_looks(spec, microwave.looks)
    add_table(spec)
    shoulder = spec.worldbody.add_camera(name='shoulder')
    look_at(shoulder, [-0.12, -0.36, 0.55], [0.32, -0.03, 0.06], [0.0, 0.0, 1.0], 43.0)
    add_wrist_camera(spec, arm)
    body = spec.worldbody.add_body(
        name='microwave', pos=[*microwave.xy, 0.0], quat=quaternion_z(microwave.yaw)
    )
    body.add_freejoint(name='microwave')
    _add_box(body, microwave)
    _add_door(body, microwave)
    for index, placed in enumerate(microwave.others):
        add_object(spec, f'other_{index}', placed)


def _add_box(body: 'mujoco.MjsBody', microwave: Microwave) -> None:
    depth, width, height = microwave.size
    wall, middle = WALL_HALF, depth / 2
    panel = width - microwave.door_width
    colour = [*microwave.body_colour, 1.0]
    parts = (
        ('floor', [middle, width / 2, wall], [middle, 0.0, wall], _INSIDE),
        ('roof', [middle, width / 2, wall], [middle, 0.0, height - wall], colour),
        ('back', [wall, width / 2, height / 2], [depth - wall, 0.0, height / 2], colour),
        ('near', [middle, wall, height / 2], [middle, width / 2 - wall, height / 2], colour),
        # All that is behind the panel with the buttons is solid.
        (
            'panel',
            [middle, panel / 2, height / 2],
            [middle, (panel - width) / 2, height / 2],
            colour,
        ),
    )
    for name, size, position, rgba in parts:
        position[1] *= microwave.side
        # It stands on its floor, whose feet glide: it is pushed before it tips over.
        gliding = {'friction': [0.35, 0.02, 0.0005], 'priority': 1} if name == 'floor' else {}
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=size,
            pos=position,
            rgba=rgba,
            mass=MASS / len(parts),
            **{**_SOLID, **gliding},
        )
    _add_buttons(body, microwave)


def _add_buttons(body: 'mujoco.MjsBody', microwave: Microwave) -> None:
    _, width, height = microwave.size
    panel = width - microwave.door_width
    y = -microwave.side * (width - panel) / 2
    for row, shown in enumerate(('display', 'knob', 'knob')):
        z = height * (0.78 - 0.27 * row)
        size = [0.002, 0.34 * panel, 0.011] if shown == 'display' else [0.002, 0.013, 0.013]
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, size=size, pos=[-0.002, y, z], rgba=_GLASS, **GHOST
        )


def _add_door(body: 'mujoco.MjsBody', microwave: Microwave) -> None:
    half, height = microwave.door_width / 2, microwave.size[2]
    door = body.add_body(name='door', pos=microwave.hinge)
    door.add_joint(
        name='door',
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=[0.0, 0.0, -microwave.side],
        range=[0.0, MAX_ANGLE],
        limited=True,
        damping=0.03,
        # So much that it stays where it is left.
        frictionloss=0.06,
        armature=0.002,
    )
    box = mujoco.mjtGeom.mjGEOM_BOX
    z = height / 2
    door.add_geom(
        type=box,
        size=[DOOR_HALF, half - 0.001, z - 0.004],
        pos=microwave.along(half, 0.0, z),
        rgba=[*microwave.body_colour, 1.0],
        mass=0.25,
        **_SOLID,
    )
    door.add_geom(
        type=box,
        size=[DOOR_HALF + 0.001, 0.62 * half, 0.32 * height],
        pos=microwave.along(0.85 * half, 0.0, z),
        rgba=_GLASS,
        **GHOST,
    )
    _add_handle(door, microwave)


def _add_handle(door: 'mujoco.MjsBody', microwave: Microwave) -> None:
    """A bar that stands upright before the door, free at its upper end."""
    rgba = [*microwave.handle_colour, 1.0]
    length = microwave.top - 0.03
    middle = microwave.along(microwave.handle_radius, STANDOFF, 0.03 + length / 2)
    shape = mujoco.mjtGeom.mjGEOM_CYLINDER if microwave.round_handle else mujoco.mjtGeom.mjGEOM_BOX
    size = [HANDLE_HALF, length / 2, 0.0]
    if not microwave.round_handle:
        size = [HANDLE_HALF, HANDLE_HALF, length / 2]
    door.add_geom(name='handle', type=shape, size=size, pos=middle, rgba=rgba, mass=0.03, **_SOLID)
    for height in (0.042, microwave.top - 0.055):
        door.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[STANDOFF / 2, 0.005, 0.005],
            pos=microwave.along(microwave.handle_radius, STANDOFF / 2, height),
            rgba=rgba,
            mass=0.01,
            **_SOLID,
        )
