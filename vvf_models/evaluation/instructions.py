# SPDX-License-Identifier: Apache-2.0
"""Does a value depend on the instruction? Each success is judged under every instruction there is.

The margin is that of the confusion matrix of RynnValue (arXiv 2608.09853): the value at the end
under the right instruction, less the mean under the others. It is given in progress, so that models
with different units can be compared. Only successes are asked: in a failure no instruction was
carried out, or another one than asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.evaluation.bootstrap import Bootstrap
from vvf_models.evaluation.scoring import causal_mean, goals_of, latent_values
from vvf_models.values.base import GoalSet, ValueModel

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Asked:
    """Values at the end of episodes under every instruction.

    Attributes:
        candidates: The instructions, C of them.
        right: (E,) which one was the episode's own.
        values: (E, C) in the model's unit.
        progress: (E, C) in [0, 1].
    """

    candidates: list[str]
    right: NDArray[np.int64]
    values: Values
    progress: Values

    @property
    def confusion(self) -> Values:
        """(C, C) mean progress of the episodes of one instruction (row) under another."""
        rows = [self.progress[self.right == i].mean(0) for i in range(len(self.candidates))]
        return np.stack(rows)


def instructions_of(model: ValueModel, goals: GoalSet | None, present: Sequence[str]) -> list[str]:
    """Among the instructions present, those that make a difference to a model.

    A model that reads text tells all of them apart; one that takes goals those that have goals of
    their own; any other none.
    """
    known = {text for text in present if text}
    if not model.reads_text:
        known &= set(goals.instructions) if model.takes_goal and goals is not None else set()
    return sorted(known) if len(known) > 1 else []


@torch.inference_mode()
def ask_all(
    model: ValueModel,
    latents: Sequence[Tensor],
    instructions: Sequence[str],
    candidates: Sequence[str],
    goals: GoalSet | None = None,
    *,
    smooth: int = 1,
) -> Asked:
    """Values at the end of episodes under every candidate.

    Args:
        model: The value function.
        latents: Per episode, (T, L).
        instructions: Per episode, its own, one of the candidates.
        candidates: What to ask.
        goals: For a model that takes goals; None for each episode's own last frame.
        smooth: Frames of the causal mean.
    """
    values = np.zeros((len(latents), len(candidates)))
    for column, candidate in enumerate(candidates):
        against = goals_of(model, latents, [candidate] * len(latents), goals)
        for row, (part, goal) in enumerate(zip(latents, against, strict=True)):
            last = latent_values(model, part[-smooth:], goal)
            values[row, column] = causal_mean(last, smooth)[-1]
    progress = model.progress(torch.from_numpy(values).float().to(model.device)).cpu().numpy()
    right = np.array([list(candidates).index(text) for text in instructions], np.int64)
    return Asked(list(candidates), right, values, progress)


def instruction_metrics(
    asked: Asked | None, *, bootstrap: int = 1000, seed: int = 0
) -> dict[str, float]:
    """How an instruction tells.

    Args:
        asked: Values of successes; None where there is nothing to compare.
        bootstrap: Resamples, 0 for no intervals.
        seed: Of the resampling.

    Returns:
        `instructions` (how many were compared), and where there are two or more
        `instruction_margin_mean` (in progress), `instruction_right_share` (episodes that end higher
        under their own instruction than under any other) and `instruction_auc` (the value at the
        end under one's own instruction against all values under others).
    """
    if asked is None or len(asked.candidates) < 2 or not len(asked.right):
        return {'instructions': 0}
    count = len(asked.right)
    everyone = np.arange(count)
    own = np.zeros(asked.values.shape, bool)
    own[everyone, asked.right] = True
    others = asked.values[~own].reshape(count, -1)
    other_progress = asked.progress[~own].reshape(count, -1)
    resample = Bootstrap(list(asked.right), bootstrap, seed)
    estimates = {
        'instruction_margin_mean': resample.mean(asked.progress[own] - other_progress.mean(1)),
        'instruction_right_share': resample.mean((asked.values[own] > others.max(1)).astype(float)),
        'instruction_auc': resample.auc(
            asked.values[own], others.ravel(), everyone, np.repeat(everyone, others.shape[1])
        ),
    }
    result: dict[str, float] = {'instructions': len(asked.candidates)}
    for name, estimate in estimates.items():
        result |= estimate.entries(name) if bootstrap else {name: estimate.value}
    return result
