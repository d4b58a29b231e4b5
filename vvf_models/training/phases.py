# SPDX-License-Identifier: Apache-2.0
"""Multi-task data in phases: which task an episode is of, and batches of prior and target data.

PTR (arXiv 2210.05178) and V-PTR (arXiv 2309.13041, sec. 4.3): target data are a task of their own,
and every batch of the last phase holds a fixed share of them.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vvf_models.data.frames import FrameStore
from vvf_models.errors import UserError
from vvf_models.policies.cql_networks import ToldMlp
from vvf_models.training.learner import Indices


def task_names(store: FrameStore, config: Any) -> list[str]:
    """Which task each episode is of: its instruction, or `target_task` for target data.

    Without any episode marked as target data, all are meant by `target_task`.
    """
    own_task = getattr(config, 'target_task', '')
    if not own_task or config.task_vector != 'one-hot':
        return store.instructions
    target = store.target if store.target.any() else np.ones_like(store.target)
    own = zip(target, store.instructions, strict=True)
    return [own_task if of_target else text for of_target, text in own]


def with_tasks(config: Any, store: FrameStore) -> Any:
    """The configuration with the tasks of the data after those it has.

    Raises:
        UserError: There is one too many for the one-hot vector of the run to start from.
    """
    tasks = (*config.tasks, *sorted(set(task_names(store, config)) - set(config.tasks)))
    slots = config.task_slots or len(tasks)
    if config.task_vector == 'one-hot' and len(tasks) > slots:
        raise UserError(
            f'There are {len(tasks)} tasks, but the one-hot vector has {slots} places; set '
            f'"task_slots" to {len(tasks)} or more, already in the run to start from.'
        )
    return replace(config, tasks=tasks, task_slots=slots)


def begin_new_tasks(model: nn.Module, config: Any, earlier: Any) -> None:
    """Let tasks that an earlier phase did not have begin as the mean of those that it had.

    Their places in the one-hot vector were never set there, so that their weights are as they were
    drawn.

    Args:
        model: Whose layers are told a task vector; it has the earlier phase's weights.
        config: Its configuration.
        earlier: That of the earlier phase.
    """
    known = len(getattr(earlier, 'tasks', ()))
    if getattr(config, 'task_vector', '') != 'one-hot' or not 0 < known < len(config.tasks):
        return
    for part in model.modules():
        if isinstance(part, ToldMlp):
            part.begin_as_mean(known, config.task_dim)


def prior_and_target(store: FrameStore, frames: Indices) -> tuple[Indices, Indices]:
    """Frames of prior and of target data."""
    of_target = store.target[store.episode_of[frames]]
    return frames[~of_target], frames[of_target]


class ToldTasks:
    """Which task each step is told to be of.

    With `prior_as_target`, a share of prior data is told to be of the target task, with their own
    rewards, wherever there is target data. So that task knows failures, and more than a few
    demonstrations: what an actor draws where it is asked for that task is then as wide as prior
    data are, and Q has something to choose from. It is right where whoever succeeds at a prior task
    has done what the target task wants, too; no paper does it.

    Args:
        store: The episodes.
        config: Of a policy with tasks.

    Attributes:
        names: The tasks; steps are told their numbers.
    """

    def __init__(self, store: FrameStore, config: Any) -> None:
        """Numbers the tasks."""
        given = task_names(store, config)
        self.names = sorted(set(given))
        numbers = np.array([self.names.index(text) for text in given])
        self._of_frame = numbers[store.episode_of]
        self._of_prior = ~store.target[store.episode_of]
        self._share = 0.0
        if config.target_task in self.names and store.target.any():
            self._own = self.names.index(config.target_task)
            self._share = config.prior_as_target

    def draw(self, rng: np.random.Generator, frames: Indices) -> Tensor:
        """The numbers of the tasks of frames, (N,)."""
        task = self._of_frame[frames]
        if self._share:
            told = self._of_prior[frames] & (rng.random(len(frames)) < self._share)
            task = np.where(told, self._own, task)
        return torch.from_numpy(task)


def draw_mixed(
    rng: np.random.Generator, prior: Indices, target: Indices, count: int, mixing_ratio: float
) -> Indices:
    """`count` frames: the share `mixing_ratio` of prior data, the others of target data.

    Where there is no target data, or no prior data, all are of the other.
    """
    n_prior = round(mixing_ratio * count) if len(target) else count
    frames = rng.choice(prior, n_prior if len(prior) else 0)
    return np.concatenate([frames, rng.choice(target, count - len(frames))])
