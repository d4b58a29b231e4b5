# SPDX-License-Identifier: Apache-2.0
"""Frames and flow matching of ViVa: what goes into the transformer, and what its output costs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vvf_models.model_config import require

OUTPUTS = ('sample', 'velocity')
TIMES = 1000  # of Wan's schedule, for σ from 0 to 1
_LEAST_SIGMA = 0.02
_SAMPLE_SIGMA = 0.2  # below it an error of the sample counts no more than there


@dataclass(frozen=True)
class FlowConfig:
    """The part of ViVa's configuration that describes the flow."""

    output: str = 'sample'  # or 'velocity'
    sigma_shift: float = 5.0  # 1: uniform times
    full_noise: float = 0.9  # share of the samples at σ = 1
    denoising_steps: int = 1  # of an estimate
    noise_seed: int = 0  # of an estimate

    def check_flow(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        require(self.output in OUTPUTS, f'"output" must be one of {", ".join(OUTPUTS)}')
        require(self.sigma_shift > 0, '"sigma_shift" must be above 0')
        require(0 <= self.full_noise <= 1, '"full_noise" must lie in [0, 1]')
        require(self.denoising_steps >= 1, '"denoising_steps" must be at least 1')


def repeat_pad(vectors: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Fills frames (B, C, h, w) with copies of (B, D) vectors, the last of them cut off."""
    channels, height, width = shape
    entries = channels * height * width
    copies = -(-entries // vectors.shape[1])
    return vectors.repeat(1, copies)[:, :entries].reshape(-1, *shape)


def read_repeated(frames: Tensor, dim: int) -> Tensor:
    """The mean (B, D) of the whole copies in frames (B, C, h, w)."""
    flat = frames.flatten(1)
    copies = flat.shape[1] // dim
    return flat[:, : copies * dim].view(-1, copies, dim).mean(1)


def token_times(sigma: Tensor, n_clean: int, n_noisy: int, frame_tokens: int) -> Tensor:
    """Wan's time of every token, (B, tokens): 0 of the clean frames, 1000 σ of the noisy ones."""
    times = sigma.new_zeros(len(sigma), (n_clean + n_noisy) * frame_tokens)
    times[:, n_clean * frame_tokens :] = TIMES * sigma[:, None]
    return times


def shift_times(uniform: Tensor, shift: float) -> Tensor:
    """σ of times u in [0, 1]: s u / (1 + (s - 1) u), which for s > 1 prefers much noise."""
    return shift * uniform / (1 + (shift - 1) * uniform)


def schedule(config: FlowConfig) -> list[float]:
    """σ before each denoising step, from 1, and 0 at the end."""
    uniform = torch.linspace(1, 0, config.denoising_steps + 1, dtype=torch.float64, device='cpu')
    return [float(sigma) for sigma in shift_times(uniform, config.sigma_shift)]


def draw_sigma(count: int, config: FlowConfig) -> Tensor:
    """(count,) random shares of noise, from torch's global generator."""
    sigma = shift_times(torch.rand(count), config.sigma_shift)
    full = torch.rand(count) < config.full_noise
    return torch.where(full, 1.0, sigma).clamp(min=_LEAST_SIGMA)


def flow_loss(
    output: Tensor, clean: Tensor, noise: Tensor, sigma: Tensor, weight: Tensor, config: FlowConfig
) -> tuple[Tensor, Tensor]:
    """The flow-matching loss of some frames.

    An error of the sample, divided by σ, is the error of the velocity that it stands for.

    Args:
        output: (B, N, C, h, w) of the network, given (1 - σ) x + σ n.
        clean: x, the same shape.
        noise: n, the same shape.
        sigma: (B,).
        weight: (B, N); a frame of weight 0 is not known.
        config: Which output the network has.

    Returns:
        The sum over frames of weighted means over the batch, and those means without their
        weights, (N,), 0 where nothing is known.
    """
    if config.output == 'velocity':
        error = output.float() - (noise - clean)
    else:
        error = (output.float() - clean) / sigma.clamp(min=_SAMPLE_SIGMA)[:, None, None, None, None]
    squared = error.square().mean((2, 3, 4))
    known = (weight > 0).float()
    count = known.sum(0)
    loss = ((weight * squared).sum(0) / count.clamp(min=1)).sum()
    return loss, (known * squared).detach().sum(0) / count.clamp(min=1)
