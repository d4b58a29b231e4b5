# SPDX-License-Identifier: Apache-2.0
"""Two encoders small enough to learn and run on one CPU core.

Sizes are those that learned in minutes on two cores; both keep *where* things are: one as
coordinates (good for acting), one by flattening the last feature map (good for judging).
"""

import torch
from torch import Tensor, nn


class SpatialSoftmaxEncoder(nn.Module):
    """Four convolutions, then the expected position of each feature.

    After Levine et al., arXiv 1504.00702; the temperature is learned, and the softly pooled
    feature is given beside its coordinates, which tells whether the thing is there at all. A
    `light` one has a single convolution of stride 4 instead of the first two, for half the time.

    Input (B, 3, S, S) in [-1, 1], S a multiple of 4; output (B, 3 * width).
    """

    def __init__(self, image_size: int, width: int = 32, *, light: bool = False) -> None:
        """Builds the layers."""
        super().__init__()
        fine = [nn.Conv2d(3, width, 5, 2, 2), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1)]
        self.layers = nn.Sequential(
            *([nn.Conv2d(3, width, 8, 4, 2)] if light else fine),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
        )
        side = image_size // 4
        axis = torch.linspace(-1, 1, side)
        y, x = torch.meshgrid(axis, axis, indexing='ij')
        self.register_buffer('grid', torch.stack([x.flatten(), y.flatten()], 1), persistent=False)
        self.temperature = nn.Parameter(torch.ones(1))
        self.output_dim = 3 * width

    def forward(self, images: Tensor) -> Tensor:
        """Coordinates (x, y of each feature in turn), then the pooled features."""
        features = self.layers(images).flatten(2).float()  # (B, C, side * side)
        attention = (features * self.temperature).softmax(-1)
        positions = attention @ self.grid
        return torch.cat([positions.flatten(1), (attention * features).sum(-1)], 1)


class FlattenEncoder(nn.Module):
    """Strided convolutions with GroupNorm, flattened into one layer.

    Input (B, 3, S, S) in [-1, 1]; output (B, output_dim) in (-1, 1), or, for an output_dim of 0,
    the flattened map itself. The strides are 4, 2, 2, and once more 2 above 64 px. `fine` makes two
    strides of 2 of the first, which sees objects of three or four pixels, for more than twice the
    time.
    """

    def __init__(
        self, image_size: int, output_dim: int = 256, width: int = 32, *, fine: bool = False
    ) -> None:
        """Builds the layers."""
        super().__init__()
        if fine:
            stem = [*_block(3, width, 4, 2, 1), *_block(width, 3 * width // 2, 4, 2, 1)]
            previous = 3 * width // 2
        else:
            stem, previous = _block(3, width, 8, 4, 2), width
        kernel = (4, 2, 1) if not fine else (3, 2, 1)
        blocks = [
            *stem,
            *_block(previous, 2 * width, *kernel),
            *_block(2 * width, 2 * width, 3, 2, 1),
        ]
        if image_size > 64:
            blocks += _block(2 * width, 2 * width, 3, 2, 1)
        self.layers = nn.Sequential(*blocks, nn.Flatten())
        with torch.no_grad():
            flat = self.layers(torch.zeros(1, 3, image_size, image_size)).shape[1]
        self.project = project(flat, output_dim) if output_dim else nn.Identity()
        self.output_dim = output_dim or flat

    def forward(self, images: Tensor) -> Tensor:
        """The latent of each image."""
        latents: Tensor = self.project(self.layers(images))
        return latents


def project(inputs: int, outputs: int) -> nn.Sequential:
    """One layer to a latent in (-1, 1), whatever the size of what comes in."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.Tanh())


def _block(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding),
        nn.GroupNorm(8, outputs),
        nn.ReLU(),
    ]
