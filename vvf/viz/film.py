# SPDX-License-Identifier: Apache-2.0
"""Pictures for film strips: few, small, and smaller where a page has many episodes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from vvf.images import encode_jpeg

UInt8Array = npt.NDArray[np.uint8]


class FilmFormat(NamedTuple):
    """How many pictures a strip has, how wide they are, and the quality of their JPEG."""

    pictures: int = 8
    width: int = 200
    quality: int = 82


def film_format(episodes: int) -> FilmFormat:
    """What keeps a page of so many episodes within its limits."""
    if episodes <= 100:
        return FilmFormat()
    return FilmFormat(8, 144, 75) if episodes <= 400 else FilmFormat(6, 112, 70)


def film_spots(frames: int, form: FilmFormat) -> npt.NDArray[np.int64]:
    """Which frames are shown: the first, the last, and some between them."""
    return np.unique(
        np.linspace(0, frames - 1, min(form.pictures, frames)).round().astype(np.int64)
    )


def film_picture(image: UInt8Array, form: FilmFormat) -> bytes:
    """One frame (H, W, 3) as a small JPEG."""
    return encode_jpeg(fitted(image, form.width), form.quality)


def fitted(image: UInt8Array, width: int) -> UInt8Array:
    """An image at most so wide; smaller ones stay as they are."""
    if image.shape[1] <= width:
        return image
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def save_few_colours(image: UInt8Array, path: Path) -> None:
    """Write an image (H, W, 3) as a PNG of 256 colours, a third as large; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    few = Image.fromarray(image).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, 'png', optimize=True)
