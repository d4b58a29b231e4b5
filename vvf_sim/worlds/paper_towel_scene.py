# SPDX-License-Identifier: Apache-2.0
"""What a seed decides about the paper-towel world, and how it is built: rolls and a holder.

MuJoCo has no hollow shapes, so a roll is a ring of boxes. There are twelve: a multiple of four,
so that a gripper finds two parallel sides across a roll that stands, and across one that lies on
a side, too. It is held across, for its wall is thinner than the fingers of a WidowX close.
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

SIDES = 12
HOLE = 0.0125
BASE_HEIGHT = 0.008
PEG_RADIUS = 0.006
# The peg's upper end is thinner, as those of real holders are.
PEG_TIP_RADIUS = 0.0035
PEG_TIP_LENGTH = 0.02

_ROLL_AREA = ((0.19, -0.2), (0.38, 0.2))
_PEG_AREA = ((0.22, 0.11), (0.33, 0.18))
# The hand of a Franka is 20 cm wide and comes lower than the peg is high.
_PEG_SPACING = 0.14
_ROLL_SPACING = 0.1
_DISTRACTORS = ('cube', 'ball', 'brick', 'mushroom', 'banana')
_DISTRACTOR_SPACING = 0.11


@dataclass(frozen=True)
class Roll:
    """A roll: place (x, y) in m, yaw in rad, outer radius and height in m, colour, posture."""

    xy: tuple[float, float]
    yaw: float
    radius: float
    height: float
    colour: Vector
    lying: bool


@dataclass(frozen=True)
class TowelLayout:
    """Everything that a seed decided.

    Attributes:
        rolls: on the table.
        peg_xy: the holder's place in m.
        holder_colour: RGB.
        square: whether the holder's foot is square rather than round.
        distractors: other things that stand about.
        looks: of table, background and light.
        start_xyz: commanded start of the tip in m.
        start_yaw: of the gripper in rad.
    """

    rolls: tuple[Roll, ...]
    peg_xy: tuple[float, float]
    holder_colour: Vector
    square: bool
    distractors: tuple[Placed, ...]
    looks: Looks
    start_xyz: Array
    start_yaw: float

    @property
    def peg_top(self) -> float:
        """Height of the peg's upper end in m: it looks a little out of the uppermost roll."""
        return BASE_HEIGHT + sum(roll.height for roll in self.rolls) + 0.008


def sample_towels(
    setting: Setting,
    rng: np.random.Generator,
    n_rolls: int,
    lying: bool,
    axes: tuple[str, ...],
    seed: int,
) -> TowelLayout:
    """Draw a scene; the same arguments and generator state give the same scene."""
    peg, places = _places(setting, rng, n_rolls)
    # Rolls of one packet are alike.
    radius, height = rng.uniform([0.0195, 0.04], [0.022, 0.046])
    paper = colour(np.array([0.94, 0.93, 0.9]) + 0.05 * rng.uniform(-1.0, 1.0, 3))
    wood = colour(np.array([0.36, 0.25, 0.17]) + 0.1 * rng.uniform(-1.0, 1.0, 3))
    yaws = rng.uniform(-np.pi, np.pi, n_rolls)
    looks = draw_looks(setting, rng)
    start = np.array([0.22, 0.0, 0.19]) + 0.02 * rng.uniform(-1.0, 1.0, 3)
    start_yaw = 0.15 * float(rng.uniform(-1.0, 1.0))
    square = False
    if 'objects' in axes:
        others = axis_rng('objects', seed)
        toys = [PALETTE[name] for name in others.permutation(list(PALETTE))[:2]]
        paper, wood = colour(0.4 + 0.6 * np.array(toys[0])), toys[1]
        radius, height = others.uniform([0.0205, 0.034], [0.0235, 0.039])
        square = True
    taken = [peg, *places]
    return TowelLayout(
        rolls=tuple(
            Roll(xy, float(yaw), float(radius), float(height), paper, lying)
            for xy, yaw in zip(places, yaws, strict=True)
        ),
        peg_xy=peg,
        holder_colour=wood,
        square=square,
        distractors=_distractors(taken, seed) if 'distractors' in axes else (),
        looks=looks,
        start_xyz=start,
        start_yaw=start_yaw,
    )


def furnish_towels(spec: 'mujoco.MjSpec', layout: TowelLayout, arm: ArmModel) -> None:
    """Put a layout around an arm; bodies `holder`, `roll_0`..., cameras `shoulder`, `wrist`."""
    add_looks(spec, layout.looks)
    add_table(spec)
    shoulder = spec.worldbody.add_camera(name='shoulder')
    look_at(shoulder, [0.72, -0.14, 0.4], [0.275, 0.0, 0.03], [0.0, 0.0, 1.0], 42.0)
    add_wrist_camera(spec, arm)
    _add_holder(spec, layout)
    for index, roll in enumerate(layout.rolls):
        _add_roll(spec, f'roll_{index}', roll)
    for index, placed in enumerate(layout.distractors):
        add_object(spec, f'distractor_{index}', placed)


def _places(
    setting: Setting, rng: np.random.Generator, count: int
) -> tuple[tuple[float, float], list[tuple[float, float]]]:
    while True:
        peg = draw_place(setting, rng, _PEG_AREA, float(rng.choice([-1.0, 1.0])))
        places: list[tuple[float, float]] = []
        for _ in range(60):
            place = draw_place(setting, rng, _ROLL_AREA)
            if math.dist(place, peg) < _PEG_SPACING:
                continue
            if all(math.dist(place, other) > _ROLL_SPACING for other in places):
                places.append(place)
            if len(places) == count:
                return peg, places


def _distractors(taken: list[tuple[float, float]], seed: int) -> tuple[Placed, ...]:
    rng = axis_rng('distractors', seed)
    toys = list(PALETTE.values())
    placed: list[Placed] = []
    for kind in rng.permutation(_DISTRACTORS)[:3]:
        for _ in range(60):
            x, y = (float(v) for v in rng.uniform((0.16, -0.28), (0.44, 0.28)))
            if all(math.dist((x, y), other) > _DISTRACTOR_SPACING for other in taken):
                taken.append((x, y))
                yaw = float(rng.uniform(-np.pi, np.pi))
                placed.append(Placed(str(kind), (x, y), yaw, toys[int(rng.integers(len(toys)))]))
                break
    return tuple(placed)


def _add_holder(spec: 'mujoco.MjSpec', layout: TowelLayout) -> None:
    body = spec.worldbody.add_body(name='holder', pos=[*layout.peg_xy, 0.0])
    shape = mujoco.mjtGeom
    half = BASE_HEIGHT / 2
    solid = {
        'rgba': [*layout.holder_colour, 1.0],
        'contype': 2,
        'conaffinity': 3,
        'friction': [0.3, 0.005, 0.0001],
    }
    if layout.square:
        body.add_geom(type=shape.mjGEOM_BOX, size=[0.034, 0.034, half], pos=[0, 0, half], **solid)
    else:
        body.add_geom(type=shape.mjGEOM_CYLINDER, size=[0.036, half, 0], pos=[0, 0, half], **solid)
    top, shoulder = layout.peg_top, layout.peg_top - PEG_TIP_LENGTH
    for radius, end in ((PEG_RADIUS, shoulder), (PEG_TIP_RADIUS, top)):
        body.add_geom(
            type=shape.mjGEOM_CAPSULE,
            size=[radius, 0, 0],
            fromto=[0, 0, radius, 0, 0, end - radius],
            **solid,
        )


def _add_roll(spec: 'mujoco.MjSpec', name: str, roll: Roll) -> None:
    quaternion = np.array(quaternion_z(roll.yaw))
    if roll.lying:
        lain = np.array([math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0])
        mujoco.mju_mulQuat(quaternion, quaternion.copy(), lain)
    rise = roll.radius if roll.lying else roll.height / 2
    body = spec.worldbody.add_body(name=name, pos=[*roll.xy, rise], quat=quaternion)
    body.add_freejoint()
    box = mujoco.mjtGeom.mjGEOM_BOX
    solid = {
        **CONTACT,
        'friction': [0.8, 0.02, 0.0005],
        'density': 250.0,
        'rgba': [*roll.colour, 1.0],
    }
    core = {**GHOST, 'rgba': [0.6, 0.45, 0.3, 1.0]}
    slope = math.tan(math.pi / SIDES)
    for side in range(SIDES):
        angle = 2 * math.pi * side / SIDES
        direction = np.array([math.cos(angle), math.sin(angle), 0.0])
        turned = quaternion_z(angle)
        # Every other box is a hair shorter: half the contacts with what the roll stands on.
        half = roll.height / 2 - (0.0004 if side % 2 else 0.0)
        middle, thick = (roll.radius + HOLE) / 2, (roll.radius - HOLE) / 2
        size = [thick, 1.05 * middle * slope, half]
        body.add_geom(type=box, size=size, pos=middle * direction, quat=turned, **solid)
        size = [0.001, HOLE * slope, half + 0.0006]
        body.add_geom(type=box, size=size, pos=(HOLE + 0.0005) * direction, quat=turned, **core)
