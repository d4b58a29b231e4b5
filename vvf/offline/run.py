# SPDX-License-Identifier: Apache-2.0
"""Does what a plan says, and what of it is done already not again."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vvf.cli.output import progress_bar
from vvf.errors import UserError
from vvf.offline.config import VptrConfig
from vvf.offline.data import check_made_alike, is_there, make
from vvf.offline.plan import FIRST_ROLLOUT, STAGES, TASK, Plan, Step, Trial
from vvf.pool import run_jobs
from vvf.rollouts import RolloutJob, roll_out, wilson
from vvf.stored_results import StoredResult, this_machine, write_result
from vvf.success_interval import LAYOUTS

_LOG = 'output.txt'


def is_done(step: Step) -> bool:
    """Whether a step is done to its end.

    Raises:
        UserError: its data are there, but were made otherwise.
    """
    return is_there(step) if step.stage == 'data' else _is_trained(step.out)


def _is_trained(run: Path) -> bool:
    from vvf_models.training.loop import is_unfinished

    # What was stopped has a checkpoint, too.
    return (run / 'config.yaml').is_file() and not is_unfinished(run)


def run_plan(
    plan: Plan, config: VptrConfig, workers: int, only: str, command: Callable[[Trial], str]
) -> None:
    """Do what is left.

    Args:
        plan: what.
        config: what it was made of.
        workers: processes; with more than one, trainings of one stage run side by side.
        only: 'data', 'training' or 'evaluation'; '' for all.
        command: what makes a trial again.

    Raises:
        UserError: a step cannot be done.
        KeyboardInterrupt: Ctrl-C; a training in this process has saved its state.
    """
    if only == 'training':
        for step in plan.steps:
            if step.stage == 'data':
                check_made_alike(step)
    for stage in STAGES[:-1]:
        if (only and (only == 'data') != (stage == 'data')) or only == 'evaluation':
            continue
        todo = [step for step in plan.steps if step.stage == stage and not is_done(step)]
        if stage == 'data' or workers == 1 or len(todo) == 1:
            for step in todo:
                print(f'\n{step.out}')
                run_step(step)
        elif todo:
            _side_by_side(stage, todo, workers)
    if only in ('', 'evaluation'):
        for trial in plan.trials:
            if not trial.result.is_file():
                evaluate(trial, config, workers, command(trial))


def run_step(step: Step) -> None:
    """Run a command of vvf in this process.

    Raises:
        KeyboardInterrupt: a training was stopped.
    """
    if step.stage == 'data':
        make(step, _run_command)
    else:
        _run_command(step.argv)
    if not is_done(step):
        raise KeyboardInterrupt


def check_trainings(plan: Plan) -> None:
    """See that all trainings are configured as they may be, before data are made for them.

    Raises:
        UserError: (of `vvf` or of `vvf_models`) a phase names no configuration that there is, or an
            entry that is unknown or out of its range.
    """
    for step in plan.steps:
        if step.argv[0] == 'train':
            module, args = _parsed(step.argv)
            module.check_config(args)


def _run_command(argv: tuple[str, ...]) -> None:
    module, args = _parsed(argv)
    module.run(args)


def _parsed(argv: tuple[str, ...]) -> tuple[Any, argparse.Namespace]:
    """The module of a command, and its arguments."""
    module = importlib.import_module(f'vvf.cli.{argv[0]}')
    parser = argparse.ArgumentParser(prog='vvf')
    module.add_parser(parser.add_subparsers())
    return module, parser.parse_args(argv)


def run_quietly(step: Step) -> Path:
    """The same with its output in a file of its folder; for a pool of processes."""
    step.out.mkdir(parents=True, exist_ok=True)
    with (
        (step.out / _LOG).open('a', encoding='utf-8') as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        run_step(step)
    return step.out


def _side_by_side(stage: str, steps: Sequence[Step], workers: int) -> None:
    with progress_bar('runs') as bar:
        row = bar.add_task(f'phase "{stage}"', total=len(steps))
        for folder in run_jobs(run_quietly, steps, workers):
            bar.update(row, advance=1)
            bar.console.print(f'trained: {folder}')


def evaluate(trial: Trial, config: VptrConfig, workers: int, command: str) -> None:
    """Try a policy in its scenario and store how it went.

    Raises:
        UserError: the policy is not there, or does not fit.
    """
    from vvf.task import load_task
    from vvf.worlds import world_config
    from vvf_models.checkpoints import load_config
    from vvf_models.policies.tasks import trained_target
    from vvf_sim.worlds.scenarios import scenario

    policy = trial.runs[-1]
    if not _is_trained(policy):
        raise UserError(f'{policy} is not trained yet: run without --only, or with --only training')
    task = load_task(TASK)
    assert task.sim is not None
    world = world_config(
        task.sim,
        arm=config.arm,
        cameras=config.cameras,
        image_size=config.image_size,
        **scenario(trial.scenario),
    )
    # In all scenarios, as in the paper: a world's instruction may be one of the prior data.
    asked = trained_target(load_config(policy)[1])
    jobs = [
        RolloutJob(
            *(policy, TASK, world, seed, config.max_steps),
            candidates=trial.candidates,
            instruction=asked,
        )
        for seed in range(FIRST_ROLLOUT, FIRST_ROLLOUT + config.rollouts)
    ]
    started, results = time.monotonic(), []
    with progress_bar('episodes') as bar:
        row = bar.add_task(f'{trial.method}, seed {trial.seed}, {trial.condition}', total=len(jobs))
        for result in run_jobs(roll_out, jobs, workers):
            results.append(result)
            bar.update(row, advance=1)
    # Layouts of several training seeds are compared place by place.
    results.sort(key=lambda result: result.seed)
    successes = sum(result.success for result in results)
    low, high = wilson(successes, len(results))
    seconds = time.monotonic() - started + sum(_trained_seconds(run) for run in trial.runs)
    failures = Counter(result.failure_kind for result in results if not result.success)
    reached = Counter(name for result in results for name in set(result.milestones))
    write_result(
        trial.result,
        StoredResult(
            experiment='vptr',
            method=trial.method,
            condition=trial.condition,
            seed=trial.seed,
            task=TASK,
            robot=config.arm,
            episodes=len(results),
            successes=successes,
            numbers={
                'wilson_low': low,
                'wilson_high': high,
                LAYOUTS: [float(result.success) for result in results],
                'steps_mean': sum(result.steps for result in results) / len(results),
                **{f'failed_{kind}': float(count) for kind, count in failures.items()},
                **{f'reached_{name}': float(count) for name, count in reached.items()},
            },
            command=command,
            machine=this_machine(),
            seconds=seconds,
        ),
    )


def _trained_seconds(run: Path) -> float:
    return float(json.loads((run / 'metrics.json').read_text('utf-8'))['seconds'])
