# SPDX-License-Identifier: Apache-2.0
"""The weights that VIP and R3M were released with, from a file that the user has.

Both are PyTorch files of one dictionary: under 'vip' or 'r3m' the state dict of a DataParallel
model whose torchvision ResNet is `module.convnet`. VIP's ends in a linear layer of 1024 (arXiv
2210.00030, facebookresearch/vip: ResNet-50, CC BY-NC 4.0), R3M's in the pooled features (arXiv
2203.12601, facebookresearch/r3m: ResNet-18, -34 and -50); R3M's language model, in the same file,
is left out.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vvf_models.encoders.resnet import ResNet
from vvf_models.errors import UserError

PREFIX = 'module.convnet.'
VIP_DIM = 1024  # outputs of the linear layer that VIP's ResNet-50 ends in


def load_released(module: nn.Module, path: Path | str) -> str:
    """Fills every plain ResNet of a module with released weights.

    VIP's linear layer is taken where an encoder ends in one of the same size ('resnet50' with an
    output of 1024); any other linear layer stays as it is.

    Args:
        module: An encoder, or a model with one for each camera.
        path: The file.

    Returns:
        'vip' or 'r3m', whichever the file is.

    Raises:
        UserError: The file cannot be read, is of another layout or of another depth than the
            encoders, or the module has no plain ResNet.
    """
    origin, weights = _read(Path(path))
    encoders = [part for part in module.modules() if isinstance(part, ResNet)]
    if not encoders:
        raise UserError(
            f'The weights in {path} fit the encoders resnet18, resnet34 and resnet50 only; choose '
            f'one of these.'
        )
    depth = _depth(weights)
    for encoder in encoders:
        if encoder.depth != depth:
            raise UserError(
                f'{path} holds a ResNet-{depth}, but the encoder is resnet{encoder.depth}; choose '
                f'resnet{depth}.'
            )
        _fill(encoder, weights, path)
    return origin


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    try:
        # Tensors only: a pickle that would run code is refused.
        payload: Any = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f'{path} does not exist; name the file with the weights.') from error
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(
            f'{path} is not a PyTorch file of weights; name the model.pt of VIP or R3M.'
        ) from error
    origins = [name for name in ('vip', 'r3m') if isinstance(payload, dict) and name in payload]
    weights: dict[str, Tensor] = {}
    if len(origins) == 1 and isinstance(payload[origins[0]], dict):
        weights = {
            str(name).removeprefix(PREFIX): tensor
            for name, tensor in payload[origins[0]].items()
            if str(name).startswith(PREFIX) and isinstance(tensor, Tensor)
        }
    if 'conv1.weight' not in weights:
        raise UserError(
            f'{path} is not laid out as the weights of VIP or R3M are; name the model.pt of one.'
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise UserError(f'{path} holds NaN or infinity; get it again.')
    return origins[0], weights


def _fill(encoder: ResNet, weights: dict[str, Tensor], path: Path | str) -> None:
    own = encoder.state_dict()
    filled = {}
    # Looked through before anything is copied: an encoder is filled wholly or not at all.
    for name, tensor in own.items():
        given = weights.get(name)
        if given is None or given.shape != tensor.shape:
            if not name.startswith('fc.') and not name.endswith('num_batches_tracked'):
                raise UserError(
                    f'{path} does not hold a whole torchvision ResNet-{encoder.depth} ({name}); '
                    f'get it again.'
                )
            given = tensor
        filled[name] = given
    encoder.load_state_dict(filled)


def _depth(weights: dict[str, Tensor]) -> int:
    if 'layer1.0.conv3.weight' in weights:
        return 50
    return 34 if 'layer1.2.conv1.weight' in weights else 18
