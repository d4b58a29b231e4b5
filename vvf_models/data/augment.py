# SPDX-License-Identifier: Apache-2.0
"""Image augmentation on whole batches: a shift, and brightness, contrast and colour casts.

Every random number comes from the generator given, so that a resumed run repeats itself.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How strongly images are disturbed; 0 switches a disturbance off.

    Attributes:
        shift: Largest shift in pixels, in x and y, with the border repeated.
        contrast: Standard deviation of the factor per image.
        brightness: Standard deviation of the offset per image, where images span -1..1.
        colour: Standard deviation of a further factor and offset per channel.
    """

    shift: int = 0
    contrast: float = 0.0
    brightness: float = 0.0
    colour: float = 0.0


def to_float(images: Tensor) -> Tensor:
    """(B, 3, S, S) uint8 to float32 in [-1, 1]."""
    return images.float().mul_(1 / 127.5).sub_(1.0)


def random_shift(images: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Shifts each image by its own number of pixels, repeating the border (DrQ, arXiv 2004.13649).

    Args:
        images: (B, C, S, S), any type.
        shift: Largest shift, in pixels.
        generator: Source of the shifts.

    Returns:
        The shifted images, of the same shape and type.
    """
    if shift == 0:
        return images
    batch, channels, height, width = images.shape
    offsets = torch.randint(-shift, shift + 1, (2, batch, 1), generator=generator)
    rows = (torch.arange(height) + offsets[0]).clamp_(0, height - 1)
    columns = (torch.arange(width) + offsets[1]).clamp_(0, width - 1)
    # One gather over flat pixels is three times faster than padding and cutting windows.
    pixels = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, -1)
    shifted = images.flatten(2).gather(2, pixels.expand(-1, channels, -1))
    return shifted.view(batch, channels, height, width)


def augment(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Shifts images, then multiplies and offsets each image and each of its channels at random.

    Args:
        images: (B, 3, S, S) uint8.
        how: The strengths.
        generator: Source of the disturbance.

    Returns:
        The same shape and memory layout, float32, in [-1, 1] but for the disturbance.
    """
    shifted = random_shift(images, how.shift, generator)
    noise = torch.randn((len(images), 8, 1, 1), generator=generator)
    factor = 1 + how.contrast * noise[:, :1] + how.colour * noise[:, 2:5]
    offset = how.brightness * noise[:, 1:2] + how.colour * noise[:, 5:8]
    # One pass over the pixels: factor * (x / 127.5 - 1) + offset.
    return shifted.float().mul_(factor / 127.5).add_(offset - factor)
