# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking: a flow policy's next chunk goes on from the one that is being executed.

Black, Galliker and Levine, arXiv 2506.07339. While the policy computes, the first steps of its new
chunk are executed as the last chunk had them: they are frozen. Sampling is inpainting, guided by
what each velocity leads to: with A the chunk at time t and A1 = A + (1 - t) v its estimated end,

    v + min(beta, (1 - t) / (t r2)) (Y - A1)^T diag(W) dA1/dA,    r2 = (1-t)^2 / (t^2 + (1-t)^2),

eq. 2 to 4, Y the last chunk from the observation on, W the soft mask of eq. 5. No training is
needed. Frozen steps are at last set to what they are, since they are executed like that anyway.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vvf_models.policies.flow import integrate

MOST_GUIDANCE = 5.0  # beta; the paper's sec. A.2

Velocity = Callable[[Tensor, Tensor], Tensor]


def soft_mask(horizon: int, frozen: int, overlap: int) -> Tensor:
    """How firmly each step is held to the last chunk, (horizon,) in [0, 1]; eq. 5.

    Args:
        horizon: Steps of a chunk.
        frozen: Steps that are executed whatever is sampled: weight 1.
        overlap: Steps that the last chunk knew: from `frozen` to here the weight falls to 0.
    """
    step = torch.arange(horizon, dtype=torch.float32)
    part = (overlap - step) / (overlap - frozen + 1)
    falling = part * torch.expm1(part) / math.expm1(1.0)
    return torch.where(step < frozen, 1.0, torch.where(step < overlap, falling, 0.0))


def steered(
    velocity: Velocity, previous: Tensor, mask: Tensor, most: float = MOST_GUIDANCE
) -> Velocity:
    """The velocity that leads to a chunk that goes on from the last one.

    Args:
        velocity: Of chunks (B, H, A) at times (B,).
        previous: (B, H, A) what to go on from; beyond the mask it is not looked at.
        mask: (H,) of `soft_mask`.
        most: Largest weight of the guidance.
    """

    def led(chunk: Tensor, time: Tensor) -> Tensor:
        t = time[:, None, None]
        with torch.enable_grad():
            noisy = chunk.detach().requires_grad_()
            found = velocity(noisy, time)
            end = noisy + (1 - t) * found
            error = (previous - end.detach()) * mask[:, None]
            (pull,) = torch.autograd.grad(end, noisy, error)
        weight = ((t**2 + (1 - t) ** 2) / (t * (1 - t))).clamp(max=most)
        return found.detach() + weight * pull

    return led


def continue_chunk(
    velocity: Velocity,
    noise: Tensor,
    previous: Tensor,
    frozen: int,
    steps: int,
    most: float = MOST_GUIDANCE,
) -> Tensor:
    """Draws chunks (B, H, A) that go on from the last ones.

    Not within `torch.inference_mode`: gradients are needed.

    Args:
        velocity: Of chunks (B, H, A) at times (B,).
        noise: (B, H, A) standard normal.
        previous: (B, K, A) scaled steps of the last chunk from the observation on, K <= H.
        frozen: How many of them are executed in any case.
        steps: Of Euler's method.
        most: Largest weight of the guidance.
    """
    horizon, overlap = noise.shape[1], previous.shape[1]
    if not overlap:
        return integrate(velocity, noise, steps)
    frozen = min(frozen, overlap)  # beyond it nothing is known that could be held to
    known = torch.zeros_like(noise)
    known[:, :overlap] = previous
    mask = soft_mask(horizon, frozen, overlap).to(noise.device)
    drawn = integrate(steered(velocity, known, mask, most), noise, steps)
    held = torch.arange(horizon, device=noise.device) < frozen
    return torch.where(held[:, None], known, drawn)
