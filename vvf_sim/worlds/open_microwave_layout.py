# SPDX-License-Identifier: Apache-2.0
"""The microwave that is to be opened: what a seed decides about it, and where its parts are."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vvf_sim.errors import UserError
from vvf_sim.rotations import Array, rotation_z
from vvf_sim.worlds.domain import axis_rng
from vvf_sim.worlds.layout import Placed
from vvf_sim.worlds.object_kinds import PALETTE, Vector
from vvf_sim.worlds.objects import OBJECT_NAMES
from vvf_sim.worlds.spec import Looks
from vvf_sim.worlds.variation import draw_looks, draw_place
from vvf_sim.worlds.world_config import WorldConfig

Hinge = Literal['left', 'right', 'any']

# Middle of the front, so that the door's whole swing is in reach of every arm.
AREA = ((0.315, -0.03), (0.375, 0.05))
DOOR_HALF = 0.006
# From the door's middle plane to the bar's axis: room for a gripper that holds the bar.
STANDOFF = 0.038

_BODIES: tuple[Vector, ...] = ((0.88, 0.88, 0.86), (0.62, 0.64, 0.67), (0.75, 0.2, 0.16))
_OTHER_BODIES: tuple[Vector, ...] = ((0.16, 0.3, 0.5), (0.35, 0.5, 0.32), (0.9, 0.75, 0.35))


@dataclass(frozen=True)
class OpenMicrowaveConfig(WorldConfig):
    """What may vary.

    Attributes:
        hinge: side of the door's hinge as the robot sees it: left, right or any.
        n_distractors: other things beside the microwave if the axis `distractors` is on, 1 to 4.
    """

    hinge: Hinge = 'left'
    n_distractors: int = 3

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            UserError: a name or number is not one that the world knows.
        """
        super().__post_init__()
        if self.hinge not in get_args(Hinge):
            raise UserError(f'hinge {self.hinge!r} is unknown: use {", ".join(get_args(Hinge))}.')
        if not 1 <= self.n_distractors <= 4:
            raise UserError(f'n_distractors is {self.n_distractors}: use 1 to 4.')


@dataclass(frozen=True)
class Microwave:
    """What a seed decides; lengths in m.

    The microwave's frame stands under the middle of its front, x into the box. The door's frame
    turns with the door: its origin is on the hinge, the closed door lies along -y (hinge on the
    left) or y, and -x is outside.

    Attributes:
        xy: of the microwave's frame in the table frame.
        yaw: of the microwave, rad.
        size: depth, width and height of the box.
        door_width: of the door, the rest of the front is a panel.
        side: 1 if the hinge is on the left, -1 on the right.
        round_handle: whether the bar is round instead of square.
        body_colour: RGB.
        handle_colour: RGB.
        looks: table and light.
        start_xyz: of the tip in the table frame.
        start_yaw: of the gripper, rad.
        others: things that stand about.
    """

    xy: tuple[float, float]
    yaw: float
    size: Vector
    door_width: float
    side: int
    round_handle: bool
    body_colour: Vector
    handle_colour: Vector
    looks: Looks
    start_xyz: Array
    start_yaw: float
    others: tuple[Placed, ...]

    @property
    def hinge(self) -> Vector:
        """Place of the hinge in the microwave's frame."""
        return (-DOOR_HALF, self.side * self.size[1] / 2, 0.0)

    @property
    def handle_radius(self) -> float:
        """Distance of the handle from the hinge along the door."""
        return self.door_width - 0.022

    @property
    def top(self) -> float:
        """Height of the box and of the handle's upper end."""
        return self.size[2]

    def along(self, radius: float, outside: float, height: float) -> Array:
        """A place (3,) in the door's frame.

        Args:
            radius: distance from the hinge along the door.
            outside: distance from the door's middle plane, negative on the side of the box.
            height: above the table.
        """
        return np.array([-outside, -self.side * radius, height])

    def door_frame(self, place: Array, yaw: float, angle: float) -> tuple[Array, float]:
        """Origin (3,) and yaw of the door's frame at an opening angle, in the table frame.

        Args:
            place: (3,) of the microwave now.
            yaw: of the microwave now.
            angle: of the door, rad; 0 is shut.
        """
        return place + rotation_z(yaw) @ self.hinge, yaw - self.side * angle


def draw_microwave(config: OpenMicrowaveConfig, rng: np.random.Generator, seed: int) -> Microwave:
    """What a seed decides; the same generator state gives the same scene."""
    side = {'left': 1, 'right': -1, 'any': int(rng.choice([1, -1]))}[config.hinge]
    xy = draw_place(config.setting, rng, AREA, float(side))
    yaw = side * float(rng.uniform(-0.2, 0.15))
    depth, width, height = (float(v) for v in rng.uniform([0.14, 0.25, 0.13], [0.17, 0.28, 0.15]))
    door_width = float(rng.uniform(0.68, 0.74)) * width
    body, handle = _draw_colours(rng, _BODIES)
    other = 'objects' in config.axes
    if other:
        body, handle = _draw_colours(axis_rng('objects', seed), _OTHER_BODIES)
    looks = draw_looks(config.setting, rng)
    start = np.array([0.22, 0.0, 0.24]) + rng.uniform(-0.025, 0.025, 3)
    return Microwave(
        xy=xy,
        yaw=yaw,
        size=(depth, width, height),
        door_width=door_width,
        side=side,
        round_handle=other,
        body_colour=body,
        handle_colour=handle,
        looks=looks,
        start_xyz=start,
        start_yaw=float(rng.uniform(-0.15, 0.15)),
        others=_draw_others(config, seed) if 'distractors' in config.axes else (),
    )


def _draw_colours(rng: np.random.Generator, bodies: tuple[Vector, ...]) -> tuple[Vector, Vector]:
    """Of the body, and of a handle that stands out from it."""
    body = bodies[int(rng.integers(len(bodies)))]
    handles = [c for c in PALETTE.values() if np.linalg.norm(np.subtract(c, body)) > 0.4]
    return body, handles[int(rng.integers(len(handles)))]


def _draw_others(config: OpenMicrowaveConfig, seed: int) -> tuple[Placed, ...]:
    """Things to the left and right, out of the way of door and arm."""
    rng = axis_rng('distractors', seed)
    kinds = rng.choice(OBJECT_NAMES, config.n_distractors, replace=False)
    colours = list(PALETTE.values())
    return tuple(
        Placed(
            kind=str(kind),
            xy=(
                0.18 + 0.2 * (index // 2) + float(rng.uniform(0.0, 0.1)),
                (-1.0) ** index * float(rng.uniform(0.25, 0.3)),
            ),
            yaw=float(rng.uniform(-np.pi, np.pi)),
            colour=colours[int(rng.integers(len(colours)))],
        )
        for index, kind in enumerate(kinds)
    )
