# SPDX-License-Identifier: Apache-2.0
"""Image augmentation on whole batches: shift, random resized crop, colour jitter.

The operations are kornia's, but for the shift. Their parameters are drawn here, all of them from
the generator given, so that a resumed run repeats itself: kornia's own modules draw from the global
one, which a thread that prepares batches would share with the training loop.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Images at once: with temporaries of a few MB a batch of 256 takes 13 ms on a core, not 15 to 35.
_AT_ONCE = 32


@dataclass(frozen=True)
class Augmentation:
    """How strongly images are disturbed; 0 or () switches a disturbance off.

    Attributes:
        shift: Largest shift in pixels, in x and y, with the border repeated.
        crop_scale: Least and largest area of a random crop that is scaled back to the whole.
        crop_ratio: Least and largest width over height of that crop, by default as ViVa (arXiv
            2503.18210) has it on video; VIP's and R3M's are 3/4 and 4/3.
        brightness: Largest offset, where images span 0..1.
        contrast: Largest deviation from 1 of the factor about an image's mean grey.
        saturation: Largest deviation from 1 of the factor of the saturation.
        hue: Largest turn of the hue, as a share of a full turn.
        jitter_probability: Of changing an image's brightness, contrast, saturation and hue at all.
    """

    shift: int = 0
    crop_scale: tuple[float, ...] = ()
    crop_ratio: tuple[float, ...] = (0.9, 1.1)
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter_probability: float = 1.0


def to_float(images: Tensor) -> Tensor:
    """(B, 3, S, S) uint8 to float32 in [-1, 1]."""
    return images.float().mul_(1 / 127.5).sub_(1.0)


def augment(
    images: Tensor,
    how: Augmentation,
    generator: torch.Generator,
    groups: Tensor | None = None,
) -> Tensor:
    """Shifts, crops and recolours images at random, in this order.

    Every number is uniform: offsets and turns about 0, factors about 1. Brightness comes first,
    then contrast, saturation and hue, always; torchvision draws that order too.

    Args:
        images: (B, 3, S, S) uint8.
        how: The strengths.
        generator: Source of every disturbance.
        groups: (B,) frames with the same number are disturbed alike, as VIP does with the frames
            of one clip; None: every frame by itself.

    Returns:
        The same shape, float32 in [-1, 1].
    """
    if groups is None:
        count, member = len(images), torch.arange(len(images))
    else:
        numbers, member = torch.unique(groups, return_inverse=True)
        count = len(numbers)
    draws = {name: drawn[member] for name, drawn in _draw(how, count, generator).items()}
    if not draws:
        return to_float(images)
    result = torch.empty(images.shape)
    for start in range(0, len(images), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        few = {name: drawn[part] for name, drawn in draws.items()}
        result[part] = _disturb(images[part], few)
    return result


def _draw(how: Augmentation, count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """What becomes of `count` images: the arguments of the operations, (count, ...) each."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    draws = {}
    if how.shift:
        reach = 2 * how.shift + 1
        draws['offset'] = torch.randint(reach, (count, 2), generator=generator) - how.shift
    if how.crop_scale:
        draws['area'] = uniform(*how.crop_scale)
        draws['ratio'] = uniform(*(math.log(bound) for bound in how.crop_ratio)).exp()
        draws['x'], draws['y'] = uniform(0, 1), uniform(0, 1)
    # What is not to be recoloured gets the argument that changes nothing.
    some = (uniform(0, 1) < how.jitter_probability).float()
    for name, neutral, unit in (
        ('brightness', 0, 1.0),
        ('contrast', 1, 1.0),
        ('saturation', 1, 1.0),
        ('hue', 0, 2 * math.pi),
    ):
        strength = getattr(how, name) * unit
        if strength:
            draws[name] = neutral + some * uniform(-strength, strength)
    return draws


def _disturb(images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """Does to (B, 3, S, S) uint8 what was drawn; float32 in [-1, 1]."""
    from kornia.color import hsv_to_rgb, rgb_to_hsv
    from kornia.enhance import (
        adjust_brightness,
        adjust_contrast_with_mean_subtraction,
        adjust_hue_raw,
        adjust_saturation_raw,
    )

    if 'offset' in draws:
        images = shift_images(images, draws['offset'])
    pixels = images.float().mul_(1 / 255)
    if 'area' in draws:
        pixels = crop_images(pixels, *(draws[name] for name in ('area', 'ratio', 'x', 'y')))
    if 'brightness' in draws:
        pixels = adjust_brightness(pixels, draws['brightness'])
    if 'contrast' in draws:
        pixels = adjust_contrast_with_mean_subtraction(pixels, draws['contrast'])
    if 'saturation' in draws or 'hue' in draws:
        # There and back takes five times as long as all the rest, so both share one way.
        hsv = rgb_to_hsv(pixels)
        if 'saturation' in draws:
            hsv = adjust_saturation_raw(hsv, draws['saturation'])
        if 'hue' in draws:
            hsv = adjust_hue_raw(hsv, draws['hue'])
        pixels = hsv_to_rgb(hsv)
    return pixels.mul_(2.0).sub_(1.0)


def shift_images(images: Tensor, offsets: Tensor) -> Tensor:
    """Moves each image by its own number of pixels, repeating the border (DrQ, arXiv 2004.13649).

    Indexing, not kornia: a batch of 256 images of 64 pixels takes 3 ms on a core, its crop of
    padded images 4 to 24 ms, its translation 11 ms.

    Args:
        images: (B, C, H, W), any type.
        offsets: (B, 2) int64, by how much the view moves down and to the right, in pixels.

    Returns:
        The moved images, of the same shape and type.
    """
    batch, channels, height, width = images.shape
    rows = (torch.arange(height) + offsets[:, :1]).clamp_(0, height - 1)
    columns = (torch.arange(width) + offsets[:, 1:]).clamp_(0, width - 1)
    pixels = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, -1)
    moved = images.flatten(2).gather(2, pixels.expand(-1, channels, -1))
    return moved.view(batch, channels, height, width)


def crop_images(images: Tensor, area: Tensor, ratio: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Cuts a rectangle out of each image and scales it back to the whole, bilinearly.

    A rectangle that would not fit is narrowed; torchvision draws again.

    Args:
        images: (B, C, S, S) float.
        area: (B,) share of the image.
        ratio: (B,) width over height.
        x: (B,) where the rectangle lies, from 0 (left) to 1 (right).
        y: (B,) the same from 0 (top) to 1 (bottom).

    Returns:
        (B, C, S, S).
    """
    from kornia.geometry.transform import crop_and_resize

    size = images.shape[-1]
    # Corners are the middles of pixels, so that a whole image spans size - 1.
    span = size - 1
    width = (area * ratio).sqrt().clamp(max=1.0) * span
    height = (area / ratio).sqrt().clamp(max=1.0) * span
    left, top = x * (span - width), y * (span - height)
    right, bottom = left + width, top + height
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    boxes = torch.stack([torch.stack(corner, 1) for corner in corners], 1)
    cropped: Tensor = crop_and_resize(images, boxes, (size, size), padding_mode='border')
    return cropped
