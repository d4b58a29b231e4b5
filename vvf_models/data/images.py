# SPDX-License-Identifier: Apache-2.0
"""Image resizing, the same for training and run time so that both see the same pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray


def resize_images(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Scales images to a square.

    Shrinking averages areas, so that small objects fade instead of vanishing; enlarging is
    bilinear. An oblong image is squeezed, not cropped: nothing at its borders is lost.

    Args:
        images: (B, H, W, 3) uint8.
        size: Side in pixels.

    Returns:
        (B, 3, size, size) uint8, contiguous.

    Raises:
        ValueError: The images have another shape or type.
    """
    _check(images)
    height, width = images.shape[1:3]
    if (height, width) != (size, size):
        shrinks = height >= size and width >= size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = np.empty((len(images), size, size, 3), np.uint8)
        for index, image in enumerate(images):
            resized[index] = cv2.resize(image, (size, size), interpolation=how)
        images = resized
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def crop_clip_images(
    images: NDArray[np.uint8], size: int, *, short_side: int = 256, crop: int = 224
) -> NDArray[np.uint8]:
    """Cuts the middle square out of a video's frames, as R3M and VIP prepare Ego4D.

    They scale the shorter side to 256 pixels, cut 224 x 224 out of the middle and scale that to
    the model's size. Here the same square, crop / short_side of the shorter side, is cut first
    and scaled once: what is seen is the same, with one blur less and at most half the work.

    Args:
        images: (B, H, W, 3) uint8.
        size: Side in pixels.
        short_side: What the shorter side stands for.
        crop: Side of the middle square, where the shorter side is short_side.

    Returns:
        (B, 3, size, size) uint8, contiguous.

    Raises:
        ValueError: The images have another shape or type, or crop is not in 1..short_side.
    """
    _check(images)
    if not 0 < crop <= short_side:
        raise ValueError(f'crop must be in 1..{short_side}, not {crop}')
    height, width = images.shape[1:3]
    side = max(1, round(min(height, width) * crop / short_side))
    top, left = (height - side) // 2, (width - side) // 2
    return resize_images(images[:, top : top + side, left : left + side], size)


def _check(images: NDArray[np.uint8]) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f'images must be (B, H, W, 3) uint8, not {images.shape} {images.dtype}')
    if 0 in images.shape[1:3]:
        raise ValueError(f'images are empty: {images.shape}')
