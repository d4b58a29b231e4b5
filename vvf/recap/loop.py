# SPDX-License-Identifier: Apache-2.0
"""Runs a plan: wave after wave, what is done already is passed over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from vvf.cli.output import progress_bar
from vvf.errors import UserError
from vvf.pool import run_jobs
from vvf.recap.acting import act, demonstrate
from vvf.recap.given import check_given
from vvf.recap.learning import Learning, learn
from vvf.recap.places import FRAMES
from vvf.recap.results import store_results
from vvf.recap.run import Plan, Run
from vvf.recap.stages import Demonstrating, Indicating, RollingOut, Stage
from vvf.stored_results import StoredResult
from vvf.whole_file import write_whole

_SETTINGS = 'recap.json'


def execute(plan: Plan, workers: int, engine: str = 'local') -> list[StoredResult]:
    """Run what is missing of a plan; the results of all of it.

    Raises:
        UserError: the folder belongs to another run, or a stage cannot do its work.
        KeyboardInterrupt: it was stopped; the same call goes on.
    """
    run = plan.run
    settings = check_begun_alike(run)
    check_given(run)
    run.out.mkdir(parents=True, exist_ok=True)
    write_whole(run.out / _SETTINGS, settings + '\n')
    results = store_results(plan)
    for number, wave in enumerate(plan.waves, 1):
        todo = [stage for stage in wave.stages if not stage.is_done]
        if not todo:
            continue
        minutes = wave.minutes(workers)
        print(f'[{number}/{len(plan.waves)}] {wave.title} (about {minutes:.1f} min)', flush=True)
        if isinstance(todo[0], Demonstrating):
            demonstrate(cast(list[Demonstrating], todo), workers, engine)
        elif isinstance(todo[0], RollingOut):
            act(cast(list[RollingOut], todo), workers, engine)
            results = store_results(plan)
        else:
            _learn(todo, workers, engine)
    # Decoded anew in a minute, and several times as large as all the rest.
    shutil.rmtree(run.out / FRAMES, ignore_errors=True)
    return results


def _learn(stages: Sequence[Stage], workers: int, engine: str) -> None:
    if min(workers, len(stages)) == 1 and engine == 'local':
        for stage in stages:
            _say(stage, learn(Learning(stage, progress=True))[1])
        return
    # The longest first, so that no worker is left with it at the end.
    jobs = [Learning(stage) for stage in sorted(stages, key=lambda stage: -stage.minutes)]
    with progress_bar('stages') as bar:
        row = bar.add_task(f'{len(jobs)} on {min(workers, len(jobs))} workers', total=len(jobs))
        for stage, said in run_jobs(learn, jobs, workers, engine):
            bar.update(row, advance=1)
            _say(stage, said)


def _say(stage: Stage, lines: Sequence[str]) -> None:
    if not isinstance(stage, Indicating):
        print(f'{stage.title}: {"; ".join(lines)}', flush=True)
        return
    print(f'{stage.title}, see {stage.folder}:', flush=True)
    for line in lines:
        print(f'  {line}', flush=True)


def check_begun_alike(run: Run) -> str:
    """Refuse a folder that was begun with other settings; returns what to note of this run's.

    Methods, iterations and seeds may be added later. Worlds, steps and rate come of the task's
    file: if that changed, evaluations of before and after would not be comparable.

    Raises:
        UserError: the folder holds a run of other settings, or one that nobody can tell.
    """
    settings: dict[str, Any] = {
        'task': run.task,
        'config': run.config.mapping(),
        'arm': run.train_world.arm,
        'train_world': asdict(run.train_world),
        'eval_world': asdict(run.eval_world),
        'max_steps': run.max_steps,
        'execute': run.execute,
        'rate_hz': run.rate_hz,
        'demonstrations': _name(run.demonstrations),
        'prior': _name(run.prior),
    }
    text = json.dumps(settings, indent=1, sort_keys=True)
    file = run.out / _SETTINGS
    if file.is_file():
        try:
            before = dict(json.loads(file.read_text('utf-8')))
        except (ValueError, TypeError) as error:
            raise UserError(
                f'{file} is damaged, and does not say what {run.out} is of: choose another folder '
                'with --out.'
            ) from error
        now = json.loads(text)
        if other := [key for key in now if before.get(key) != now[key]]:
            raise UserError(
                f'{run.out} holds a run with another "{other[0]}" ({file.name} says which): go on '
                'with that one, or choose another folder with --out.'
            )
    return text


def _name(path: Path | None) -> str:
    return '' if path is None else str(path.absolute())
