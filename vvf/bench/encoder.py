# SPDX-License-Identifier: Apache-2.0
"""What a value model's encoder can do on this machine, with nothing else in its way.

`vvf bench relabel` holds its frames per second against these figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

PEAK_TYPES = ('float32', 'bfloat16')
_ROUNDS = 7
_SIDE = 1024  # of the matrices: 2 G float operations, some hundredths of a second on one core


def matmul_peak_gflops(dtype: str = 'float32') -> float:
    """Float operations per second of torch's matrix product, in 1e9, with its threads as set.

    Args:
        dtype: One of `PEAK_TYPES`.

    Raises:
        ValueError: Another type.
    """
    import torch

    if dtype not in PEAK_TYPES:
        raise ValueError(f'dtype must be one of {", ".join(PEAK_TYPES)}, not {dtype}')
    matrix = torch.rand(_SIDE, _SIDE).to(getattr(torch, dtype))
    return 2 * _SIDE**3 / _quickest(lambda: matrix @ matrix) / 1e9


def encoder_rate(runtime: Any, batch: int = 32, size: int | None = None) -> float:
    """Observations encoded per second, in batches that lie in memory already.

    Args:
        runtime: A `vvf_models.runtime.ValueRuntime`, on the engine in question.
        batch: Observations at once.
        size: Side of the images in pixels; default: that of the model, so none is scaled.
    """
    side = size or runtime.image_size
    noise = np.random.default_rng(0)
    images = {
        camera: noise.integers(0, 256, (batch, side, side, 3), np.uint8)
        for camera in runtime.cameras
    }
    state = np.zeros((batch, runtime.state_dim), np.float32) if runtime.state_dim else None
    return batch / _quickest(lambda: runtime.encode(images, state))


def encoder_gflop(runtime: Any) -> float:
    """Float operations of the encoders per observation, in 1e9; see `parts.operations`."""
    from vvf_models.runtime.parts import operations

    return operations(runtime.model) / 1e9


def _quickest(work: Callable[[], object]) -> float:
    """Seconds of the quickest of some rounds: what others do meanwhile only ever takes longer."""
    work()
    took = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)
