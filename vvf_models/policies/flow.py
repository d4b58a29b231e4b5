# SPDX-License-Identifier: Apache-2.0
"""Conditional flow matching of action chunks (Lipman et al., arXiv 2210.02747; pi0, 2410.24164).

A chunk x at time t lies on the straight line from noise e (t = 0) to an action chunk a (t = 1),

    x_t = (1 - t) e + t a,        v = a - e,

and a network learns its velocity v. Integrating that from t = 0 draws a chunk; unlike a regression
it need not average where demonstrations disagree.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_LAST_TIME = 0.999  # pi0's s: at t = 1 there is nothing left to learn


def draw_time(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Times (count,) in [0, .999], more of the noisy ones: 1 - Beta(1.5, 1), pi0's app. B."""
    uniform = torch.rand(count, generator=generator)
    return _LAST_TIME * (1 - uniform ** (1 / 1.5))


def interpolate(noise: Tensor, chunk: Tensor, time: Tensor) -> Tensor:
    """Chunks (..., H, A) on their ways from noise (..., H, A), at times (...)."""
    t = time[..., None, None]
    return (1 - t) * noise + t * chunk


def flow_loss(
    velocity: Tensor, noise: Tensor, chunk: Tensor, counted: Tensor | None = None
) -> Tensor:
    """Mean squared error of velocities (..., H, A), of the steps (..., H) that count."""
    error = (velocity.float() - (chunk - noise)).square().mean(-1)
    if counted is None:
        return error.mean()
    weight = counted.expand(error.shape).to(error)
    return (error * weight).sum() / weight.sum().clamp(min=1)


def guided(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance: u + beta (c - u); RECAP's sec. IV-B. Beta 1 is `conditional`."""
    return unconditional + guidance * (conditional - unconditional)


def integrate(velocity: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Chunks (B, H, A) from noise, by Euler's method.

    Args:
        velocity: Of chunks (B, H, A) at times (B,).
        noise: Where to begin.
        steps: How many, of equal length.
    """
    chunk = noise
    for step in range(steps):
        time = torch.full((len(noise),), step / steps, device=noise.device)
        chunk = chunk + velocity(chunk, time) / steps
    return chunk
