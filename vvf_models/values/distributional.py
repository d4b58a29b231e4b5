# SPDX-License-Identifier: Apache-2.0
"""Distributional values: a distribution over the steps that are left, with failure far below.

RECAP of π*0.6 (arXiv 2511.14759, section IV-A): cross-entropy against the return of the whole
episode, on 201 bins. Sizes and targets follow Evo-RL (MINT-SJTU/Evo-RL, Apache-2.0, `pistar06`),
the clearest open form of it. With M the longest episode of a task and C = `c_fail_coef` M, the
target of a frame is

    -(steps left) / (M + C)          of a success,
    -(steps left + C) / (M + C)      of a failure,

so with a coefficient of 1 successes lie in [-1/2, 0] and failures in [-1, -1/2]. The value is the
mean of the predicted distribution, its uncertainty the standard deviation.

Where this differs from Evo-RL:
- frames after the success count as reached, where Evo-RL counts down to the last frame;
- an episode that nobody labelled is left out, where Evo-RL takes it for a failure;
- with `wrong_instruction_share`, frames of successes are also shown with an instruction that names
  another object, as failures, as ReWiND does (its mismatched texts get progress 0); otherwise the
  text need not matter. Off in the preset that follows Evo-RL;
- the backbone 'small', for CPUs: one small encoder per camera, whose latents are concatenated, a
  sentence encoder, and a head that the text modulates. 'siglip-gemma' is Evo-RL's, see
  siglip_gemma.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vvf_models.encoders.observation import ObservationEncoder
from vvf_models.encoders.sentence import SENTENCE_DIM, embed_sentences
from vvf_models.model_config import require
from vvf_models.values.base import Goal, ValueConfig, ValueModel

BACKBONES = ('small', 'siglip-gemma')
FUSIONS = ('film', 'concat')
_NEAR = 5  # bins
_FUSION_DIM = 64  # of the text, before it modulates or joins the latent


@dataclass(frozen=True)
class DistributionalConfig(ValueConfig):
    """Everything needed to rebuild and to train a distributional value."""

    # Network.
    backbone: str = 'small'  # or 'siglip-gemma'
    vlm_folder: str = ''  # siglip-gemma: a folder with "vision" and "language" in it
    fusion: str = 'film'  # small: how the text enters, or 'concat'
    hidden: int = 256
    dropout: float = 0.1
    # Distribution and targets.
    bins: int = 201
    c_fail_coef: float = 1.0  # what a failure costs, in longest episodes
    per_task: bool = True  # a longest episode per instruction, or one of all
    wrong_instruction_share: float = 0.1  # of the frames of successes
    # Found in training.
    tasks: tuple[str, ...] = ()  # instructions, none where one length serves all
    task_lengths: tuple[int, ...] = ()  # frames of the longest episode, of each task
    # Of the groups.
    gradient_clip: float = 10.0
    ema_decay: float = 0.99

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        require(self.backbone in BACKBONES, f'"backbone" must be one of {", ".join(BACKBONES)}')
        require(self.fusion in FUSIONS, f'"fusion" must be one of {", ".join(FUSIONS)}')
        require(self.hidden >= 1, '"hidden" must be at least 1')
        require(self.bins >= 2, '"bins" must be at least 2')
        require(self.c_fail_coef >= 0, '"c_fail_coef" must not be negative')
        for name in ('dropout', 'wrong_instruction_share'):
            require(0 <= getattr(self, name) < 1, f'"{name}" must lie in [0, 1)')
        require(
            len(self.task_lengths) == max(1, len(self.tasks)) or not (self.task_lengths),
            '"task_lengths" must have one entry per task, or one for all',
        )

    def longest(self, instruction: str) -> int:
        """Frames of a task's longest episode; the longest of all for a task that is not known."""
        if instruction in self.tasks:
            return self.task_lengths[self.tasks.index(instruction)]
        return max(self.task_lengths, default=1)


def two_hot(values: Tensor, bins: int) -> Tensor:
    """Spreads values over the two nearest of `bins` centres on [-1, 0], so that their mean is kept.

    Args:
        values: (B,); what lies outside goes to the outermost bin.
        bins: How many centres.

    Returns:
        (B, bins), each row summing to 1.
    """
    position = (values.clamp(-1, 0).double() + 1) * (bins - 1)
    below = position.floor().clamp(max=bins - 2)
    share = (position - below).to(values.dtype)
    low = below.long()
    rows = values.new_zeros(len(values), bins)
    rows.scatter_(1, low[:, None], (1 - share)[:, None])
    return rows.scatter_(1, low[:, None] + 1, share[:, None])


def distributional_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy against the two-hot target.

    Args:
        logits: (B, bins).
        target: (B,) in [-1, 0].

    Returns:
        The mean over the batch, and what is worth logging: `accuracy` is the share of frames whose
        likeliest bin is the target's, `near_accuracy` of those at most 5 bins off.
    """
    bins = logits.shape[1]
    loss = -(two_hot(target, bins) * logits.log_softmax(-1)).sum(-1).mean()
    with torch.no_grad():
        off = (logits.argmax(-1) - ((target + 1) * (bins - 1)).round()).abs()
        error = (mean_and_deviation(logits)[0] - target).abs()
    info = {
        'loss': loss.detach(),
        'accuracy': (off == 0).float().mean(),
        'near_accuracy': (off <= _NEAR).float().mean(),
        'absolute_error': error.mean(),
    }
    return loss, info


def mean_and_deviation(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (B,) each, of the distributions of (B, bins) logits."""
    centres = torch.linspace(-1, 0, logits.shape[1], device=logits.device)
    chances = logits.float().softmax(-1)
    mean = chances @ centres
    variance = (chances * (centres - mean[:, None]) ** 2).sum(-1)
    return mean, variance.sqrt()


class Backbone(Protocol):
    """What turns observations and an instruction into logits."""

    encoder: nn.Module
    latent_size: int

    def encode(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None
    ) -> Tensor:
        """As `ValueModel.encode`."""

    def embed(self, instructions: Sequence[str]) -> Tensor:
        """As `ValueModel.embed`."""

    def logits(self, latents: Tensor, text: Tensor) -> Tensor:
        """(B, bins) of (B, L) latents and (B, T) texts."""


class SmallBackbone(nn.Module):
    """An observation encoder, sentence embeddings, and a head that the text modulates."""

    def __init__(self, config: DistributionalConfig) -> None:
        """Builds the layers; the sentence encoder is not part of it."""
        super().__init__()
        self.encoder = ObservationEncoder(config)
        self.latent_size = self.encoder.output_dim
        self.film = config.fusion == 'film'
        hidden, size = config.hidden, self.latent_size
        self.text = nn.Sequential(nn.Linear(SENTENCE_DIM, _FUSION_DIM), nn.LayerNorm(_FUSION_DIM))
        self.first = nn.Linear(size if self.film else size + _FUSION_DIM, hidden)
        self.norm = nn.LayerNorm(hidden)
        if self.film:
            self.modulation = nn.Linear(_FUSION_DIM, 2 * hidden)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)
        self.rest = nn.Sequential(
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, config.bins),
        )

    def encode(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None
    ) -> Tensor:
        """The latents of all cameras and of the state, side by side."""
        latents: Tensor = self.encoder(images, state, hide_state)
        return latents

    def embed(self, instructions: Sequence[str]) -> Tensor:
        """(N, 384) sentence embeddings."""
        return embed_sentences(instructions).to(self.first.weight.device)

    def logits(self, latents: Tensor, text: Tensor) -> Tensor:
        """FiLM (arXiv 1709.07871) of the first layer, or the text beside the latent."""
        read = self.text(text)
        if self.film:
            scale, offset = self.modulation(F.gelu(read)).chunk(2, -1)
            hidden = self.norm(self.first(latents)) * (1 + scale) + offset
        else:
            hidden = self.norm(self.first(torch.cat([latents, read], -1)))
        result: Tensor = self.rest(hidden)
        return result


class DistributionalValue(ValueModel):
    """A distribution over the normalised steps left, given an observation and an instruction."""

    kind = 'distributional'
    reads_text = True
    config: DistributionalConfig

    def __init__(self, config: DistributionalConfig) -> None:
        """Builds the network.

        Raises:
            UserError: The vision-language models cannot be read from their folder.
        """
        super().__init__(config)
        if config.backbone == 'small':
            self.backbone: nn.Module = SmallBackbone(config)
        else:
            from vvf_models.values.siglip_gemma import SiglipGemmaBackbone

            self.backbone = SiglipGemmaBackbone(config)

    @property
    def _backbone(self) -> Backbone:
        return cast(Backbone, self.backbone)

    @property
    def encoder(self) -> nn.Module:
        """What `freeze_encoder` freezes."""
        return self._backbone.encoder

    def encode(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """Latents (B, L) of observations; see `ValueModel.encode`."""
        return self._backbone.encode(images, state, hide_state)

    @property
    def latent_size(self) -> int:
        """L."""
        return self._backbone.latent_size

    def embed(self, instructions: Sequence[str]) -> Tensor:
        """(N, T) of N instructions, in the form that the backbone wants."""
        return self._backbone.embed(instructions)

    def logits(self, latents: Tensor, text: Tensor) -> Tensor:
        """(B, bins) of (B, L) latents and (B, T) instructions as `embed` gives them."""
        return self._backbone.logits(latents, text)

    def _of_goal(self, latents: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
        if goal.text is None:
            raise ValueError('a distributional value needs an instruction')
        text = goal.text.expand(len(latents), -1)
        return mean_and_deviation(self.logits(latents, text))

    def values(self, latents: Tensor, goal: Goal) -> Tensor:
        """Means of the distributions, (1, B), in [-1, 0].

        Raises:
            ValueError: The goal has no text.
        """
        return self._of_goal(latents, goal)[0][None]

    def estimate(self, latents: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the distributions, (B,) each.

        Raises:
            ValueError: The goal has no text.
        """
        return self._of_goal(latents, goal)

    def progress(self, value: Tensor) -> Tensor:
        """1 where no step is left, 0 where a longest episode is left, or a failure comes."""
        return (1 + value * (1 + self.config.c_fail_coef)).clamp(0, 1)

    @property
    def discount(self) -> float:
        """1: returns are not discounted."""
        return 1.0

    @property
    def step_cost(self) -> float:
        """Of the task with the longest episode; see `step_cost_of`."""
        return self.step_cost_of('')

    def step_cost_of(self, instruction: str) -> float:
        """1 / (M + C) of a task."""
        return 1 / (self.config.longest(instruction) * (1 + self.config.c_fail_coef))

    @property
    def failure_value(self) -> float:
        """-C / (M + C): what the last frame of a failure is worth."""
        return -self.config.c_fail_coef / (1 + self.config.c_fail_coef)
