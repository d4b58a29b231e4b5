# SPDX-License-Identifier: Apache-2.0
"""What a resumed run needs of modules and optimizers, as named tensors for one file."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An Adam-like optimizer's state as named tensors."""
    return {
        f'optimizer.{index}.{name}': value
        for index, state in optimizer.state_dict()['state'].items()
        for name, value in state.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Takes back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith('optimizer.'):
            _, index, name = key.split('.')
            state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()['param_groups']
    optimizer.load_state_dict({'state': state, 'param_groups': groups})


def prefixed(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """A module's weights under a prefix."""
    return {f'{prefix}.{name}': tensor for name, tensor in module.state_dict().items()}


def load_prefixed(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Takes back what `prefixed` gave."""
    start = f'{prefix}.'
    module.load_state_dict(
        {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
    )
