# SPDX-License-Identifier: Apache-2.0
"""What the scenes of all worlds are built from: arms on their bases, table, light, cameras."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel
from vvf_sim.rotations import Array
from vvf_sim.worlds.mount import Mount
from vvf_sim.worlds.object_kinds import Vector

TABLE_SIZE = (0.45, 0.5, 0.02)
TABLE_X = 0.3

# What grasps well at a time step of 4 ms; the arms collide with it, and it with itself.
CONTACT: dict[str, object] = {
    'contype': 2,
    'conaffinity': 3,
    'condim': 4,
    'friction': [1.0, 0.02, 0.0005],
    'solref': [0.01, 1.0],
    'solimp': [0.95, 0.99, 0.001, 0.5, 2.0],
    'density': 400.0,
}
# Seen but not felt.
GHOST: dict[str, object] = {'contype': 0, 'conaffinity': 0, 'density': 0.0}


@dataclass(frozen=True)
class Looks:
    """Table, background and light.

    Attributes:
        table_colour: RGB of the lighter squares.
        checker_contrast: darker squares' part of that colour.
        checker_repeat: pairs of squares across the table.
        sky_colour: RGB of all that is not table.
        light_direction: the way its rays go.
        light_strength: diffuse part.
        ambient: ambient part.
    """

    table_colour: Vector = (0.5, 0.52, 0.55)
    checker_contrast: float = 0.86
    checker_repeat: float = 5.0
    sky_colour: Vector = (0.55, 0.6, 0.65)
    light_direction: Vector = (0.0, -0.2, -1.0)
    light_strength: float = 0.4
    ambient: float = 0.42


def arms_spec(arms: Sequence[ArmModel], mounts: Sequence[Mount]) -> 'mujoco.MjSpec':
    """A scene with nothing but arms in it; its options are the first arm's."""
    first = mujoco.MjSpec.from_string(arms[0].mjcf)
    if len(arms) == 1:
        base = first.worldbody.first_body()
        base.pos, base.quat = mounts[0].xyz, quaternion_z(mounts[0].yaw)
        return first
    spec = mujoco.MjSpec()
    for option in ('timestep', 'integrator', 'cone', 'impratio'):
        setattr(spec.option, option, getattr(first.option, option))
    for arm, mount in zip(arms, mounts, strict=True):
        frame = spec.worldbody.add_frame(pos=mount.xyz, quat=quaternion_z(mount.yaw))
        spec.attach(mujoco.MjSpec.from_string(arm.mjcf), prefix=mount.prefix, frame=frame)
    return spec


def add_looks(spec: 'mujoco.MjSpec', looks: Looks) -> None:
    """Materials of table and sky, and the light."""
    texture = mujoco.mjtTexture
    table = spec.add_texture(
        name='table',
        type=texture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        width=128,
        height=128,
    )
    table.rgb1 = np.asarray(looks.table_colour)
    table.rgb2 = np.asarray(looks.table_colour) * looks.checker_contrast
    material = spec.add_material(name='table')
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = 'table'
    material.texrepeat = [looks.checker_repeat, looks.checker_repeat]
    material.specular = 0.0
    sky = spec.add_texture(
        name='sky',
        type=texture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        width=8,
        height=48,
    )
    sky.rgb1 = sky.rgb2 = np.asarray(looks.sky_colour)
    # No shadows and no highlights: they cost ten times the rest, and the ray caster has none.
    light = spec.worldbody.add_light(type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    light.pos = [0.3, 0.0, 1.5]
    light.dir = np.asarray(looks.light_direction)
    light.castshadow = False
    light.diffuse = [looks.light_strength] * 3
    light.specular = light.ambient = [0.0] * 3
    head = spec.visual.headlight
    head.ambient = [looks.ambient] * 3
    head.diffuse = [0.4] * 3
    head.specular = [0.0] * 3
    spec.visual.quality.shadowsize = 0
    spec.visual.quality.offsamples = 0
    spec.visual.map.znear = 0.02
    spec.visual.map.zfar = 10.0
    spec.stat.extent = 0.8
    spec.stat.center = [0.25, 0.0, 0.1]


def add_table(
    spec: 'mujoco.MjSpec',
    size: tuple[float, float, float] = TABLE_SIZE,
    middle: tuple[float, float] = (TABLE_X, 0.0),
) -> None:
    """The table, whose top is at height 0.

    Args:
        spec: the scene.
        size: half sizes in m.
        middle: x and y in m.
    """
    spec.worldbody.add_geom(
        name='table',
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=size,
        pos=[*middle, -size[2]],
        material='table',
        contype=2,
        conaffinity=3,
        friction=[1.0, 0.02, 0.0005],
    )


def add_wrist_camera(spec: 'mujoco.MjSpec', arm: ArmModel, prefix: str = '') -> None:
    """The camera on an arm's gripper, `<prefix>wrist`."""
    mount = arm.wrist_camera
    camera = spec.body(prefix + mount.body).add_camera(name=f'{prefix}wrist')
    look_at(camera, mount.position, mount.target, mount.up, mount.fovy)


def look_at(
    camera: 'mujoco.MjsCamera',
    position: Sequence[float],
    target: Sequence[float],
    up: Sequence[float],
    fovy: float,
) -> None:
    """Place a camera and turn it to a target.

    Args:
        camera: to be changed.
        position: its place in its body's frame, m.
        target: what it looks at, in the same frame, m.
        up: what is up in its image.
        fovy: vertical field of view in degrees.
    """
    back = np.subtract(position, target)
    back /= np.linalg.norm(back)
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    camera.pos = position
    camera.quat = mat_to_quat(np.stack([right, np.cross(back, right), back], axis=1))
    camera.fovy = fovy


def mat_to_quat(matrix: Array) -> Array:
    """Quaternion (w, x, y, z), MuJoCo's order, of a rotation (3, 3)."""
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(matrix).ravel())
    return quaternion


def quat_to_mat(quaternion: Array) -> Array:
    """Rotation (3, 3) of a quaternion (w, x, y, z)."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion, np.float64))
    return matrix.reshape(3, 3)


def quaternion_z(angle: float) -> list[float]:
    """Quaternion (w, x, y, z) of a turn about the vertical, rad."""
    return [math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)]
