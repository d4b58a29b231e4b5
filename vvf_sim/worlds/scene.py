# SPDX-License-Identifier: Apache-2.0
"""Builds the MuJoCo model of a layout: arm, table, container, objects, light and cameras."""

import math

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.robots.widowx import widowx_mjcf
from vvf_sim.rotations import Array, rotation_exp
from vvf_sim.worlds.layout import Layout, Placed
from vvf_sim.worlds.objects import CONTAINERS, OBJECTS, Part

CAMERAS = ('shoulder', 'wrist')
TABLE_SIZE = (0.45, 0.5, 0.02)
TABLE_X = 0.3

_CONTACT = {
    'contype': 2,
    'conaffinity': 3,
    'condim': 4,
    'friction': [1.0, 0.02, 0.0005],
    'solref': [0.01, 1.0],
    'solimp': [0.95, 0.99, 0.001, 0.5, 2.0],
    'density': 400.0,
}
_ROLLING = {'condim': 6, 'friction': [1.0, 0.02, 0.002]}
_HALF_TURN_Y = [math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0]


def build_model(layout: Layout) -> 'mujoco.MjModel':
    """Compile the scene.

    Bodies: `object_0` is the target, `object_1`... the distractors, `container`. Cameras:
    `shoulder` (fixed) and `wrist` (on the gripper). The arm's base is the world's origin.
    """
    spec = mujoco.MjSpec.from_string(widowx_mjcf())
    _add_looks(spec, layout)
    spec.worldbody.add_geom(
        name='table',
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=TABLE_SIZE,
        pos=[TABLE_X, 0.0, -TABLE_SIZE[2]],
        material='table',
        contype=2,
        conaffinity=3,
        friction=[1.0, 0.02, 0.0005],
    )
    _add_cameras(spec, layout)
    _add_container(spec, layout)
    for index, placed in enumerate(layout.objects):
        _add_object(spec, f'object_{index}', placed)
    return spec.compile()


def _add_looks(spec: 'mujoco.MjSpec', layout: Layout) -> None:
    texture = mujoco.mjtTexture
    table = spec.add_texture(
        name='table',
        type=texture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        width=128,
        height=128,
    )
    table.rgb1 = np.asarray(layout.table_colour)
    table.rgb2 = np.asarray(layout.table_colour) * layout.checker_contrast
    material = spec.add_material(name='table')
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = 'table'
    material.texrepeat = [layout.checker_repeat, layout.checker_repeat]
    material.specular = 0.0
    sky = spec.add_texture(
        name='sky',
        type=texture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        width=8,
        height=48,
    )
    sky.rgb1 = sky.rgb2 = np.asarray(layout.sky_colour)
    # No shadows and no highlights: they cost ten times the rest, and the ray caster has none.
    light = spec.worldbody.add_light(type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    light.pos = [0.3, 0.0, 1.5]
    light.dir = np.asarray(layout.light_direction)
    light.castshadow = False
    light.diffuse = [layout.light_strength] * 3
    light.specular = light.ambient = [0.0] * 3
    head = spec.visual.headlight
    head.ambient = [layout.ambient] * 3
    head.diffuse = [0.4] * 3
    head.specular = [0.0] * 3
    spec.visual.quality.shadowsize = 0
    spec.visual.quality.offsamples = 0
    spec.visual.map.znear = 0.02
    spec.visual.map.zfar = 10.0
    spec.stat.extent = 0.8
    spec.stat.center = [0.25, 0.0, 0.1]


def _add_cameras(spec: 'mujoco.MjSpec', layout: Layout) -> None:
    shoulder = spec.worldbody.add_camera(name='shoulder')
    _look_at(shoulder, [-0.05, -0.38, 0.58], [0.27, -0.03, 0.03], [0.0, 0.0, 1.0], 43.0)
    # Behind the fingers and tilted to their tips, so that both and what is between are seen.
    wrist = spec.body('gripper_link').add_camera(name='wrist')
    _look_at(wrist, [0.0, 0.0, 0.085], [0.115, 0.0, 0.022], [1.0, 0.0, 0.0], 72.0)
    for index, camera in enumerate((shoulder, wrist)):
        camera.pos = np.asarray(camera.pos) + layout.camera_shift[index]
        turned = np.zeros(9)
        mujoco.mju_quat2Mat(turned, np.asarray(camera.quat))
        camera.quat = _quaternion(rotation_exp(layout.camera_turn[index]) @ turned.reshape(3, 3))


def _look_at(
    camera: 'mujoco.MjsCamera',
    position: list[float],
    target: list[float],
    up: list[float],
    fovy: float,
) -> None:
    back = np.subtract(position, target)
    back /= np.linalg.norm(back)
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    camera.pos = position
    camera.quat = _quaternion(np.stack([right, np.cross(back, right), back], axis=1))
    camera.fovy = fovy


def _quaternion(matrix: Array) -> Array:
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(matrix).ravel())
    return quaternion


def _quaternion_z(angle: float) -> list[float]:
    return [math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)]


def _add_object(spec: 'mujoco.MjSpec', name: str, placed: Placed) -> None:
    kind = OBJECTS[placed.kind]
    body = spec.worldbody.add_body(
        name=name, pos=[*placed.xy, kind.rest_height], quat=_quaternion_z(placed.yaw)
    )
    body.add_freejoint()
    contact = {**_CONTACT, **(_ROLLING if kind.rolls else {})}
    for part in kind.parts:
        _add_part(body, part, placed, contact)


def _add_part(
    body: 'mujoco.MjsBody', part: Part, placed: Placed, contact: dict[str, object]
) -> None:
    if not part.solid:
        contact = {'contype': 0, 'conaffinity': 0, 'density': 0.0}
    quaternion = np.array(_quaternion_z(part.yaw))
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
    looks = {'rgba': [*kind.colour, 1.0]}
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
        mujoco.mju_mulQuat(quaternion, np.array(_quaternion_z(angle)), tilt)
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
