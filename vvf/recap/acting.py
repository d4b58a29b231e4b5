# SPDX-License-Identifier: Apache-2.0
"""Runs the stages that simulate: demonstrations, rollouts to learn from, and to judge by."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vvf.cli.output import progress_bar
from vvf.pool import run_jobs
from vvf.recap.stages import Demonstrating, RollingOut
from vvf.rollouts import Rollout, RolloutJob, roll_out
from vvf_sim.collect import collect_to_file

_EPISODES = 'episodes.jsonl'


def demonstrate(stages: Sequence[Demonstrating], workers: int, engine: str) -> None:
    """Collect what is missing of some stages."""
    started = time.monotonic()
    for stage in stages:
        stage.folder.mkdir(parents=True, exist_ok=True)
    todo = [job for stage in stages for job in stage.jobs if not job.path.exists()]
    with progress_bar('episodes') as bar:
        row = bar.add_task('demonstrations', total=len(todo))
        for _ in run_jobs(collect_to_file, todo, workers, engine):
            bar.update(row, advance=1)
    for stage in stages:
        stage.finish({'episodes': len(stage.jobs), 'seconds': time.monotonic() - started})


def act(stages: Sequence[RollingOut], workers: int, engine: str) -> dict[Path, list[Rollout]]:
    """Run what is missing of some stages; every rollout by the stage's folder.

    Each episode is noted when it is done, so that no other is run again after Ctrl-C.
    """
    started = time.monotonic()
    done = {stage.folder: _noted(stage) for stage in stages}
    places: dict[tuple[Path, int, int, bool], Path] = {}
    todo = []
    for stage in stages:
        for job in stage.jobs:
            if job.seed not in done[stage.folder]:
                places[_key(job)] = stage.folder
                todo.append(job)
    with progress_bar('episodes') as bar:
        row = bar.add_task('rollouts', total=len(todo))
        for job, result in run_jobs(_run, todo, workers, engine):
            folder = places[_key(job)]
            _note(folder, result)
            done[folder][result.seed] = result
            bar.update(row, advance=1)
    for stage in stages:
        results = [done[stage.folder][job.seed] for job in stage.jobs]
        successes = sum(r.success for r in results)
        stage.finish(
            {
                'episodes': len(results),
                'successes': successes,
                'takeovers': sum(r.takeovers for r in results),
                'human_steps': sum(r.human_steps for r in results),
                'failures': Counter(r.failure_kind for r in results if not r.success),
                'seconds': (time.monotonic() - started) * len(results) / max(1, len(todo)),
            }
        )
        help_given = sum(bool(r.takeovers) for r in results)
        text = f'{stage.title}: {successes} of {len(results)} succeed'
        print(text + (f", {help_given} with somebody's help" if help_given else ''))
    return {stage.folder: rollouts_of(stage) for stage in stages}


def rollouts_of(stage: RollingOut) -> list[Rollout]:
    """The rollouts of a stage that is done, in the order of its jobs."""
    noted = _noted(stage)
    return [noted[job.seed] for job in stage.jobs]


def _run(job: RolloutJob) -> tuple[RolloutJob, Rollout]:
    return job, roll_out(job)


def _key(job: RolloutJob) -> tuple[Path, int, int, bool]:
    return job.policy, job.seed, job.patience, job.record is not None


def _note(folder: Path, result: Rollout) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {**asdict(result), 'path': None if result.path is None else 'kept'}
    with (folder / _EPISODES).open('a', encoding='utf-8') as file:
        file.write('\n' + json.dumps(entries))  # a line that was cut off stays alone


def _noted(stage: RollingOut) -> dict[int, Rollout]:
    """Rollouts of before, by their seeds; a last line that was cut off is none."""
    path = stage.folder / _EPISODES
    found: dict[int, Rollout] = {}
    if not path.is_file():
        return found
    files = {job.seed: job.record for job in stage.jobs}
    for line in path.read_text('utf-8').splitlines():
        try:
            entries = json.loads(line)
        except ValueError:
            continue
        record = files.get(entries['seed'])
        for name in ('milestones', 'errors', 'falls'):
            entries[name] = tuple(entries[name])
        if record is None or record.is_file():
            found[entries['seed']] = Rollout(**{**entries, 'path': record})
    return found
