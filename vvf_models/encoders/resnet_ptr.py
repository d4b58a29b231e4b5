# SPDX-License-Identifier: Apache-2.0
"""PTR's ResNet-34: GroupNorm, a stride of 8 in all, and learned spatial embeddings.

Kumar et al., "Pre-Training for Robots", arXiv 2210.05178. Authors' code: Asap7772/PTR (MIT),
jaxrl2/networks/encoders/resnet_encoderv1.py ('resnet_34_v1' with encoder_norm 'group') and
spatial_softmax.py. Images come in [-1, 1] instead of 0 to 255.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

GROUPS = 4
LAYERS = (3, 4, 6, 3)
STRIDES = (1, 2, 1, 1)  # of the stages, behind convolution and pooling of 2 each
EMBEDDINGS = 8  # per channel


class PtrResNet(nn.Module):
    """Where-keeping ResNet-34.

    Input (B, 3, S, S) in [-1, 1]; output (B, output_dim) in (-1, 1), or (B, 4096) for an
    output_dim of 0.
    """

    def __init__(self, image_size: int, output_dim: int = 256) -> None:
        """Builds the layers for one image size, which the embeddings hold on to."""
        super().__init__()
        self.root = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.root_norm = nn.GroupNorm(GROUPS, 64)
        blocks = []
        inputs = 64
        for index, (count, stride) in enumerate(zip(LAYERS, STRIDES, strict=True)):
            outputs = 64 * 2**index
            for block in range(count):
                blocks.append(_Block(inputs, outputs, 1 if block else stride))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        side = math.ceil(image_size / 8)
        self.embeddings = nn.Parameter(torch.empty(inputs, side, side, EMBEDDINGS))
        nn.init.normal_(self.embeddings, std=(inputs * side * side) ** -0.5)
        self.output_dim = inputs * EMBEDDINGS
        self.project: nn.Module = nn.Identity()
        if output_dim:
            layer = nn.Linear(self.output_dim, output_dim)
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            # The eps is that of Flax.
            self.project = nn.Sequential(layer, nn.LayerNorm(output_dim, eps=1e-6), nn.Tanh())
            self.output_dim = output_dim

    def forward(self, images: Tensor) -> Tensor:
        """Sums the last feature map over its places, weighted in eight learned ways."""
        features = F.relu(self.root_norm(self.root((images + 1) / 2)))
        features = F.max_pool2d(_pad_same(features, 3, 2, -torch.inf), 3, 2)
        features = self.blocks(features)
        embedded = torch.einsum('bchw,chwn->bcn', features, self.embeddings).flatten(1)
        latents: Tensor = self.project(embedded)
        return latents


class _Block(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)
        self.shortcut: nn.Module | None = None
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.GroupNorm(GROUPS, outputs)
            )

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.shortcut is None else self.shortcut(features)
        out = F.relu(self.norm1(self.conv1(_pad_same(features, 3, self.stride))))
        return F.relu(self.norm2(self.conv2(out)) + shortcut)


def _pad_same(features: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pads as JAX's 'SAME' does: with a stride, more below and right than above and left."""
    pads = []
    for size in (features.shape[3], features.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(features, pads, value=value)
