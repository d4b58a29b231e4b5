# SPDX-License-Identifier: Apache-2.0
"""What stands on the table of the pick-and-place world: container, objects, cameras."""

import math

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel
from vvf_sim.rotations import rotation_exp
from vvf_sim.worlds.layout import Layout, Placed
from vvf_sim.worlds.object_kinds import Part
from vvf_sim.worlds.objects import CONTAINERS, OBJECTS
from vvf_sim.worlds.spec import (
    CONTACT,
    GHOST,
    Looks,
    add_looks,
    add_table,
    add_wrist_camera,
    look_at,
    mat_to_quat,
    quat_to_mat,
    quaternion_z,
)

_ROLLING = {'condim': 6, 'friction': [1.0, 0.02, 0.002]}
_HALF_TURN_Y = [math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0]


def furnish(spec: 'mujoco.MjSpec', layout: Layout, arm: ArmModel) -> None:
    """Put a layout around an arm.

    Bodies: `object_0` is the target, `object_1`... the distractors, `container`. Cameras:
    `shoulder` (fixed) and `wrist` (on the gripper).
    """
    add_looks(
        spec,
        Looks(
            layout.table_colour,
            layout.checker_contrast,
            layout.checker_repeat,
            layout.sky_colour,
            layout.light_direction,
            layout.light_strength,
            layout.ambient,
        ),
    )
    add_table(spec)
    _add_cameras(spec, layout, arm)
    _add_container(spec, layout)
    for index, placed in enumerate(layout.objects):
        add_object(spec, f'object_{index}', placed)


def _add_cameras(spec: 'mujoco.MjSpec', layout: Layout, arm: ArmModel) -> None:
    shoulder = spec.worldbody.add_camera(name='shoulder')
    look_at(shoulder, [-0.05, -0.38, 0.58], [0.27, -0.03, 0.03], [0.0, 0.0, 1.0], 43.0)
    add_wrist_camera(spec, arm)
    for index, camera in enumerate((shoulder, spec.camera('wrist'))):
        camera.pos = np.asarray(camera.pos) + layout.camera_shift[index]
        turn = rotation_exp(layout.camera_turn[index])
        camera.quat = mat_to_quat(turn @ quat_to_mat(np.asarray(camera.quat)))


def add_object(spec: 'mujoco.MjSpec', name: str, placed: Placed) -> None:
    """Put an object on the table, free to move, as a body of that name."""
    kind = OBJECTS[placed.kind]
    body = spec.worldbody.add_body(
        name=name, pos=[*placed.xy, kind.rest_height], quat=quaternion_z(placed.yaw)
    )
    body.add_freejoint()
    contact = {**CONTACT, **(_ROLLING if kind.rolls else {})}
    for part in kind.parts:
        _add_part(body, part, placed, contact)


def _add_part(
    body: 'mujoco.MjsBody', part: Part, placed: Placed, contact: dict[str, object]
) -> None:
    if not part.solid:
        contact = GHOST
    quaternion = np.array(quaternion_z(part.yaw))
    if part.along_x:
        turned = np.zeros(4)
        mujoco.mju_mulQuat(turned, quaternion, np.array(_HALF_TURN_Y))
        quaternion = turned
    body.add_geom(
        type=getattr(mujoco.mjtGeom, f'mjGEOM_{part.shape.upper()}'),
        size=part.size,
        pos=part.position,
        quat=quaternion,
        rgba=[*(part.colour or placed.colour), 1.0],
        **contact,
    )


def _add_container(spec: 'mujoco.MjSpec', layout: Layout) -> None:
    kind = CONTAINERS[layout.container]
    body = spec.worldbody.add_body(name='container', pos=[*layout.container_xy, 0.0])
    box = mujoco.mjtGeom.mjGEOM_BOX
    looks = {'rgba': [*(layout.container_colour or kind.colour), 1.0]}
    solid = {**looks, 'contype': 2, 'conaffinity': 3, 'friction': [0.8, 0.01, 0.0005]}
    floor, rim = kind.floor_radius, kind.rim_radius
    if kind.sides == 4:
        body.add_geom(type=box, size=[floor, floor, 0.003], pos=[0, 0, 0.003], **solid)
    else:
        # The disc is seen, the square inside it carries: boxes make steadier contacts.
        disc = mujoco.mjtGeom.mjGEOM_CYLINDER
        body.add_geom(
            type=disc, size=[floor, 0.003, 0], pos=[0, 0, 0.003], contype=0, conaffinity=0, **looks
        )
        half = 0.8 * floor
        body.add_geom(type=box, size=[half, half, 0.0028], pos=[0, 0, 0.0028], **solid)
    slope = math.atan2(rim - floor, kind.height)
    half_length = math.hypot(rim - floor, kind.height) / 2
    half_width = rim * math.tan(math.pi / kind.sides) * 1.02
    middle = (rim + floor) / 2
    for side in range(kind.sides):
        angle = 2 * math.pi * side / kind.sides
        quaternion = np.zeros(4)
        tilt = np.array([math.cos(slope / 2), 0.0, math.sin(slope / 2), 0.0])
        mujoco.mju_mulQuat(quaternion, np.array(quaternion_z(angle)), tilt)
        body.add_geom(
            type=box,
            size=[0.003, half_width, half_length],
            pos=[middle * math.cos(angle), middle * math.sin(angle), kind.height / 2],
            quat=quaternion,
            **solid,
        )
    for sign in (-1.0, 1.0) if kind.handles else ():
        body.add_geom(
            type=box,
            size=[0.014, 0.018, 0.004],
            pos=[sign * (rim + 0.014), 0.0, kind.height - 0.012],
            **solid,
        )
