# SPDX-License-Identifier: Apache-2.0
"""A run of online RL: trained, resumed or read, and its results written, one file per seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
import torch
import yaml

from vvf.errors import UserError
from vvf.online.curves import steps_to
from vvf.online.trainer import Agent, OnlineTrainer, Rngs, RunConfig, Setting
from vvf.stored_results import StoredResult, read_results, this_machine, write_result
from vvf.whole_file import write_whole
from vvf_models.checkpoints import write_tensors
from vvf_models.config import from_mapping
from vvf_models.training.loop import Budget, forget_state, is_unfinished, run

SUCCESS = 0.8
T = TypeVar('T')


def read_experiment(kind: type[T], path: Path, changes: Mapping[str, Any] | None = None) -> T:
    """Read an experiment's file.

    Args:
        kind: a dataclass of dataclasses; its entries are the file's sections.
        path: of the YAML.
        changes: values by 'section.entry', which win over the file's.

    Raises:
        UserError: a section or an entry is unknown or of the wrong type.
    """
    try:
        content = yaml.safe_load(path.read_text('utf-8'))
    except OSError as error:
        raise UserError(f'{path} cannot be read: name a file of config/experiments.') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is not valid YAML; mend it.') from error
    hints = get_type_hints(kind)
    sections = {field.name: hints[field.name] for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(content, dict) or set(content) - set(sections):
        raise UserError(f'{path} must have the sections {", ".join(sections)}, and no others.')
    content = {section: {} if entries is None else entries for section, entries in content.items()}
    for section, entries in content.items():
        if not isinstance(entries, dict):
            raise UserError(f'{path}: "{section}" must hold "key: value" lines.')
    for key, value in (changes or {}).items():
        section, _, entry = key.partition('.')
        if section not in sections or not entry:
            raise UserError(f'--set {key}: use SECTION.KEY=VALUE, of {", ".join(sections)}.')
        content.setdefault(section, {})[entry] = value
    parts = {
        name: from_mapping(cls, content.get(name, {}), f'{path}: {name}', partial=True)
        for name, cls in sections.items()
    }
    return kind(**parts)


@dataclass(frozen=True)
class Run:
    """All seeds of a reward, side by side.

    Attributes:
        folder: where it is kept.
        task: name of the task.
        condition: what else tells it from others, in words.
        seeds: one agent each.
        setting: environment, reward, offline data.
        config: how long.
        make_agent: makes the agents.
        identity: what a run that goes on must share with the one that was stopped.
        command: that makes it again.
    """

    folder: Path
    task: str
    condition: str
    seeds: Sequence[int]
    setting: Setting
    config: RunConfig
    make_agent: Callable[[Rngs], Agent]
    identity: Mapping[str, Any]
    command: str = ''


def train_run(job: Run, *, progress: bool = True) -> list[StoredResult] | None:
    """Train a run; a finished one is read, an unfinished one goes on.

    Returns:
        One result for each seed; None where Ctrl-C came: the same call goes on.

    Raises:
        UserError: the folder holds a run of another configuration, or of other seeds.
        KeyboardInterrupt: Ctrl-C came when all was trained: it is written, and no more is begun.
    """
    done = job.folder / 'run.json'
    identity = {**job.identity, 'seeds': list(job.seeds)}
    if done.is_file():
        if not _is_of(done, identity):
            raise UserError(f'{job.folder} holds another run: choose another --out, or delete it.')
        return read_results([job.folder / f'seed_{seed}.json' for seed in job.seeds])
    torch.set_num_threads(1)
    trainer = OnlineTrainer(job.make_agent, job.setting, job.config, job.seeds)
    count = job.config.environments
    try:
        outcome = run(
            trainer,
            job.folder,
            Budget(steps=-(-job.config.steps // count)),
            identity=identity,
            evaluate_every=max(1, job.config.evaluate_every // count),
            warmup_steps=1,
            resume=is_unfinished(job.folder),
            progress=progress,
            title=f'{job.setting.kind}, {job.condition}',
        )
    finally:
        trainer.close()
    if outcome.interrupted:
        return None
    results = _results(job, trainer, outcome.seconds)
    for seed, result in zip(job.seeds, results, strict=True):
        write_result(job.folder / f'seed_{seed}.json', result)
    write_tensors(job.folder / 'agents.safetensors', trainer.agent.tensors())
    write_whole(done, json.dumps(identity, indent=1) + '\n')
    forget_state(job.folder)
    if outcome.stop_wanted:
        raise KeyboardInterrupt
    return results


def _is_of(file: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a run's file says that it is of that identity; a damaged one does not."""
    try:
        return bool(json.loads(file.read_text('utf-8')) == json.loads(json.dumps(identity)))
    except ValueError:
        return False


def _results(job: Run, trainer: OnlineTrainer, seconds: float) -> list[StoredResult]:
    steps, episodes = trainer.curve_steps, job.config.evaluate_episodes
    results = []
    for seed, curve in zip(job.seeds, np.transpose(trainer.curve_success), strict=True):
        shares = [float(share) for share in curve]
        numbers: dict[str, float | list[float]] = {
            'curve_steps': [float(step) for step in steps],
            'curve_success': shares,
            'steps_to_80': steps_to(SUCCESS, steps, shares),
        }
        results.append(
            StoredResult(
                experiment='online_rl',
                method=job.setting.kind,
                condition=job.condition,
                seed=seed,
                task=job.task,
                robot='',
                episodes=episodes,
                successes=round(shares[-1] * episodes),
                numbers=numbers,
                command=job.command,
                machine=this_machine(),
                # Seeds are trained at once; each counts its share of the time.
                seconds=seconds / len(job.seeds),
            )
        )
    return results
