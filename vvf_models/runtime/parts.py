# SPDX-License-Identifier: Apache-2.0
"""The parts of a value model that cost the time, which an engine runs in its own way.

What stands around them, such as the state's layer and the heads, is small, and it is there that the
difference between neighbouring frames is made: it stays in float32 on torch, whatever the engine.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from vvf_models.encoders.observation import ObservationEncoder
from vvf_models.values.base import ValueModel
from vvf_models.values.vip import Vip
from vvf_models.values.viva import Viva

_VIVA_INPUTS = ('hidden_states', 'timestep', 'encoder_hidden_states')


@dataclass(frozen=True)
class Part:
    """A module inside a model.

    Attributes:
        path: Where it is, as `get_submodule` takes it.
        example: What it may be given, two of each.
        names: How its inputs are named in a call, of a module that answers with a tuple of one;
            empty for an image encoder, which takes images and gives a tensor.
        cameras: Whose images it sees; empty if it sees none.
        calls: How often it runs for one observation.
        precise: Whether it needs float32: ViVa's transformer is told the time of the diffusion by
            sines of numbers up to 1000, of which bfloat16 leaves little.
    """

    path: str
    example: tuple[Tensor, ...]
    names: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    calls: int = 1
    precise: bool = False


class Replacement(nn.Module):
    """Takes and gives what a part does, and asks `run` for the answer."""

    def __init__(self, part: Part) -> None:
        """Remembers how the part is called."""
        super().__init__()
        self.names = part.names

    def run(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The answer to a batch."""
        raise NotImplementedError

    def forward(
        self, *images: Tensor, return_dict: bool = False, **named: Tensor
    ) -> Tensor | tuple[Tensor]:
        """Passes the inputs on in their order."""
        if self.names:
            return (self.run(tuple(named[name] for name in self.names)),)
        return self.run(images)


class Plain(nn.Module):
    """A part with inputs in order and one tensor as its answer, as converters want it."""

    def __init__(self, module: nn.Module, part: Part) -> None:
        """Wraps a part's module."""
        super().__init__()
        self.module = module
        self.names = part.names

    def forward(self, *inputs: Tensor) -> Tensor:
        """The answer to a batch."""
        if self.names:
            named = dict(zip(self.names, inputs, strict=True))
            answer: Tensor = self.module(**named, return_dict=False)[0]
        else:
            answer = self.module(*inputs)
        return answer


def parts_of(model: ValueModel) -> list[Part]:
    """The image encoders, or ViVa's transformer; empty for what is too large for a CPU anyway."""
    config = model.config
    images = (torch.zeros(2, 3, config.image_size, config.image_size),)
    if isinstance(model, Viva):
        frames = model.n_clean + model.n_noisy
        example = (
            torch.zeros(2, model.shape[0], frames, *model.shape[1:]),
            torch.zeros(2, frames * model.frame_tokens),
            torch.zeros(2, *model.config.text_shape),
        )
        steps = model.config.denoising_steps
        return [Part('backbone', example, _VIVA_INPUTS, calls=steps, precise=True)]
    if isinstance(model, Vip):
        return [Part('encoder', images, cameras=config.cameras, calls=len(config.cameras))]
    return [
        Part(f'{path}.cameras.{index}', images, cameras=(camera,))
        for path, module in model.named_modules()
        if isinstance(module, ObservationEncoder)
        for index, camera in enumerate(config.cameras)
    ]


def with_parts(model: ValueModel, replacements: Mapping[str, nn.Module]) -> ValueModel:
    """A copy of a model, with the same tensors, in which some parts are others."""
    memo = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    result = copy.deepcopy(model, memo)
    for path, module in replacements.items():
        result.set_submodule(path, module)
    return result


@torch.no_grad()
def operations(model: ValueModel) -> float:
    """Float operations of the parts per observation, two for a multiplication with addition.

    Convolutions and linear layers are counted. (torch's own counter takes a second or two when it
    is first used, which every node's start would pay.)
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = cast(Tensor, module.weight)
        total += 2 * output.numel() * weight[0].numel()

    for part in parts_of(model):
        inside = model.get_submodule(part.path)
        layers = [m for m in inside.modules() if isinstance(m, nn.Linear | _ConvNd)]
        hooks = [layer.register_forward_hook(count) for layer in layers]
        before = total
        Plain(inside, part)(*(tensor[:1] for tensor in part.example))
        total += (part.calls - 1) * (total - before)
        for hook in hooks:
            hook.remove()
    return float(total)
