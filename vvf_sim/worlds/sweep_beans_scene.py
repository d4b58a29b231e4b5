# SPDX-License-Identifier: Apache-2.0
"""What a seed decides about the bean-sweeping world, and how it is built: beans, brush, dustpan.

Beans are short capsules that roll with friction, so that they come to rest; the brush is a heavy
head on bristles with an upright handle, so that it stands by itself and can be grasped from above.
"""

import math
from dataclasses import dataclass

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel
from vvf_sim.rotations import Array
from vvf_sim.worlds.domain import axis_rng
from vvf_sim.worlds.layout import Placed
from vvf_sim.worlds.names import Setting
from vvf_sim.worlds.object_kinds import PALETTE, Vector
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
from vvf_sim.worlds.variation import colour, draw_looks, draw_place

# Half sizes of the mat that the beans are not to leave, and its middle's x, m.
MAT = (0.14, 0.16)
MAT_X = 0.29
PAN_HALF_WIDTH = 0.092
PAN_DEPTH = 0.09
PAN_WALL = 0.022
BRUSH_HALF_DEPTH = 0.018
# Half of what the bristles at its ends reach, before and behind: they keep beans from slipping by.
BRUSH_EARS = 0.034
HANDLE_TOP = 0.11

_HALF_WALL = 0.0015
_PAN_AREA = ((0.24, 0.135), (0.33, 0.155))
_BEAN_AREA = ((0.23, -0.06), (0.35, 0.03))
_BRUSH_AREA = ((0.2, -0.2), (0.38, -0.12))
_ASIDE = 0.04
_SPREAD = 0.042
_BEAN_SPACING = 0.014
_BRUSH_SPACING = 0.12
_BEAN_COLOURS = ((0.42, 0.1, 0.07), (0.1, 0.08, 0.08), (0.3, 0.16, 0.08), (0.5, 0.22, 0.1))
_PEA_COLOURS = ((0.2, 0.5, 0.12), (0.85, 0.55, 0.05), (0.12, 0.2, 0.55))
_DISTRACTORS = ('can', 'ball', 'cube', 'mushroom', 'bottle')
_DISTRACTOR_AREA = ((0.17, -0.3), (0.43, 0.3))
_DISTRACTOR_SPACING = 0.13


@dataclass(frozen=True)
class SweepLayout:
    """Everything that a seed decided.

    Attributes:
        beans: (N, 3) places (x, y) in m and yaws in rad.
        bean_size: radius and half length of a bean in m; a half length of 0 makes it a ball.
        bean_colour: RGB.
        pan_xy: middle of the dustpan's mouth in m.
        pan_yaw: direction in rad in which it is swept into.
        pan_colour: RGB.
        brush_xy: the brush's place in m.
        brush_yaw: direction of its long side in rad.
        brush_half_width: half of that side in m.
        brush_colour: RGB of its wood.
        mat_colour: RGB.
        distractors: other things that stand about.
        looks: of table, background and light.
        start_xyz: commanded start of the tip in m.
        start_yaw: of the gripper in rad.
    """

    beans: Array
    bean_size: tuple[float, float]
    bean_colour: Vector
    pan_xy: tuple[float, float]
    pan_yaw: float
    pan_colour: Vector
    brush_xy: tuple[float, float]
    brush_yaw: float
    brush_half_width: float
    brush_colour: Vector
    mat_colour: Vector
    distractors: tuple[Placed, ...]
    looks: Looks
    start_xyz: Array
    start_yaw: float


def sample_sweep(
    setting: Setting,
    rng: np.random.Generator,
    n_beans: tuple[int, int],
    axes: tuple[str, ...],
    seed: int,
) -> SweepLayout:
    """Draw a scene; the same arguments and generator state give the same scene."""
    side = float(rng.choice([-1.0, 1.0]))
    pile, pan, brush = _places(setting, rng, side)
    count = int(rng.integers(n_beans[0], n_beans[1] + 1))
    beans = _scatter(rng, count, pile)
    turns = rng.uniform([-0.15, -0.6], [0.15, 0.6])
    half_width = float(rng.uniform(0.06, 0.066))
    bean_size = (float(rng.uniform(0.005, 0.006)), float(rng.uniform(0.0035, 0.005)))
    bean = colour(
        np.array(_BEAN_COLOURS[int(rng.integers(len(_BEAN_COLOURS)))])
        + 0.04 * rng.uniform(-1.0, 1.0, 3)
    )
    names = rng.permutation(list(PALETTE))
    mat = colour(np.array([0.84, 0.82, 0.76]) + 0.1 * rng.uniform(-1.0, 1.0, 3))
    looks = draw_looks(setting, rng)
    start = np.array([0.22, 0.0, 0.19]) + 0.02 * rng.uniform(-1.0, 1.0, 3)
    start_yaw = 0.15 * float(rng.uniform(-1.0, 1.0))
    wood = colour(np.array([0.7, 0.5, 0.3]) + 0.08 * rng.uniform(-1.0, 1.0, 3))
    if 'objects' in axes:
        others = axis_rng('objects', seed)
        bean = _PEA_COLOURS[int(others.integers(len(_PEA_COLOURS)))]
        bean_size = (float(others.uniform(0.0055, 0.0065)), 0.0)
        names, wood = others.permutation(list(PALETTE)), (0.25, 0.25, 0.28)
        half_width = float(others.uniform(0.054, 0.058))
    taken = [pan, pile, brush, (pan[0], pan[1] + side * PAN_DEPTH)]
    return SweepLayout(
        beans=beans,
        bean_size=bean_size,
        bean_colour=bean,
        pan_xy=pan,
        pan_yaw=side * math.pi / 2 + float(turns[0]),
        pan_colour=PALETTE[str(names[0])],
        brush_xy=brush,
        brush_yaw=float(turns[1]),
        brush_half_width=half_width,
        brush_colour=wood,
        mat_colour=mat,
        distractors=_distractors(taken, seed) if 'distractors' in axes else (),
        looks=looks,
        start_xyz=start,
        start_yaw=start_yaw,
    )


def furnish_sweep(spec: 'mujoco.MjSpec', layout: SweepLayout, arm: ArmModel) -> None:
    """Put a layout around an arm.

    Bodies: `brush`, `pan`, `bean_0`...; cameras: `shoulder`, `wrist`.
    """
    add_looks(spec, layout.looks)
    add_table(spec)
    shoulder = spec.worldbody.add_camera(name='shoulder')
    look_at(shoulder, [0.7, -0.12, 0.46], [0.28, -0.005, 0.01], [0.0, 0.0, 1.0], 45.0)
    add_wrist_camera(spec, arm)
    box = mujoco.mjtGeom.mjGEOM_BOX
    rgba = [*layout.mat_colour, 1.0]
    spec.worldbody.add_geom(
        name='mat', type=box, size=[*MAT, 0.0004], pos=[MAT_X, 0.0, 0.0], rgba=rgba, **GHOST
    )
    _add_pan(spec, layout)
    _add_brush(spec, layout)
    for index, bean in enumerate(layout.beans):
        _add_bean(spec, f'bean_{index}', layout, bean)
    for index, placed in enumerate(layout.distractors):
        add_object(spec, f'distractor_{index}', placed)


def _places(
    setting: Setting, rng: np.random.Generator, side: float
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Middle of the beans, dustpan and brush: the beans between the other two."""
    while True:
        pile = draw_place(setting, rng, _BEAN_AREA, side)
        pan = draw_place(setting, rng, _PAN_AREA, side)
        brush = draw_place(setting, rng, _BRUSH_AREA, side)
        if abs(pile[0] - pan[0]) < _ASIDE and math.dist(pile, brush) > _BRUSH_SPACING:
            return pile, pan, brush


def _scatter(rng: np.random.Generator, count: int, middle: tuple[float, float]) -> Array:
    beans: list[Array] = []
    while len(beans) < count:
        offset = rng.uniform(-_SPREAD, _SPREAD, 2)
        place = offset + middle
        apart = all(math.dist(place, other[:2]) > _BEAN_SPACING for other in beans)
        if np.hypot(*offset) < _SPREAD and apart:
            beans.append(np.append(place, rng.uniform(-np.pi, np.pi)))
    return np.array(beans)


def _distractors(taken: list[tuple[float, float]], seed: int) -> tuple[Placed, ...]:
    rng = axis_rng('distractors', seed)
    toys = list(PALETTE.values())
    placed: list[Placed] = []
    for kind in rng.permutation(_DISTRACTORS)[:3]:
        for _ in range(80):
            x, y = (float(v) for v in rng.uniform(*_DISTRACTOR_AREA))
            if all(math.dist((x, y), other) > _DISTRACTOR_SPACING for other in taken):
                taken.append((x, y))
                yaw = float(rng.uniform(-np.pi, np.pi))
                placed.append(Placed(str(kind), (x, y), yaw, toys[int(rng.integers(len(toys)))]))
                break
    return tuple(placed)


def _add_pan(spec: 'mujoco.MjSpec', layout: SweepLayout) -> None:
    """A dustpan; x of its frame is the direction of sweeping, its origin the mouth's middle."""
    body = spec.worldbody.add_body(
        name='pan', pos=[*layout.pan_xy, 0.0], quat=quaternion_z(layout.pan_yaw)
    )
    box = mujoco.mjtGeom.mjGEOM_BOX
    solid = {'contype': 2, 'conaffinity': 3, 'friction': [0.8, 0.02, 0.0015]}
    rgba = [*layout.pan_colour, 1.0]
    # Flush with the table, as that of a good dustpan: an edge would catch the brush.
    floor = [PAN_DEPTH / 2, PAN_HALF_WIDTH, 0.0006]
    body.add_geom(type=box, size=floor, pos=[PAN_DEPTH / 2, 0, 0.0], rgba=rgba, **GHOST)
    dark = [*(0.75 * np.array(layout.pan_colour)), 1.0]
    for sign in (-1.0, 1.0):
        body.add_geom(
            type=box,
            size=[PAN_DEPTH / 2, _HALF_WALL, PAN_WALL / 2],
            pos=[PAN_DEPTH / 2, sign * (PAN_HALF_WIDTH + _HALF_WALL), PAN_WALL / 2],
            rgba=dark,
            **solid,
        )
    body.add_geom(
        type=box,
        size=[_HALF_WALL, PAN_HALF_WIDTH + 2 * _HALF_WALL, PAN_WALL / 2],
        pos=[PAN_DEPTH + _HALF_WALL, 0, PAN_WALL / 2],
        rgba=dark,
        **solid,
    )
    body.add_geom(
        type=box, size=[0.035, 0.012, 0.006], pos=[PAN_DEPTH + 0.038, 0, 0.014], rgba=dark, **solid
    )


def _add_brush(spec: 'mujoco.MjSpec', layout: SweepLayout) -> None:
    """A hand brush; x of its frame is its long side, its origin is under the bristles."""
    body = spec.worldbody.add_body(
        name='brush', pos=[*layout.brush_xy, 0.0], quat=quaternion_z(layout.brush_yaw)
    )
    body.add_freejoint()
    box = mujoco.mjtGeom.mjGEOM_BOX
    half, depth = layout.brush_half_width, BRUSH_HALF_DEPTH
    wood = [*layout.brush_colour, 1.0]
    # Bristles slide; without a priority the table's friction would count.
    bristles = {**CONTACT, 'priority': 1, 'friction': [0.3, 0.01, 0.0005], 'density': 600.0}
    body.add_geom(
        type=box,
        size=[half - 0.002, depth - 0.002, 0.01],
        pos=[0, 0, 0.01],
        rgba=[0.2, 0.2, 0.22, 1.0],
        **bristles,
    )
    for sign in (-1.0, 1.0):
        body.add_geom(
            type=box,
            size=[0.003, BRUSH_EARS, 0.012],
            pos=[sign * (half - 0.003), 0, 0.012],
            rgba=[0.2, 0.2, 0.22, 1.0],
            **bristles,
        )
    head = {**CONTACT, 'density': 1200.0}
    body.add_geom(type=box, size=[half, depth, 0.01], pos=[0, 0, 0.03], rgba=wood, **head)
    handle = {**CONTACT, 'density': 300.0}
    length = (HANDLE_TOP - 0.04) / 2
    body.add_geom(
        type=box, size=[0.02, 0.011, length], pos=[0, 0, 0.04 + length], rgba=wood, **handle
    )


def _add_bean(spec: 'mujoco.MjSpec', name: str, layout: SweepLayout, bean: Array) -> None:
    radius, half_length = layout.bean_size
    body = spec.worldbody.add_body(name=name, pos=[bean[0], bean[1], radius])
    body.add_freejoint()
    looks = {'rgba': [*layout.bean_colour, 1.0]}
    contact = {**CONTACT, 'condim': 6, 'friction': [0.6, 0.01, 0.0015], 'density': 900.0}
    shape = mujoco.mjtGeom
    if not half_length:
        body.add_geom(type=shape.mjGEOM_SPHERE, size=[radius, 0, 0], **looks, **contact)
        return
    reach = half_length * np.array([math.cos(bean[2]), math.sin(bean[2]), 0.0])
    body.add_geom(
        type=shape.mjGEOM_CAPSULE,
        size=[radius, 0, 0],
        fromto=[*-reach, *reach],
        **looks,
        **contact,
    )
