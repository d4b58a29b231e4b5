# SPDX-License-Identifier: Apache-2.0
"""Where in an image a value comes from: Grad-CAM for any value model, by hooks.

Selvaraju et al., arXiv 1610.02391: activations of the last feature map, weighted by the gradient
of the value. By default the gradient is taken place by place (HiResCAM, arXiv 2011.08891): that
equals Grad-CAM for networks that end in global average pooling, and it alone is right for those
that flatten their last map and so weigh every place differently.

Nothing is asked of a model but `encode` and `values`: its feature maps are the four-dimensional
outputs of its modules, (B, C, h, w); in a transformer the outputs of its LayerNorms, whose tokens
lie as the patch embedding did, (B, C, h, w) or (B, C, frames, h, w). Which rows and frames belong
to a camera is found by changing that camera's images.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.values.base import Goal, ValueModel

AT_ONCE = 8  # observations; a graph of all frames of a video would not fit
STRENGTH = 0.6  # of the colour, where the heat is 1


def gradcam(
    model: ValueModel,
    images: list[Tensor],
    state: Tensor | None,
    goal: Goal,
    *,
    pooled: bool = False,
) -> dict[str, NDArray[np.float32]]:
    """Heat of every camera's images: what speaks for a high value.

    Works on frozen weights too; the model is left as it was.

    Args:
        model: The value model.
        images: Per camera, (B, 3, S, S) float in [-1, 1], as for `ValueModel.encode`.
        state: (B, D) as `normalise` gives it, or None for a model of images only.
        goal: What the value is measured against.
        pooled: Average the gradient over the places, as Grad-CAM was published.

    Returns:
        Per camera, (B, S, S) in [0, 1]: 1 is the most of all cameras of an observation; all 0 where
        nothing speaks for the value.

    Raises:
        ValueError: The model has no feature map that depends on a camera and leads to the value.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        # Tensors made in inference mode, such as a runtime's goals, cannot be differentiated past.
        with torch.inference_mode(False), torch.enable_grad():
            goal = replace(goal, latents=_copy(goal.latents), text=_copy(goal.text))
            parts = []
            for start in range(0, len(images[0]), AT_ONCE):
                chosen = slice(start, start + AT_ONCE)
                part = None if state is None else state[chosen].detach().clone()
                parts.append(_gradcam(model, [i[chosen] for i in images], part, goal, pooled))
    finally:
        for module, mode in modes:
            module.training = mode
    return {
        camera: torch.cat([part[number] for part in parts]).cpu().numpy()
        for number, camera in enumerate(model.config.cameras)
    }


def _gradcam(
    model: ValueModel, images: list[Tensor], state: Tensor | None, goal: Goal, pooled: bool
) -> list[Tensor]:
    """As `gradcam`, of a few observations; per camera (B, S, S)."""
    images = [image.detach().clone().requires_grad_() for image in images]
    outputs, value = _run(model, images, state, goal)
    _differentiate(value, [output for output in outputs if output.tensor.requires_grad])
    # Drawn apart, so that a training run is not disturbed.
    noise = torch.rand(images[0].shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    heats = []
    for number, camera in enumerate(model.config.cameras):
        changed = list(images)
        changed[number] = (noise.to(images[number]) - images[number]) / 2
        others, _ = _run(model, changed, state, goal)
        heat = _heat(outputs, others, len(value), pooled=pooled)
        if heat is None:
            raise ValueError(f'no feature map leads from camera "{camera}" to the value')
        heats.append(heat)
    most = torch.stack([heat.amax((1, 2)) for heat in heats]).amax(0)
    scale = torch.where(most > 0, 1 / most, 0)[:, None, None]
    return [_resize(heat * scale, images[0].shape[-2:]) for heat in heats]


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lays heat over an image; where it is 0 the image stays as it is.

    Args:
        image: (H, W, 3) uint8 RGB.
        heat: (h, w) in [0, 1], of any size.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1)
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_TURBO)
    share = STRENGTH * heat[:, :, None]
    mixed = (1 - share) * image + share * cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    return np.asarray(mixed.round(), np.uint8)


@dataclass
class _Output:
    """What a module gave."""

    tensor: Tensor
    gradient: Tensor | None = None


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _run(
    model: ValueModel, images: list[Tensor], state: Tensor | None, goal: Goal
) -> tuple[list[_Output], Tensor]:
    """All that may be feature maps, in the order of the calls, and the value (B,)."""
    outputs: list[_Output] = []

    def record(module: nn.Module, arguments: Any, output: Any) -> None:
        # Of tokens only what is normalised: before a LayerNorm, activations times their gradient
        # are 0 in sum, whatever the token says.
        sizes = (3,) if isinstance(module, nn.LayerNorm) else (4, 5)
        if isinstance(output, Tensor) and output.ndim in sizes:
            outputs.append(_Output(output))

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.callback(module.register_forward_hook(record).remove)
        latents = model.encode(images, state)
        if not latents.requires_grad:
            # Encoded without gradients: what comes after may still have a feature map.
            latents = latents.detach().requires_grad_()
        value = model.values(latents, goal).mean(0)
    return outputs, value


def _differentiate(value: Tensor, outputs: list[_Output]) -> None:
    """Fills in the gradients."""
    if outputs and value.requires_grad:
        tensors = [output.tensor for output in outputs]
        found = torch.autograd.grad(value.sum(), tensors, retain_graph=True, allow_unused=True)
        for output, gradient in zip(outputs, found, strict=True):
            output.gradient = gradient


def _heat(
    outputs: list[_Output], others: list[_Output], batch: int, *, pooled: bool
) -> Tensor | None:
    """(B, h, w) of the last map that depends on a camera and leads to the value; None without one.

    Args:
        outputs: Of the images, with gradients.
        others: Of the same, but with other images of that camera.
        batch: B.
        pooled: As for `gradcam`.
    """
    result = last = tokens = None
    grid = torch.Size()  # frames, h, w of the last map
    rows = frames = torch.zeros(0, dtype=torch.bool)  # which of it are the camera's
    for output, other in zip(outputs, others, strict=True):
        tensor = output.tensor
        if tensor.ndim == 3:
            if last is None or tensor.shape[:2] != (len(rows), grid.numel()):
                continue
            if tokens is None and not _lie_as(tensor, last):
                continue
            if tokens is not None and tensor.shape != tokens.shape:
                continue
            if torch.equal(tensor, other.tensor):
                continue  # another camera's
            tokens = tensor
        else:
            # Behind attention only tokens know their place.
            if tokens is not None or min(tensor.shape[-2:]) < 2:
                continue
            ours, theirs = _with_frames(tensor, grid), _with_frames(other.tensor, grid)
            changed = (ours != theirs).flatten(3).any(3).any(1)  # (rows, frames)
            if int(changed.any(1).sum()) != batch:
                continue
            rows, frames, grid, last = changed.any(1), changed.any(0), ours.shape[2:], tensor
        if output.gradient is None:
            continue
        weights = _with_frames(output.gradient, grid)[rows][:, :, frames]
        if weights.any() or result is None:
            if pooled:
                weights = weights.mean((2, 3, 4), keepdim=True)
            activations = _with_frames(tensor, grid)[rows][:, :, frames]
            result = (weights * activations).sum(1).relu().mean(1).detach()
    return result


def _lie_as(tokens: Tensor, last: Tensor) -> bool:
    """Whether the first token comes from the first place of a map and from no other.

    What has as many rows as a map has places only by chance, such as one for each goal, does not.
    """
    if not (tokens.requires_grad and last.requires_grad):
        return False
    (gradient,) = torch.autograd.grad(
        tokens[:, 0, 0].sum(), last, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    places = gradient.flatten(2).ne(0).any(1).any(0)
    return bool(places[0]) and not bool(places[1:].any())


def _with_frames(tensor: Tensor, grid: torch.Size) -> Tensor:
    """A map (B, C, h, w), (B, C, frames, h, w) or tokens (B, n, C) as (B, C, frames, h, w)."""
    if tensor.ndim == 3:
        return tensor.transpose(1, 2).reshape(len(tensor), -1, *grid)
    return tensor[:, :, None] if tensor.ndim == 4 else tensor


def _resize(heat: Tensor, size: torch.Size) -> Tensor:
    resized: Tensor = F.interpolate(heat[:, None].float(), size, mode='bilinear')
    return resized[:, 0]
