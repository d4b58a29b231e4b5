# SPDX-License-Identifier: Apache-2.0
"""A value model and how it is run.

Whatever runs it, images go in as uint8, and latents come out as float32 on the CPU. How far an
engine may be from eager torch, in value and in the order of the frames, is what
tests/vvf_models/test_runtime_engines.py holds.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vvf_models.data.augment import to_float
from vvf_models.values.base import Goal, ValueModel
from vvf_models.values.viva import Viva

# Float operations per observation. The small encoders have some 0.02 G and take eager torch about a
# millisecond on one core; converting or compiling them takes seconds when a node starts.
WORTH_COMPILING = 0.1e9
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
