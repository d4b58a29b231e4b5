# SPDX-License-Identifier: Apache-2.0
"""What a garment looks like: a picture of its front beside one of its inner side."""

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_sim.rotations import Array
from vvf_sim.worlds.cloth_garments import CELL_M, Garment

# Pixels of a cell: MuJoCo wants widths that are multiples of four for three channels.
_PIXELS = 8
# The outline is two cells smaller on each side than the picture, whose sides are hue and pale.
_PALE = 0.62


@dataclass(frozen=True)
class Fabric:
    """Colours of a garment.

    Attributes:
        hue: of the front, in [0, 1].
        brightness: of the front.
        trim: how far round the hues sleeves, waist, hems and collar are.
    """

    hue: float
    brightness: float
    trim: float

    def colour(self, zone: str) -> Array:
        """RGB (3,) of a zone's front."""
        turns = {'b': 0.0, 's': 0.5 * self.trim, 'w': 0.5 * self.trim}
        saturation = 0.75 if zone in turns else 0.35
        hue = (self.hue + turns.get(zone, self.trim)) % 1.0
        value = self.brightness if zone in turns else 1.0 - 0.5 * self.brightness
        return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def draw_fabric(rng: np.random.Generator, held_out: bool) -> Fabric:
    """Colours of a seed's garment; held-out ones are of the hues between those for training."""
    sixth = (float(rng.integers(6)) + rng.uniform(0.0, 0.5) + 0.5 * held_out) / 6
    return Fabric(sixth, float(rng.uniform(0.55, 0.85)), float(rng.uniform(0.3, 0.7)))


def picture(garment: Garment, fabric: Fabric) -> NDArray[np.uint8]:
    """RGB (rows, 2 columns, 3): the front as seen with the collar up, then the inner side.

    The inner side is not mirrored: both halves have v from right to left.
    """
    front = np.ones((garment.rows, garment.columns, 3)) * fabric.colour('b')
    for row, zones in enumerate(garment.cells):
        for column, zone in enumerate(zones):
            front[row, column] = fabric.colour(zone if zone != '.' else 'b')
    front = front.repeat(_PIXELS, axis=0).repeat(_PIXELS, axis=1)
    _print(front, fabric)
    inner = front * (1.0 - _PALE) + _PALE
    return np.asarray(np.hstack([front, inner]) * 255.0).astype(np.uint8)


def coordinates(garment: Garment, inner: bool) -> Array:
    """Texture coordinates (n, 2) of the vertices on one of the sides."""
    size = np.array([garment.rows, garment.columns]) * CELL_M
    u, v = (garment.places / size + 0.5).T
    half = 0.5 * (1.0 - v)
    # A little inside, or the edges would mix with the other half.
    return np.stack([np.clip(half, 0.005, 0.495) + 0.5 * inner, 1.0 - u], axis=1)


def _print(front: Array, fabric: Fabric) -> None:
    """A light stripe down the middle of the front, which tells left from right when folded."""
    middle = front.shape[1] // 2
    front[2 * _PIXELS : -2 * _PIXELS, middle - 3 : middle + 3] = 0.5 + 0.5 * fabric.colour('b')
