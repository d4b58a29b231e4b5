# SPDX-License-Identifier: Apache-2.0
"""What every value model is, so that plots, labels and training do not care which one runs.

An observation is encoded once, into a latent; the latent is then judged against any number of goals
or instructions. Higher is better, in the model's own unit; `progress` maps that to [0, 1].
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from vvf_models.encoders.observation import Normaliser
from vvf_models.model_config import EncodedObservationConfig, TrainingConfig


@dataclass(frozen=True)
class ValueConfig(TrainingConfig, EncodedObservationConfig):
    """What every value model is built and trained from."""

    n_goals: int = 16  # goal observations kept in the checkpoint, of models that take goals

    def __post_init__(self) -> None:
        """Checks all groups.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        self.check_training()


@dataclass(frozen=True)
class Goal:
    """What a value is measured against.

    Attributes:
        latents: (G, L) encoded goal observations; the value is the mean over them.
        text: (T,) what `embed` made of the instruction.
    """

    latents: Tensor | None = None
    text: Tensor | None = None

    def to(self, device: torch.device) -> 'Goal':
        """The same on a device."""
        return replace(
            self,
            latents=None if self.latents is None else self.latents.to(device),
            text=None if self.text is None else self.text.to(device),
        )


@dataclass(frozen=True)
class GoalSet:
    """Goal observations, and which instruction each belongs to.

    Attributes:
        latents: (G, L) encoded goal observations.
        instructions: G of them; empty where nobody said.
    """

    latents: Tensor
    instructions: tuple[str, ...] = ()

    def of(self, instruction: str) -> Tensor:
        """The goals (g, L) of an instruction; all of them for one that none belongs to."""
        chosen = [i for i, text in enumerate(self.instructions) if text == instruction]
        return self.latents[chosen] if chosen else self.latents


class ValueModel(nn.Module):
    """A value function of observations.

    Attributes:
        kind: Name in checkpoints and on the command line.
        takes_goal: Whether values are measured against goal observations.
        reads_text: Whether values depend on the instruction.
        frames_seen: How many frames a value depends on; 1 for a model without a memory.
        config: What it was built from.
    """

    kind: ClassVar[str]
    takes_goal: ClassVar[bool] = False
    reads_text: bool = False  # of the class, or of an instance where the configuration says
    frames_seen: ClassVar[int] = 1

    def __init__(self, config: ValueConfig) -> None:
        """Takes the configuration and the state's statistics."""
        super().__init__()
        self.config = config
        self.normalise = Normaliser(config)

    @abstractmethod
    def encode(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """Encodes observations.

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) as `normalise` gives it, or None for a model of images only.
            hide_state: (B,) bool, where the state is to be hidden.

        Returns:
            (B, L) float32 latents.
        """

    @property
    @abstractmethod
    def latent_size(self) -> int:
        """L, the length of what `encode` gives."""

    @abstractmethod
    def values(self, latents: Tensor, goal: Goal) -> Tensor:
        """Values of (B, L) latents, (E, B): of each member of an ensemble, or of the only one."""

    def embed(self, instructions: Sequence[str]) -> Tensor | None:
        """(N, T) of N instructions; None for a model that reads none."""
        return None

    def estimate(self, latents: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
        """Value and uncertainty, (B,) each; half the ensemble's spread, NaN without an ensemble."""
        members = self.values(latents, goal)
        value = members.mean(0)
        if len(members) == 1:
            return value, torch.full_like(value, torch.nan)
        return value, (members.amax(0) - members.amin(0)) / 2

    @abstractmethod
    def progress(self, value: Tensor) -> Tensor:
        """The monotone map of a value to [0, 1]."""

    @property
    @abstractmethod
    def discount(self) -> float:
        """Discount per step; 1 for undiscounted values."""

    @property
    @abstractmethod
    def step_cost(self) -> float:
        """What a step costs in the unit of the value, before discounting."""

    def step_cost_of(self, instruction: str) -> float:
        """`step_cost`, for models whose unit differs from task to task."""
        return self.step_cost

    @property
    def failure_value(self) -> float | None:
        """What the last frame of a failure is worth; None for a model that learns of none."""
        return None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device
