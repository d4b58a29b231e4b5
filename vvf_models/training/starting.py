# SPDX-License-Identifier: Apache-2.0
"""Weights to start training from: all those of a checkpoint, or its encoders only."""

from pathlib import Path
from typing import Any, cast

from torch import nn

from vvf_models.checkpoints import load_checkpoint
from vvf_models.encoders.observation import ObservationEncoder
from vvf_models.errors import UserError


def start_from(model: nn.Module, checkpoint: Path, kind: str) -> list[str]:
    """Takes a checkpoint's weights where name and shape fit.

    Returns:
        The names of the model's weights that found none.

    Raises:
        UserError: The checkpoint cannot be read, is of another kind, nothing in it fits, or what
            does not fit is frozen and would stay as it was drawn.
    """
    weights = load_checkpoint(checkpoint, kind).model.state_dict()
    own = model.state_dict()
    fitting = {
        name: tensor
        for name, tensor in weights.items()
        if name in own and own[name].shape == tensor.shape
    }
    if not fitting:
        raise UserError(
            f'No weight of {checkpoint} fits this configuration; start from a checkpoint of the '
            'same architecture.'
        )
    left = [name for name in own if name not in fitting]
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    if stuck := [name for name in left if name in frozen]:
        raise UserError(
            f'{checkpoint} has none for {len(stuck)} weights that are frozen ({stuck[0]}, ...) and '
            'would stay as they were drawn: other cameras take an encoder with --init-encoder.'
        )
    model.load_state_dict(fitting, strict=False)
    return left


def start_encoders_from(model: nn.Module, checkpoint: Path) -> None:
    """Takes a checkpoint's image encoders and nothing else: what V-PTR keeps of its first phase.

    A camera takes the encoder of the camera of its name, or the only one that the checkpoint has.

    Raises:
        UserError: The checkpoint cannot be read, either has no such encoders, they are of another
            architecture, or there is none for a camera.
    """
    source = load_checkpoint(checkpoint)
    given = _image_encoders(source.model)
    wanted = _image_encoders(model)
    if not given or not wanted:
        which = str(checkpoint) if not given else 'This kind'
        raise UserError(f'{which} has no image encoders that could be handed on.')
    theirs = given[0]
    for camera, encoder in (pair for own in wanted for pair in own.items()):
        found = theirs.get(camera) or theirs.get('')
        if found is None and len(theirs) == 1:
            (found,) = theirs.values()
        if found is None:
            raise UserError(
                f'{checkpoint} has no encoder for camera "{camera or "any"}"; its cameras are '
                f'{", ".join(theirs)}.'
            )
        try:
            encoder.load_state_dict(found.state_dict())
        except RuntimeError as error:
            raise UserError(
                f'The encoders of {checkpoint} are of another architecture; set "encoder", '
                '"width", "latent_dim" and "image_size" as it has them.'
            ) from error


def _image_encoders(model: nn.Module) -> list[dict[str, nn.Module]]:
    """By camera, under '' one that serves all of them; of each network that has its own."""
    found = [module for module in model.modules() if isinstance(module, ObservationEncoder)]
    if found:
        cameras: tuple[str, ...] = cast(Any, model).config.cameras
        return [dict(zip(cameras, module.cameras, strict=True)) for module in found]
    encoder = getattr(model, 'encoder', None)
    return [{'': encoder}] if isinstance(encoder, nn.Module) else []
