# SPDX-License-Identifier: Apache-2.0
"""Rollouts as a task file describes them, and how kept ones are told from others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vvf.errors import UserError
from vvf.paths import checkpoint_path
from vvf.provenance import checkpoint_id
from vvf.rollouts.job import RolloutJob
from vvf.task import TaskSpec
from vvf.worlds import simulated_rate, world_config, world_entry
from vvf_sim.registry import CONTROL_HZ


def job_of(
    task: TaskSpec, policy: Path, seed: int, world: Mapping[str, Any], **entries: Any
) -> RolloutJob:
    """An episode of a task: its world, its pace, its time limit, its steps of a chunk.

    Args:
        task: with a simulation and an action.
        policy: folder of the checkpoint.
        seed: of the episode.
        world: entries of the world's configuration that replace the task's.
        entries: of the job.

    Raises:
        UserError: the task cannot be simulated, or not at its rate.
    """
    if task.sim is None or task.action is None:
        raise UserError(f'task {task.name} has no sim and action entries to try a policy in.')
    rate_hz = simulated_rate(task)
    known = {
        'max_steps': round(task.episode.time_limit_s * rate_hz),
        'execute': task.action.execute,
        'rate_hz': rate_hz,
    }
    name, config = world_entry(task.sim).name, world_config(task.sim, **world)
    return RolloutJob(policy=policy, task=name, config=config, seed=seed, **{**known, **entries})


def settings_of(job: RolloutJob, *varying: str) -> dict[str, Any]:
    """What tells one folder of rollouts from another: all of a job but its seed and its policy.

    Args:
        job: any of the folder's.
        varying: further entries in which its series differ.
    """
    settings = asdict(job)
    for name in ('policy', 'seed', 'record', *varying):
        del settings[name]
    # Folders from before there was a rate hold episodes at this one.
    if settings['rate_hz'] == CONTROL_HZ:
        del settings['rate_hz']
    return {**settings, 'value': checkpoint_id(str(job.value or ''))}


def checkpoint_folder(name: str) -> Path:
    """The folder of a checkpoint that a user has named.

    Raises:
        UserError: there is none.
    """
    folder = checkpoint_path(name)
    if folder is None:
        raise UserError(f'there is no checkpoint folder {name!r}.')
    return folder
