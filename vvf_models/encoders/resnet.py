# SPDX-License-Identifier: Apache-2.0
"""Plain ResNet-18, -34 and -50 for the released weights of VIP and R3M.

He et al., arXiv 1512.03385, laid out and named as torchvision's (stride in the 3 x 3 convolution of
a bottleneck), as both projects use them: facebookresearch/vip, vip/models/model_vip.py, and
facebookresearch/r3m, r3m/models/models_r3m.py. Both scale to 256 px and crop to 224 px inside the
network; here images are used at the size that they come in.

BatchNorm is unstable under bootstrapped targets (V-PTR, arXiv 2309.13041): freeze the encoder or at
least its statistics, see freezing.py.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of images in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)
LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        """Builds the layers."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(features)))
        shortcut = features if self.downsample is None else self.downsample(features)
        return F.relu(self.bn2(self.conv2(out)) + shortcut)


class Bottleneck(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1 beside a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        """Builds the layers."""
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 4 width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(features)))
        out = F.relu(self.bn2(self.conv2(out)))
        shortcut = features if self.downsample is None else self.downsample(features)
        return F.relu(self.bn3(self.conv3(out)) + shortcut)


class ResNet(nn.Module):
    """The network, ending in a linear layer or in its pooled features.

    Input (B, 3, S, S) in [-1, 1], normalised inside as ImageNet's are; output (B, output_dim).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, depth: int, output_dim: int = 0) -> None:
        """Builds the stages.

        Args:
            depth: 18, 34 or 50.
            output_dim: Size of the linear layer; 0 for none, as R3M.
        """
        super().__init__()
        block: type[BasicBlock | Bottleneck] = Bottleneck if depth == 50 else BasicBlock
        self.depth = depth
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for index, count in enumerate(LAYERS[depth]):
            width = 64 * 2**index
            blocks = []
            for number in range(count):
                blocks.append(block(inputs, width, 2 if index and not number else 1))
                inputs = width * block.expansion
            self.add_module(f'layer{index + 1}', nn.Sequential(*blocks))
        self.fc: nn.Module = nn.Linear(inputs, output_dim) if output_dim else nn.Identity()
        self.output_dim = output_dim or inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
        shape = (1, 3, 1, 1)
        self.register_buffer('mean', torch.tensor(IMAGENET_MEAN).view(shape), persistent=False)
        self.register_buffer('std', torch.tensor(IMAGENET_STD).view(shape), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The mean of the last feature map over its places, then the linear layer."""
        features = ((images + 1) / 2 - self.mean) / self.std
        features = self.maxpool(F.relu(self.bn1(self.conv1(features))))
        for index in range(4):
            features = self.get_submodule(f'layer{index + 1}')(features)
        latents: Tensor = self.fc(features.mean((2, 3)))
        return latents


def resnet(depth: int, output_dim: int = 0) -> ResNet:
    """A plain ResNet of a depth of 18, 34 or 50."""
    return ResNet(depth, output_dim)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if inputs == outputs and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
