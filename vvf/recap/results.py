# SPDX-License-Identifier: Apache-2.0
"""What the loop came to: stored results, and the comparison with the imitation policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from vvf.recap.acting import rollouts_of
from vvf.recap.run import IMITATION, Plan
from vvf.recap.stages import RollingOut
from vvf.rollouts import Rollout, wilson
from vvf.rollouts.summary import compare
from vvf.stored_results import StoredResult, this_machine, write_result
from vvf.success_interval import LAYOUTS

RESULT = 'result.json'


def success_numbers(rollouts: Sequence[Rollout], rate_hz: float) -> dict[str, float]:
    """What some rollouts say about a policy, as `vvf eval policy` counts it."""
    successes = sum(r.success for r in rollouts)
    low, high = wilson(successes, len(rollouts))
    hours = sum(r.steps for r in rollouts) / rate_hz / 3600.0
    return {
        'success_rate': successes / len(rollouts),
        'wilson_low': low,
        'wilson_high': high,
        'successes_per_hour': successes / hours if hours else math.nan,
        'steps_mean': float(np.mean([r.steps for r in rollouts])),
    }


def paired(before: Sequence[Rollout], after: Sequence[Rollout]) -> dict[str, float]:
    """The gain of one policy over another on the same seeds, in points.

    The 95 % interval is Agresti and Min's (`vvf.rollouts.summary.compare`), which keeps a width
    where nothing was won or lost.

    Raises:
        ValueError: the seeds differ.
    """
    if [r.seed for r in before] != [r.seed for r in after]:
        raise ValueError('rollouts of other seeds cannot be compared in pairs')
    found = compare(before, after)
    return {
        'points_gained': 100 * found.difference,
        'points_low': 100 * found.low,
        'points_high': 100 * found.high,
        'seeds_won': float(found.only_second),
        'seeds_lost': float(found.only_first),
    }


def store_results(plan: Plan) -> list[StoredResult]:
    """Write a result beside every evaluation that is done."""
    results = {}
    for (seed, method), stage in plan.imitation.items():
        if stage.is_done:
            shared = plan.run.config.shared_pretraining
            name = IMITATION if shared else f'{IMITATION} ({method})'
            results[stage.folder] = _result(plan, seed, method, 0, stage, name)
    for (seed, method, k), stage in plan.evaluations.items():
        if stage.is_done:
            results[stage.folder] = _result(plan, seed, method, k, stage, method)
    for folder, result in results.items():
        write_result(folder / RESULT, result)
    return list(results.values())


def _result(
    plan: Plan, seed: int, method: str, k: int, stage: RollingOut, name: str
) -> StoredResult:
    run = plan.run
    rollouts = rollouts_of(stage)
    training = plan.trainings[seed, method, k].numbers()
    numbers: dict[str, Any] = {'iteration': k, **success_numbers(rollouts, run.rate_hz)}
    numbers[LAYOUTS] = [float(r.success) for r in rollouts]
    if k:
        before = plan.imitation[seed, method]
        numbers |= paired(rollouts_of(before), rollouts)
        collected = plan.rollouts[seed, method, k].numbers()
        numbers['rollouts'] = collected['episodes']
        numbers['rollout_successes'] = collected['successes']
        numbers['human_steps'] = collected['human_steps']
    numbers['policy_steps'] = plan.trainings[seed, method, k].steps
    for key in ('epochs', 'frames', 'positive'):
        numbers[f'policy_{key}'] = float(training.get(key, math.nan))
    return StoredResult(
        experiment='recap',
        method=name,
        condition=f'{run.task} iteration {k}',
        seed=seed,
        task=run.task,
        robot=run.eval_world.arm,
        episodes=len(rollouts),
        successes=sum(r.success for r in rollouts),
        numbers=numbers,
        command=run.command,
        machine=this_machine(),
        seconds=training['seconds'] + stage.numbers()['seconds'],
    )


def results_table(results: Sequence[StoredResult], task: str) -> Table:
    """The comparison, a line for each method, iteration k and training seed; k = 0 is imitation."""
    steps = {f'{r.numbers["policy_steps"]:.0f}' for r in results}
    table = Table(title=f'RECAP, {task}; policies fine-tuned for {", ".join(sorted(steps))} steps')
    table.add_column('method')
    for head in ('k', 'seed', 'success (95 %)', 'gained, points', 'per hour', 'epochs', 'positive'):
        table.add_column(head, justify='right')
    for r in sorted(results, key=lambda r: (r.seed, r.numbers['iteration'], r.method)):
        n: dict[str, Any] = r.numbers
        gained = '-'
        if 'points_gained' in n:
            gained = (
                f'{n["points_gained"]:+.0f} ({n["points_low"]:+.0f} to {n["points_high"]:+.0f})'
            )
        told = r.method not in ('none', 'filtered')
        table.add_row(
            r.method,
            f'{n["iteration"]:.0f}',
            str(r.seed),
            f'{r.successes}/{r.episodes} ({n["wilson_low"]:.2f} to {n["wilson_high"]:.2f})',
            gained,
            f'{n["successes_per_hour"]:.0f}',
            f'{n["policy_epochs"]:.1f}',
            f'{n["policy_positive"]:.0%}' if told else '-',
        )
    return table
