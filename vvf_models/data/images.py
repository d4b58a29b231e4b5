# SPDX-License-Identifier: Apache-2.0
"""Image resizing, one function for training and run time so that both see the same pixels."""

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
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f'images must be (B, H, W, 3) uint8, not {images.shape} {images.dtype}')
    height, width = images.shape[1:3]
    if height == 0 or width == 0:
        raise ValueError(f'images are empty: {images.shape}')
    if (height, width) != (size, size):
        shrinks = height >= size and width >= size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = np.empty((len(images), size, size, 3), np.uint8)
        for index, image in enumerate(images):
            resized[index] = cv2.resize(image, (size, size), interpolation=how)
        images = resized
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
