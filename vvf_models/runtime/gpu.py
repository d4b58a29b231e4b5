# SPDX-License-Identifier: Apache-2.0
"""The engine "cuda": bfloat16 on a GPU, with the costly parts compiled by torch."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from vvf_models.runtime.engine import WORTH_COMPILING, Engine
from vvf_models.runtime.parts import Part, Replacement, operations, parts_of, with_parts
from vvf_models.values.base import Goal, ValueModel
from vvf_models.values.viva import Viva


class _CompiledPart(Replacement):
    """A part compiled by torch for batches of any size."""

    def __init__(self, part: Part, module: nn.Module, backend: str) -> None:
        super().__init__(part)
        self.module = module
        self._compiled = torch.compile(module, dynamic=True, backend=backend)

    def run(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The answer to a batch; to one alone with its double, since 1 is compiled for itself."""
        count = len(inputs[0])
        if count == 1:
            inputs = tuple(torch.cat([each, each]) for each in inputs)
        if self.names:
            named = dict(zip(self.names, inputs, strict=True))
            answer: Tensor = self._compiled(**named, return_dict=False)[0]
        else:
            answer = self._compiled(*inputs)
        return answer[:count]


def gpu_engine(model: ValueModel, device: str = 'cuda', backend: str = 'inductor') -> Engine:
    """A model on a GPU in bfloat16, its parts compiled.

    Where they cannot be, for want of a C compiler or of Triton, it runs without and says so.

    Args:
        model: Moves to the GPU.
        device: Which one.
        backend: What compiles.
    """
    parts = parts_of(model)
    worth = bool(parts) and operations(model) >= WORTH_COMPILING
    plain = Engine('cuda', model.to(device), 'bfloat16', device=device)
    if not worth:
        return plain
    compiled = {
        part.path: _CompiledPart(part, model.get_submodule(part.path), backend) for part in parts
    }
    engine = replace(plain, model=with_parts(model, compiled))
    try:
        _try(engine)
    except Exception as error:  # whatever a compiler may raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        note = f'torch.compile failed ({reason[0][:200]}), so the engine runs uncompiled.'
        return replace(plain, note=note)
    return engine


def _try(engine: Engine) -> None:
    """Compiles now what would otherwise keep the first frame waiting."""
    config = engine.model.config
    size, dim = config.image_size, config.state_dim
    black = [torch.zeros(2, 3, size, size, dtype=torch.uint8) for _ in config.cameras]
    latents = engine.encode(black, torch.zeros(2, dim) if dim else None)
    model = engine.model
    if isinstance(model, Viva) and model.config.objective == 'value':
        tokens, numbers = model.config.text_shape
        engine.estimate(latents, Goal(text=torch.zeros(tokens * numbers)))
