# SPDX-License-Identifier: Apache-2.0
"""What a policy is asked to do, as a vector: a place of its own, or a sentence's embedding."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vvf_models.encoders.sentence import SENTENCE_DIM, embed_sentences
from vvf_models.errors import UserError

TASK_VECTORS = ('one-hot', 'language')


def task_dim(kind: str, tasks: Sequence[str], slots: int) -> int:
    """Length of a task vector; `slots` of 0 are as many as there are tasks."""
    return SENTENCE_DIM if kind == 'language' else max(1, slots or len(tasks))


def known_task(instruction: str, kind: str, tasks: Sequence[str], target_task: str) -> str:
    """What a policy takes an instruction for: what no one-hot vector knows is `target_task`."""
    if kind == 'one-hot' and instruction not in tasks:
        return target_task or instruction
    return instruction


def trained_target(config: object) -> str:
    """The one task of all target data, of a policy that has learned it; '' of others.

    Args:
        config: of any policy.
    """
    target: str = getattr(config, 'target_task', '')
    return target if target in getattr(config, 'tasks', ()) else ''


def embed_tasks(instructions: Sequence[str], kind: str, tasks: Sequence[str], slots: int) -> Tensor:
    """Task vectors (N, T) of N instructions; a policy of one task takes every one for it.

    Raises:
        UserError: An instruction is none of several that were trained.
    """
    if kind == 'language':
        return embed_sentences(instructions)
    numbers = []
    for text in instructions:
        if text not in tasks and len(tasks) > 1:
            known = ', '.join(f'"{task}"' for task in tasks)
            raise UserError(f'The policy knows no task "{text}"; choose one of {known}.')
        numbers.append(tasks.index(text) if text in tasks else 0)
    return torch.eye(task_dim(kind, tasks, slots))[numbers]
