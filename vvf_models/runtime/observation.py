# SPDX-License-Identifier: Apache-2.0
"""Observations as they come from cameras and joints, checked and turned into tensors."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.data.images import resize_images


def prepare_images(
    images: Mapping[str, NDArray[np.uint8]], cameras: Sequence[str], size: int
) -> list[Tensor]:
    """Images per camera as (B, 3, size, size) uint8, in the model's camera order.

    Args:
        images: Per camera, (B, H, W, 3) uint8 RGB, any H and W. Cameras that the model does not
            use are ignored.
        cameras: The model's cameras.
        size: The model's image side, in pixels.

    Raises:
        ValueError: A camera is missing, an array has a wrong shape or type, or counts differ.
    """
    missing = [camera for camera in cameras if camera not in images]
    if missing:
        raise ValueError(
            f'no image of camera "{missing[0]}"; the model needs {", ".join(cameras)}, '
            f'given: {", ".join(images) or "none"}'
        )
    counts = {len(images[camera]) for camera in cameras}
    if len(counts) > 1:
        raise ValueError(f'the cameras have different numbers of images: {sorted(counts)}')
    return [torch.from_numpy(resize_images(images[camera], size)) for camera in cameras]


def prepare_state(state: NDArray[np.floating] | None, dim: int, count: int) -> Tensor | None:
    """The state as (count, dim) float32, or None for a model that uses none.

    Raises:
        ValueError: It is missing, has a wrong shape, or holds NaN or infinity.
    """
    if dim == 0:
        return None
    if state is None:
        raise ValueError(f'the model needs a state of {dim} numbers, none was given')
    array = np.asarray(state, np.float32)
    if array.shape != (count, dim):
        raise ValueError(f'the state must be ({count}, {dim}), not {array.shape}')
    if not np.isfinite(array).all():
        raise ValueError('the state holds NaN or infinity')
    return torch.from_numpy(array)
