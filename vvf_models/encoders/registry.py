# SPDX-License-Identifier: Apache-2.0
"""Image encoders by name. Each takes (B, 3, S, S) float in [-1, 1] and gives (B, output_dim)."""

from collections.abc import Callable

from torch import Tensor, nn

from vvf_models.encoders.resnet import resnet
from vvf_models.encoders.resnet_ptr import PtrResNet
from vvf_models.encoders.resnet_v2 import resnet_v2
from vvf_models.encoders.small import FlattenEncoder, SpatialSoftmaxEncoder, project
from vvf_models.errors import UserError


class ProjectedEncoder(nn.Module):
    """A network and one layer, LayerNorm and tanh on its features."""

    def __init__(self, backbone: nn.Module, features: int, output_dim: int) -> None:
        """Builds the layer."""
        super().__init__()
        self.backbone = backbone
        self.project = project(features, output_dim)
        self.output_dim = output_dim

    def forward(self, images: Tensor) -> Tensor:
        """The latent of each image."""
        latents: Tensor = self.project(self.backbone(images))
        return latents


def _resnet_v2(depth: int) -> Callable[[int, int], nn.Module]:
    def build(image_size: int, output_dim: int) -> nn.Module:
        backbone = resnet_v2(depth)
        if not output_dim:
            return backbone
        return ProjectedEncoder(backbone, backbone.output_dim, output_dim)

    return build


_BUILDERS: dict[str, Callable[[int, int], nn.Module]] = {
    'resnetv2-26': _resnet_v2(26),
    'resnetv2-50': _resnet_v2(50),
    'resnet34-ptr': PtrResNet,
    'resnet50': lambda image_size, output_dim: resnet(50, output_dim),
    'resnet34': lambda image_size, output_dim: resnet(34, output_dim),
    'resnet18': lambda image_size, output_dim: resnet(18, output_dim),
}
ENCODERS = ('small', 'spatial', *_BUILDERS)


def build_encoder(
    name: str, image_size: int, output_dim: int, *, width: int = 32, fine: bool = False
) -> nn.Module:
    """Builds an image encoder with weights drawn anew.

    Args:
        name: 'small': four convolutions that train on a CPU. 'spatial': three, and where each
            feature is, which learns to act in fewer steps (three times `width` features).
            'resnetv2-26', 'resnetv2-50': ICVF's
            and ViVa's (2048 features). 'resnet34-ptr': PTR's (4096). 'resnet18', 'resnet34' (512)
            and 'resnet50' (2048): the plain ones, for the released weights of VIP and R3M.
        image_size: Side S of its images in pixels.
        output_dim: Size of the latent. The plain ResNets end in a linear layer of that size, as
            VIP's does, the others in one with LayerNorm and tanh. 0: the network's own features.
        width: Channels of the small and of the spatial encoder's first convolution.
        fine: A finer, slower first layer of the small encoder.

    Returns:
        A module with an attribute `output_dim`.

    Raises:
        UserError: There is no encoder of that name.
    """
    if name == 'small':
        return FlattenEncoder(image_size, output_dim, width, fine=fine)
    if name == 'spatial':
        network = SpatialSoftmaxEncoder(image_size, width, light=True)
        features = network.output_dim
        return ProjectedEncoder(network, features, output_dim) if output_dim else network
    if name not in _BUILDERS:
        raise UserError(f'There is no encoder "{name}"; choose one of {", ".join(ENCODERS)}.')
    return _BUILDERS[name](image_size, output_dim)
