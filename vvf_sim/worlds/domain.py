# SPDX-License-Identifier: Apache-2.0
"""Domain axes: named switches that change how a world looks, for tests out of the domain.

Each axis draws from its own stream of random numbers, so switching one on leaves everything else
about a seed's scene as it was.
"""

import colorsys
from typing import get_args

import numpy as np

from vvf_sim.errors import UserError
from vvf_sim.mj import mujoco
from vvf_sim.rotations import rotation_exp
from vvf_sim.worlds.names import Axis
from vvf_sim.worlds.spec import mat_to_quat, quat_to_mat

AXES: tuple[Axis, ...] = get_args(Axis)

# Neither OpenGL nor the ray caster draws this group.
HIDDEN_GROUP = 4

_PATTERNS = ('GRADIENT', 'CHECKER', 'FLAT')
_CAMERA_M = 0.03
_CAMERA_RAD = 0.06


def check_axes(axes: tuple[str, ...]) -> None:
    """Check names of axes.

    Raises:
        UserError: one is unknown.
    """
    for axis in axes:
        if axis not in AXES:
            raise UserError(f'domain axis {axis!r} is unknown: use {", ".join(AXES)}.')


def axis_rng(axis: Axis, seed: int) -> np.random.Generator:
    """The stream that an axis draws from for a seed's scene."""
    return np.random.default_rng([seed, 101 + AXES.index(axis)])


def apply_axes(spec: 'mujoco.MjSpec', axes: tuple[str, ...], seed: int, arms: list[str]) -> None:
    """Change a scene's looks before it is compiled.

    `distractors` and `objects` are the worlds' own affair.

    Args:
        spec: the scene.
        axes: those switched on.
        seed: of the scene.
        arms: names of the bodies that the arms stand on.
    """
    if 'textures' in axes:
        _textures(spec, axis_rng('textures', seed))
    if 'lighting' in axes:
        _lighting(spec, axis_rng('lighting', seed))
    if 'camera_pose' in axes:
        _camera_pose(spec, axis_rng('camera_pose', seed))
    if 'arm_colour' in axes:
        _arm_colour(spec, axis_rng('arm_colour', seed), arms)
    if 'robot_invisible' in axes:
        for geom in _arm_geoms(spec, arms):
            geom.group = HIDDEN_GROUP


def _textures(spec: 'mujoco.MjSpec', rng: np.random.Generator) -> None:
    """Another pattern, colour and size of the table; another background."""
    for name in ('table', 'sky'):
        texture = spec.texture(name)
        hue, saturation, brightness = rng.uniform([0.0, 0.1, 0.15], [1.0, 0.9, 0.95])
        first = np.array(colorsys.hsv_to_rgb(hue, saturation, brightness))
        second = np.clip(first * rng.uniform(0.3, 1.3, 3), 0.0, 1.0)
        texture.rgb1, texture.rgb2 = first, second
        if name == 'sky':
            texture.builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
            continue
        pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
        texture.builtin = getattr(mujoco.mjtBuiltin, f'mjBUILTIN_{pattern}')
        texture.mark = mujoco.mjtMark.mjMARK_RANDOM
        texture.markrgb = np.clip(first + rng.uniform(-0.4, 0.4, 3), 0.0, 1.0)
        texture.random = float(rng.uniform(0.01, 0.1))
        repeat = float(rng.uniform(1.0, 12.0))
        spec.material('table').texrepeat = [repeat, repeat]


def _lighting(spec: 'mujoco.MjSpec', rng: np.random.Generator) -> None:
    """A lamp from anywhere above, brighter or darker, warm or cold."""
    warmth = rng.uniform(-0.15, 0.15)
    tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth])
    light = spec.worldbody.lights[0]
    angle, tilt = rng.uniform(-np.pi, np.pi), rng.uniform(0.3, 1.2)
    light.dir = [np.cos(angle) * tilt, np.sin(angle) * tilt, -1.0]
    light.diffuse = rng.uniform(0.1, 0.8) * tint
    head = spec.visual.headlight
    head.ambient = rng.uniform(0.15, 0.55) * tint
    head.diffuse = rng.uniform(0.15, 0.5) * tint


def _camera_pose(spec: 'mujoco.MjSpec', rng: np.random.Generator) -> None:
    for camera in spec.cameras:
        camera.pos = np.asarray(camera.pos) + _CAMERA_M * rng.uniform(-1.0, 1.0, 3)
        turn = rotation_exp(_CAMERA_RAD * rng.uniform(-1.0, 1.0, 3))
        camera.quat = mat_to_quat(turn @ quat_to_mat(np.asarray(camera.quat)))
        camera.fovy = float(camera.fovy) * float(rng.uniform(0.92, 1.08))


def _arm_colour(spec: 'mujoco.MjSpec', rng: np.random.Generator, arms: list[str]) -> None:
    colour = np.array(colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.3, 1.0), 0.8))
    for geom in _arm_geoms(spec, arms):
        # Dark parts stay darker than light ones, so that the arm keeps its relief.
        shade = 0.4 + 0.6 * float(np.mean(geom.rgba[:3]))
        geom.rgba = [*np.clip(colour * shade, 0.0, 1.0), geom.rgba[3]]


def _arm_geoms(spec: 'mujoco.MjSpec', arms: list[str]) -> list['mujoco.MjsGeom']:
    return [geom for name in arms for geom in spec.body(name).find_all(mujoco.mjtObj.mjOBJ_GEOM)]
