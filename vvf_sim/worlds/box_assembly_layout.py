# SPDX-License-Identifier: Apache-2.0
"""What a seed decides about the carton to be closed and what stands around it."""

import colorsys
from dataclasses import dataclass

import numpy as np

from vvf_sim.rotations import Array
from vvf_sim.worlds.domain import axis_rng
from vvf_sim.worlds.layout import Placed
from vvf_sim.worlds.names import Setting
from vvf_sim.worlds.object_kinds import PALETTE, Vector
from vvf_sim.worlds.objects import OBJECTS
from vvf_sim.worlds.spec import Looks
from vvf_sim.worlds.variation import Area, colour, draw_looks, draw_place

# Where the carton's middle may be, m, and how far it may be turned, rad.
AREA: Area = ((0.26, -0.1), (0.33, 0.1))
YAW = 0.4


@dataclass(frozen=True)
class Flap:
    """One of the four: its name, which way it points when open, and whether it is major."""

    name: str
    outward: tuple[float, float]
    major: bool


FLAPS = (
    Flap('near_minor', (-1.0, 0.0), False),
    Flap('far_minor', (1.0, 0.0), False),
    Flap('left_major', (0.0, 1.0), True),
    Flap('right_major', (0.0, -1.0), True),
)


@dataclass(frozen=True)
class Carton:
    """What a seed decides about the carton.

    Attributes:
        xy: of its middle, m.
        yaw: of its long side from the x axis, rad.
        half: half its length and width, m.
        height: of its walls, m.
        colour: of the board's outside.
        contents_colour: of what is packed in it.
        angles: (4,) of the open flaps, rad; 0 is flat.
    """

    xy: tuple[float, float]
    yaw: float
    half: tuple[float, float]
    height: float
    colour: Vector
    contents_colour: Vector
    angles: tuple[float, ...]

    @property
    def flap_length(self) -> float:
        """From the crease to the free edge, m."""
        return self.half[1] - 0.001


@dataclass(frozen=True)
class BoxLayout:
    """Everything that a seed decides; `start` is the tip's place (3,) in m and its yaw."""

    carton: Carton
    looks: Looks
    start: tuple[Array, float]
    distractors: tuple[Placed, ...]


def draw_layout(
    setting: Setting, axes: tuple[str, ...], seed: int, rng: np.random.Generator
) -> BoxLayout:
    """Draw the scene of a seed."""
    xy = draw_place(setting, rng, AREA)
    size = rng.uniform([0.054, 0.042, 0.05], [0.064, 0.048, 0.06])
    yaw = float(rng.uniform(-YAW, YAW))
    # From kraft to bleached board.
    hue, brightness = float(rng.uniform(0.06, 0.11)), float(rng.uniform(0.55, 0.85))
    board = colorsys.hsv_to_rgb(hue, float(rng.uniform(0.25, 0.6)), brightness)
    contents = PALETTE[str(rng.choice(list(PALETTE)))]
    if 'objects' in axes:
        other = axis_rng('objects', seed)
        # Printed cartons, of any colour that board does not have by itself.
        board = colorsys.hsv_to_rgb(float(other.uniform(0.25, 0.95)), 0.55, brightness)
    carton = Carton(
        xy=xy,
        yaw=yaw,
        half=(float(size[0]), float(size[1])),
        height=float(size[2]),
        colour=colour(board),
        contents_colour=contents,
        angles=tuple(float(v) for v in rng.uniform(2.0, 2.35, 4)),
    )
    jitter = rng.uniform(-1.0, 1.0, 4)
    start = np.array([0.22, 0.0, 0.21]) + 0.02 * jitter[:3]
    distractors = (
        _draw_distractors(xy, axis_rng('distractors', seed)) if ('distractors' in axes) else ()
    )
    return BoxLayout(carton, draw_looks(setting, rng), (start, 0.2 * float(jitter[3])), distractors)


def _draw_distractors(carton: tuple[float, float], rng: np.random.Generator) -> tuple[Placed, ...]:
    """Two or three things at the table's sides, out of the strokes' way."""
    placed: list[Placed] = []
    kinds = [str(kind) for kind in rng.choice(list(OBJECTS), 3, replace=False)]
    for kind in kinds[: int(rng.integers(2, 4))]:
        for _ in range(100):
            side = float(rng.choice([-1.0, 1.0]))
            xy = np.array([rng.uniform(0.15, 0.42), side * rng.uniform(0.12, 0.2)])
            others = [np.array(carton), *(np.array(other.xy) for other in placed)]
            limits = [0.17, *[0.09] * len(placed)]
            if all(np.hypot(*(xy - o)) > d for o, d in zip(others, limits, strict=True)):
                toy = PALETTE[str(rng.choice(list(PALETTE)))]
                shown = OBJECTS[kind].colour or toy
                yaw = float(rng.uniform(-np.pi, np.pi))
                placed.append(Placed(kind, (float(xy[0]), float(xy[1])), yaw, shown))
                break
    return tuple(placed)
