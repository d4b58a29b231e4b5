# SPDX-License-Identifier: Apache-2.0
"""The engine "openvino-int8": calibrated on a user's own frames, judged on their order."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.data.augment import to_float
from vvf_models.data.images import resize_images
from vvf_models.errors import UserError
from vvf_models.runtime.engine import Engine
from vvf_models.runtime.openvino_parts import (
    Calibration,
    NotConvertibleError,
    convertible_parts,
    openvino_parts,
)
from vvf_models.runtime.parts import Part, with_parts
from vvf_models.values.base import Goal, ValueModel

_LEAST_FRAMES = 8
_MOST_FRAMES = 96
_JUDGED_FRAMES = 32
_LEAST_AGREEMENT = 0.98


def int8_engine(
    model: ValueModel, threads: int, calibration: Mapping[str, NDArray[np.uint8]] | None
) -> Engine:
    """A model in int8, its ranges measured on frames.

    Where it orders those otherwise than eager torch, it says so.

    Args:
        model: On the CPU, in evaluation mode.
        threads: CPU threads.
        calibration: Per camera, (N, H, W, 3) uint8 RGB frames; at most 96 are used, evenly spread.

    Raises:
        UserError: Frames are missing, or the model cannot be converted.
    """
    parts = convertible_parts(model)
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
    step = -(-len(chosen) // _JUDGED_FRAMES)
    judged = [images[::step] for images in scaled.values()]
    agreement = rank_agreement(engine, Engine('torch', model), judged)
    if not agreement < _LEAST_AGREEMENT:  # nor where all values are equal
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
