# SPDX-License-Identifier: Apache-2.0
"""Which engine a value model runs on: eager torch, OpenVINO on the CPU, or a GPU."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from vvf_models.errors import UserError
from vvf_models.runtime.engine import WORTH_COMPILING, Engine
from vvf_models.runtime.gpu import gpu_engine
from vvf_models.runtime.int8 import int8_engine
from vvf_models.runtime.openvino_parts import (
    NotConvertibleError,
    convertible_parts,
    openvino_parts,
)
from vvf_models.runtime.parts import operations, parts_of, with_parts
from vvf_models.values.base import ValueModel

ENGINES = ('auto', 'torch', 'openvino', 'openvino-int8', 'cuda')


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
        return int8_engine(model, threads, calibration)
    if name == 'torch':
        return Engine('torch', model)
    if name == 'openvino':
        return _openvino(model, threads)
    if torch.cuda.is_available():
        return gpu_engine(model)
    if name == 'cuda':
        chosen = make_engine(model, 'auto', threads)
        note = f'There is no CUDA device here, so the engine is {chosen.name} on the CPU.'
        return replace(chosen, note=f'{note} {chosen.note}'.strip())
    parts = parts_of(model)
    if not parts or any(part.precise for part in parts) or operations(model) < WORTH_COMPILING:
        return Engine('torch', model)
    try:
        return _openvino(model, threads)
    except NotConvertibleError as error:
        return Engine('torch', model, note=f'The engine is torch: {error}')


def _openvino(model: ValueModel, threads: int) -> Engine:
    replacements, precision = openvino_parts(model, convertible_parts(model), threads)
    return Engine('openvino', with_parts(model, replacements), precision)
