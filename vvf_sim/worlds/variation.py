# SPDX-License-Identifier: Apache-2.0
"""How what is trained on is kept apart from what is tried on: the two colours of a chess board.

The table is divided into squares of 3 cm, coloured like a chess board: `train` puts things only
on squares of one colour, `held_out` only on the other. The same is done for the table's colour,
in a grid of 12 hues by 4 brightnesses. So neither a place nor a table colour of `held_out` is
ever drawn by `train`; `any` draws from both.
"""

import colorsys

import numpy as np

from vvf_sim.errors import UserError
from vvf_sim.worlds.names import SETTINGS, Setting
from vvf_sim.worlds.object_kinds import Vector
from vvf_sim.worlds.spec import Looks

# Side of the squares that places are told apart by, metres.
CELL = 0.03
HUE_BANDS = 12
BRIGHTNESS_BANDS = 4
BRIGHTNESS = (0.35, 0.8)

Area = tuple[tuple[float, float], tuple[float, float]]


def check_setting(setting: str) -> None:
    """Check the name of a setting.

    Raises:
        UserError: it is unknown.
    """
    if setting not in SETTINGS:
        raise UserError(f'setting {setting!r} is unknown: use {", ".join(SETTINGS)}.')


def place_parity(x: float, y: float) -> int:
    """Colour, 0 or 1, of the square of the table that a place is on."""
    return int(np.floor(x / CELL) + np.floor(y / CELL)) % 2


def colour_parity(rgb: Vector) -> int:
    """Colour, 0 or 1, of the square of the hue and brightness grid that a table colour is on."""
    hue, _, brightness = colorsys.rgb_to_hsv(*rgb)
    low, high = BRIGHTNESS
    column = int(hue * HUE_BANDS) % HUE_BANDS
    row = int((brightness - low) / (high - low) * BRIGHTNESS_BANDS)
    return (column + row) % 2


def draw_place(
    setting: Setting, rng: np.random.Generator, area: Area, side: float = 1.0
) -> tuple[float, float]:
    """A place (x, y) in m that the setting allows.

    Args:
        setting: train, held_out or any.
        rng: what is drawn from.
        area: least and largest (x, y).
        side: 1, or -1 to mirror the area at the x axis.
    """
    while True:
        x, y = (float(v) for v in rng.uniform(*area))
        y *= side
        if _allowed(setting, place_parity(x, y)):
            return x, y


def draw_table_colour(setting: Setting, rng: np.random.Generator) -> Vector:
    """A colour of the table that the setting allows."""
    while True:
        hue, saturation = float(rng.uniform(0.0, 1.0)), float(rng.uniform(0.2, 0.5))
        rgb = colorsys.hsv_to_rgb(hue, saturation, float(rng.uniform(*BRIGHTNESS)))
        if _allowed(setting, colour_parity(rgb)):
            return rgb


def draw_looks(setting: Setting, rng: np.random.Generator) -> Looks:
    """Table colour and light, as a world varies them if nobody asks for more."""
    table = draw_table_colour(setting, rng)
    light = rng.uniform(-1.0, 1.0, 4)
    return Looks(
        table_colour=table,
        sky_colour=colour([0.55, 0.6, 0.65] + 0.08 * light[3]),
        light_direction=(0.3 * float(light[0]), -0.2 + 0.3 * float(light[1]), -1.0),
        light_strength=0.4 + 0.1 * float(light[2]),
        ambient=0.42 + 0.06 * float(light[3]),
    )


def colour(values: 'np.typing.ArrayLike') -> Vector:
    """An RGB colour of three numbers, clipped to what can be shown."""
    r, g, b = (float(v) for v in np.clip(values, 0.0, 1.0))
    return (r, g, b)


def _allowed(setting: Setting, parity: int) -> bool:
    return setting == 'any' or parity == (0 if setting == 'train' else 1)
