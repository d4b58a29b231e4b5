# SPDX-License-Identifier: Apache-2.0
"""ResNet-v2-26 and -50 with weight-standardised convolutions and GroupNorm, as ICVF and ViVa use.

He et al., "Identity Mappings in Deep Residual Networks", arXiv 1603.05027, in the form of Big
Transfer, arXiv 1912.11370. Authors' code: dibyaghosh/icvf_release, jaxrl_m/vision/
bigvision_resnetv2.py ('resnetv2-26-1', 'resnetv2-50-1'); `timm`'s ResNetV2 with StdConv2d gives the
same numbers.

Where this differs from the authors' code: images come in [-1, 1] instead of 0 to 255 and are used
at the size that they come in (their '-128' names scale to 128 px inside the network).
"""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

GROUPS = 32
LAYERS = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class StandardisedConv2d(nn.Conv2d):
    """A convolution without bias whose weights have mean 0 and variance 1 per output channel."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        """Builds the weights; padding keeps the size."""
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.eps = 1e-10  # as the authors; 1e-8 in timm
        nn.init.kaiming_normal_(self.weight, nonlinearity='linear')

    def standardised(self) -> Tensor:
        """The weights that are used."""
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        variance = centred.square().mean((1, 2, 3), keepdim=True)
        return centred * (variance + self.eps).rsqrt()

    def forward(self, input: Tensor) -> Tensor:
        """Convolves."""
        return F.conv2d(input, self.standardised(), None, self.stride, self.padding)


class Bottleneck(nn.Module):
    """GroupNorm, ReLU and convolution three times, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Builds the layers; the middle convolution carries the stride."""
        super().__init__()
        middle = outputs // 4
        self.norm1 = nn.GroupNorm(GROUPS, inputs)
        self.conv1 = StandardisedConv2d(inputs, middle, 1)
        self.norm2 = nn.GroupNorm(GROUPS, middle)
        self.conv2 = StandardisedConv2d(middle, middle, 3, stride)
        self.norm3 = nn.GroupNorm(GROUPS, middle)
        self.conv3 = StandardisedConv2d(middle, outputs, 1)
        self.shortcut: nn.Module | None = None
        if inputs != outputs or stride != 1:
            self.shortcut = StandardisedConv2d(inputs, outputs, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        active = F.relu(self.norm1(features))
        # The shortcut of a block that changes the shape starts behind the first ReLU.
        shortcut = features if self.shortcut is None else self.shortcut(active)
        out = self.conv1(active)
        out = self.conv2(F.relu(self.norm2(out)))
        out = self.conv3(F.relu(self.norm3(out)))
        total: Tensor = out + shortcut
        return total


class ResNetV2(nn.Module):
    """The network up to its pooled features.

    Input (B, 3, S, S) in [-1, 1]; output (B, 2048).
    """

    def __init__(self, layers: tuple[int, ...]) -> None:
        """Builds the stages.

        Args:
            layers: Blocks of each stage.
        """
        super().__init__()
        self.root = StandardisedConv2d(3, 64, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        stages = []
        inputs = 64
        for index, count in enumerate(layers):
            outputs = 256 * 2**index
            blocks = []
            for block in range(count):
                stride = 2 if index and not block else 1
                blocks.append(Bottleneck(inputs, outputs, stride))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.GroupNorm(GROUPS, inputs)
        self.activation = nn.ReLU()
        self.output_dim = inputs

    def forward(self, images: Tensor) -> Tensor:
        """The mean of the last feature map over its places."""
        features = self.stages(self.pool(self.root((images + 1) / 2)))
        pooled: Tensor = self.activation(self.norm(features)).mean((2, 3))
        return pooled


def resnet_v2(depth: int) -> ResNetV2:
    """ResNet-v2 of a depth of 26 or 50."""
    return ResNetV2(LAYERS[depth])


def fold(module: nn.Module) -> nn.Module:
    """Replaces standardised convolutions by plain ones that give the same, for use after training.

    Standardising takes about half of the time of one small image. In place; the names of the
    weights stay, and standardising them once more changes nothing.
    """
    for name, child in module.named_children():
        if isinstance(child, StandardisedConv2d):
            plain = nn.Conv2d(
                child.in_channels,
                child.out_channels,
                child.kernel_size,  # type: ignore[arg-type]
                child.stride,  # type: ignore[arg-type]
                child.padding,  # type: ignore[arg-type]
                bias=False,
            )
            plain.weight = nn.Parameter(child.standardised().detach(), requires_grad=False)
            setattr(module, name, plain)
        else:
            fold(child)
    return module
