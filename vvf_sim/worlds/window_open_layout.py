# SPDX-License-Identifier: Apache-2.0
"""The window that is to be opened: what a seed decides about it, and where its handle is."""

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
from vvf_sim.worlds.variation import colour, draw_looks, draw_place
from vvf_sim.worlds.world_config import WorldConfig

Side = Literal['left', 'right', 'any']

# Middle of the frame, at its foot.
AREA = ((0.35, -0.03), (0.4, 0.03))
BAR_HALF = 0.009
HANDLE_HALF = 0.008
# From the sash to the handle's axis: room for a hand that hangs over the handle.
STANDOFF = 0.075

_FRAMES: tuple[Vector, ...] = ((0.9, 0.9, 0.88), (0.5, 0.34, 0.2), (0.3, 0.32, 0.35))
_OTHER_FRAMES: tuple[Vector, ...] = ((0.2, 0.4, 0.3), (0.55, 0.18, 0.2), (0.85, 0.72, 0.45))


@dataclass(frozen=True)
class WindowOpenConfig(WorldConfig):
    """What may vary.

    Attributes:
        side: the way the sash slides open as the robot sees it: left, right or any.
        n_distractors: other things about the window if the axis `distractors` is on, 1 to 4.
    """

    side: Side = 'left'
    n_distractors: int = 3

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            UserError: a name or number is not one that the world knows.
        """
        super().__post_init__()
        if self.side not in get_args(Side):
            raise UserError(f'side {self.side!r} is unknown: use {", ".join(get_args(Side))}.')
        if not 1 <= self.n_distractors <= 4:
            raise UserError(f'n_distractors is {self.n_distractors}: use 1 to 4.')


@dataclass(frozen=True)
class Window:
    """What a seed decides; lengths in m.

    The window's frame stands under its middle, x away from the arm, y to the left.

    Attributes:
        xy: of the window's frame in the table frame.
        yaw: of the window, rad.
        width: of the frame, outside.
        height: of the frame, outside.
        handle_top: height of the handle's upper end.
        side: 1 if the sash slides to the left, -1 to the right.
        round_handle: whether the handle is round instead of square.
        frame_colour: RGB.
        glass_colour: RGB.
        handle_colour: RGB.
        looks: table and light.
        start_xyz: of the tip in the table frame.
        start_yaw: of the gripper, rad.
        others: things that stand about.
    """

    xy: tuple[float, float]
    yaw: float
    width: float
    height: float
    handle_top: float
    side: int
    round_handle: bool
    frame_colour: Vector
    glass_colour: Vector
    handle_colour: Vector
    looks: Looks
    start_xyz: Array
    start_yaw: float
    others: tuple[Placed, ...]

    @property
    def sash_width(self) -> float:
        """Of the part that slides; it covers its half of the frame and a little more."""
        return self.width / 2

    @property
    def travel(self) -> float:
        """How far the sash slides."""
        return self.width / 2 - 0.04

    @property
    def handle_y(self) -> float:
        """Of the handle of the closed window in the window's frame."""
        return -self.side * (self.width / 2 - 2 * BAR_HALF - 0.015)

    def in_front(self, along: float, before: float, height: float) -> Array:
        """A place (3,) in the table frame.

        Args:
            along: from the closed window's handle, in the direction in which the sash opens.
            before: distance from the window's plane on the side of the arm.
            height: above the table.
        """
        place = np.array([-before, self.handle_y + self.side * along, height])
        return np.asarray(rotation_z(self.yaw) @ place + np.append(self.xy, 0.0))

    def seen_from(self, place: Array) -> tuple[float, float, float]:
        """`along`, `before` and `height` of a place (3,) of the table frame."""
        x, y, z = rotation_z(self.yaw).T @ (place - np.append(self.xy, 0.0))
        return self.side * float(y - self.handle_y), -float(x), float(z)


def draw_window(config: WindowOpenConfig, rng: np.random.Generator, seed: int) -> Window:
    """What a seed decides; the same generator state gives the same scene."""
    side = {'left': 1, 'right': -1, 'any': int(rng.choice([1, -1]))}[config.side]
    xy = draw_place(config.setting, rng, AREA, float(side))
    yaw = float(rng.uniform(-0.2, 0.2))
    width, height, top = (float(v) for v in rng.uniform([0.33, 0.2, 0.1], [0.38, 0.25, 0.13]))
    frame, glass, handle = _draw_colours(rng, _FRAMES)
    other = 'objects' in config.axes
    if other:
        frame, glass, handle = _draw_colours(axis_rng('objects', seed), _OTHER_FRAMES)
    looks = draw_looks(config.setting, rng)
    start = np.array([0.2, 0.0, 0.24]) + rng.uniform(-0.03, 0.03, 3)
    return Window(
        xy=xy,
        yaw=yaw,
        width=width,
        height=height,
        handle_top=top,
        side=side,
        round_handle=other,
        frame_colour=frame,
        glass_colour=glass,
        handle_colour=handle,
        looks=looks,
        start_xyz=start,
        start_yaw=float(rng.uniform(-0.15, 0.15)),
        others=_draw_others(config, seed) if 'distractors' in config.axes else (),
    )


def _draw_colours(
    rng: np.random.Generator, frames: tuple[Vector, ...]
) -> tuple[Vector, Vector, Vector]:
    """Of the frame, of the glass, and of a handle that stands out from the frame."""
    frame = frames[int(rng.integers(len(frames)))]
    glass = colour(np.array([0.76, 0.9, 0.94]) + rng.uniform(-0.06, 0.06, 3))
    handles = [c for c in PALETTE.values() if np.linalg.norm(np.subtract(c, frame)) > 0.4]
    return frame, glass, handles[int(rng.integers(len(handles)))]


def _draw_others(config: WindowOpenConfig, seed: int) -> tuple[Placed, ...]:
    """Things behind the window and near the arm's base, out of the hand's way."""
    rng = axis_rng('distractors', seed)
    kinds = rng.choice(OBJECT_NAMES, config.n_distractors, replace=False)
    colours = list(PALETTE.values())
    places = rng.permutation([(0.5, -0.12), (0.5, 0.12), (0.12, -0.22), (0.12, 0.22)])
    return tuple(
        Placed(
            kind=str(kind),
            xy=(float(place[0] + rng.uniform(-0.02, 0.04)), float(place[1])),
            yaw=float(rng.uniform(-np.pi, np.pi)),
            colour=colours[int(rng.integers(len(colours)))],
        )
        for kind, place in zip(kinds, places, strict=False)
    )
