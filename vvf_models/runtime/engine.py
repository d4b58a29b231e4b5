# SPDX-License-Identifier: Apache-2.0
"""What a value model runs on: eager torch, OpenVINO on the CPU, or compiled torch on a GPU.

Whatever runs it, images go in as uint8, and latents come out as float32 on the CPU. How far an
engine may be from eager torch, in value and in the order of the frames, is what
tests/vvf_models/test_runtime_engines.py holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.data.augment import to_float
from vvf_models.data.images import resize_images
from vvf_models.errors import UserError
from vvf_models.runtime.openvino_parts import Calibration, NotConvertibleError, openvino_parts
from vvf_models.runtime.parts import Part, Replacement, operations, parts_of, with_parts
from vvf_models.values.base import Goal, ValueModel
from vvf_models.values.viva import Viva

ENGINES = ('auto', 'torch', 'openvino', 'openvino-int8', 'cuda')
# Float operations per observation. The small encoders have some 0.02 G and take eager torch about a
# millisecond on one core; converting or compiling them takes seconds when a node starts.
_WORTH_COMPILING = 0.1e9
_LEAST_FRAMES = 8
_MOST_FRAMES = 96
_LEAST_AGREEMENT = 0.98
_MOST_AT_ONCE = 256  # observations; more need memory and are not quicker, not on a GPU either


@dataclass(frozen=True)
class Engine:
    """A model, and how it is run.

    Attributes:
        name: One of `ENGINES`, but never 'auto'.
        model: The model, perhaps with other parts in it.
        precision: The coarsest number format in it: 'float32', 'bfloat16' or 'int8'.
        note: Why it is another engine than was asked for; '' if it is not.
        device: Where the model is.
    """

    name: str
    model: ValueModel
    precision: str = 'float32'
    note: str = ''
    device: str = 'cpu'

    @torch.inference_mode()
    def encode(self, images: list[Tensor], state: Tensor | None) -> Tensor:
        """Latents (B, L) of images (B, 3, S, S) uint8 per camera and a state (B, D) in SI units."""
        if len(images[0]) <= _MOST_AT_ONCE:
            return self._encode(images, state)
        starts = range(0, len(images[0]), _MOST_AT_ONCE)
        cuts = [slice(start, start + _MOST_AT_ONCE) for start in starts]
        return torch.cat(
            [
                self._encode([each[cut] for each in images], None if state is None else state[cut])
                for cut in cuts
            ]
        )

    def _encode(self, images: list[Tensor], state: Tensor | None) -> Tensor:
        model, device = self.model, torch.device(self.device)
        given = None if state is None else model.normalise(state.to(device))
        pixels = [to_float(each.to(device, non_blocking=True)) for each in images]
        with torch.autocast(device.type, torch.bfloat16, enabled=self.name == 'cuda'):
            latents = model.encode(pixels, given)
        return latents.float().cpu()

    @torch.inference_mode()
    def estimate(self, latents: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
        """Value and uncertainty, (B,) each."""
        device = torch.device(self.device)
        # ViVa's transformer is large; the heads of the others are small, and decide between frames.
        half = self.name == 'cuda' and isinstance(self.model, Viva)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            value, uncertainty = self.model.estimate(latents.to(device), goal.to(device))
        return value.float().cpu(), uncertainty.float().cpu()


def make_engine(
    model: ValueModel,
    name: str = 'auto',
    threads: int = 1,
    calibration: Mapping[str, NDArray[np.uint8]] | None = None,
) -> Engine:
    """Chooses an engine and prepares a model for it.

    'auto' takes CUDA where there is a GPU. On a CPU it takes OpenVINO for a model with more than a
    tenth of a giga float operations per observation, which it can convert and whose values bfloat16
    does not spoil, and eager torch for every other: that is as quick there, starts two seconds
    earlier, and is exact.

    Args:
        model: On the CPU, in evaluation mode. With CUDA it moves to the GPU.
        name: One of `ENGINES`.
        threads: CPU threads.
        calibration: Per camera, (N, H, W, 3) uint8 RGB frames like those to be scored, for
            'openvino-int8'; at most 96 of them, evenly spread, are used.

    Raises:
        UserError: There is no such engine, it cannot run this model, or frames are missing.
    """
    if name not in ENGINES:
        raise UserError(f'There is no engine "{name}"; choose one of {", ".join(ENGINES)}.')
    if name == 'openvino-int8':
        return _int8(model, threads, calibration)
    if name == 'torch':
        return Engine('torch', model)
    if name == 'openvino':
        return _openvino(model, threads)
    if torch.cuda.is_available():
        return cuda(model)
    if name == 'cuda':
        chosen = make_engine(model, 'auto', threads)
        note = f'There is no CUDA device here, so the engine is {chosen.name} on the CPU.'
        return replace(chosen, note=f'{note} {chosen.note}'.strip())
    parts = parts_of(model)
    if not parts or any(part.precise for part in parts) or operations(model) < _WORTH_COMPILING:
        return Engine('torch', model)
    try:
        return _openvino(model, threads)
    except NotConvertibleError as error:
        return Engine('torch', model, note=f'The engine is torch: {error}')


def _openvino(model: ValueModel, threads: int) -> Engine:
    replacements, precision = openvino_parts(model, _convertible(model), threads)
    return Engine('openvino', with_parts(model, replacements), precision)


def _convertible(model: ValueModel) -> list[Part]:
    parts = parts_of(model)
    if not parts:
        raise NotConvertibleError(
            'OpenVINO is only for models with an image encoder of vvf and for ViVa; use the '
            'engine "torch".'
        )
    return parts


def _int8(
    model: ValueModel, threads: int, calibration: Mapping[str, NDArray[np.uint8]] | None
) -> Engine:
    parts = _convertible(model)
    if any(not part.cameras for part in parts):
        raise NotConvertibleError(f'There is no int8 for {model.kind}; use the engine "openvino".')
    frames = calibration or {}
    for camera in model.config.cameras:
        if len(frames.get(camera, ())) < _LEAST_FRAMES:
            raise UserError(
                f'The engine "openvino-int8" measures ranges on your own frames: give it at least '
                f'{_LEAST_FRAMES} of camera "{camera}", or use the engine "openvino".'
            )

    count = min(len(frames[camera]) for camera in model.config.cameras)
    chosen = np.linspace(0, count - 1, min(_MOST_FRAMES, count)).astype(int)
    size = model.config.image_size
    scaled = {
        camera: torch.from_numpy(resize_images(frames[camera][chosen], size))
        for camera in model.config.cameras
    }

    def inputs(part: Part) -> Calibration:
        images = torch.cat([scaled[camera] for camera in part.cameras])
        return list(to_float(images[:: len(part.cameras)]).numpy())

    replacements, precision = openvino_parts(model, parts, threads, inputs)
    engine = Engine('openvino-int8', with_parts(model, replacements), precision)
    agreement = rank_agreement(engine, Engine('torch', model), list(scaled.values()))
    if agreement >= _LEAST_AGREEMENT:
        return engine
    note = (
        f'In int8, the values of the calibration frames have a rank correlation of '
        f'{agreement:.2f} with those of eager torch; more frames, or the engine "openvino", may '
        f'be closer.'
    )
    return replace(engine, note=note)


def rank_agreement(engine: Engine, reference: Engine, images: list[Tensor]) -> float:
    """Rank correlation of two engines' values of frames, with the last one as the goal.

    Args:
        engine: An engine.
        reference: Another one of the same model.
        images: Per camera, (B, 3, S, S) uint8; the state is taken to be the mean of the training.
    """
    from scipy.stats import spearmanr  # takes most of a second, which other engines need not wait

    model = reference.model
    dim = model.config.state_dim
    mean = torch.tensor(model.config.state_mean or (0.0,) * dim).expand(len(images[0]), dim)
    text = model.embed(['']) if model.reads_text else None
    values = []
    for each in (engine, reference):
        latents = each.encode(images, mean if dim else None)
        goal = Goal(latents=latents[-1:], text=None if text is None else text[0])
        values.append(each.estimate(latents, goal)[0].numpy())
    return float(spearmanr(*values)[0])


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


def cuda(model: ValueModel, device: str = 'cuda', backend: str = 'inductor') -> Engine:
    """A model on a GPU in bfloat16, its parts compiled.

    Where they cannot be, for want of a C compiler or of Triton, it runs without and says so.

    Args:
        model: Moves to the GPU.
        device: Which one.
        backend: What compiles.
    """
    parts = parts_of(model)
    worth = bool(parts) and operations(model) >= _WORTH_COMPILING
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
    if isinstance(engine.model, Viva):
        tokens, numbers = engine.model.config.text_shape
        engine.estimate(latents, Goal(text=torch.zeros(tokens * numbers)))
