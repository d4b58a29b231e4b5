# SPDX-License-Identifier: Apache-2.0
"""How long a value takes, measured here and now."""

import statistics
import time

import torch

from vvf_models.values.base import Goal, ValueModel


@torch.inference_mode()
def ms_per_frame(model: ValueModel, goal: Goal, batch: int, *, seconds: float = 0.5) -> float:
    """Milliseconds per frame from images to values: the median over calls.

    Images are noise, and on the model's device already: neither decoding nor scaling is in it.

    Args:
        model: The value function.
        goal: What to measure against, such as any of those of the data.
        batch: Frames in a call.
        seconds: How long to measure, after one call to warm up; at least three calls.
    """
    config, device = model.config, model.device
    noise = torch.Generator().manual_seed(0)
    size = (batch, 3, config.image_size, config.image_size)
    images = [(torch.rand(size, generator=noise) * 2 - 1).to(device) for _ in config.cameras]
    state = torch.zeros(batch, config.state_dim, device=device) if config.state_dim else None
    goal = goal.to(device)
    times: list[float] = []
    begun = 0.0
    while len(times) < 4 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        value, _ = model.estimate(model.encode(images, state), goal)
        value.cpu()  # waits for a GPU
        times.append(time.perf_counter() - start)
        begun = begun or time.perf_counter()
    return 1e3 * statistics.median(times[1:]) / batch
