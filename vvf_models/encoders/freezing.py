# SPDX-License-Identifier: Apache-2.0
"""Networks that stay as they are while what stands on them is trained."""

from types import MethodType
from typing import TypeVar

from torch import nn

M = TypeVar('M', bound=nn.Module)


def freeze(module: M) -> M:
    """Takes the gradients from a module's weights and keeps it in evaluation mode for good.

    Evaluation mode stays even when a module that contains it calls `train()`, so BatchNorm keeps
    its statistics; gradients still pass through to what comes before.

    Returns:
        The same module.
    """
    module.requires_grad_(False)
    return _keep_in_evaluation(module)


def freeze_features(encoder: nn.Module, *, with_fc: bool = False) -> None:
    """Freezes what a paper would call the encoder: image networks, up to their features.

    The layers that stand on those go on learning: the one to `latent_dim` of each camera, and that
    of the state.

    Args:
        encoder: An observation's, or that of one image.
        with_fc: Whether the linear layer in which a plain ResNet ends is one of its own, as VIP's
            is, and stays, too.
    """
    networks = getattr(encoder, 'cameras', (encoder,))
    for network in networks:
        freeze(network)
        for name in ('project',) if with_fc else ('project', 'fc'):
            layer = getattr(network, name, None)
            if isinstance(layer, nn.Module):
                layer.requires_grad_(True)


def freeze_batch_norm(module: M) -> M:
    """Keeps every BatchNorm's statistics for good, while all weights go on learning.

    Returns:
        The same module.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            _keep_in_evaluation(part)
    return module


def _keep_in_evaluation(module: M) -> M:
    module.eval()
    # A bound method, which a deep copy of the module binds to the copy.
    object.__setattr__(module, 'train', MethodType(_stay, module))
    return module


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    return module
