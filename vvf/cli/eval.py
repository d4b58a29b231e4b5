# SPDX-License-Identifier: Apache-2.0
"""`vvf eval`: measures a value model on recorded episodes, or a policy in simulation."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import Any

from vvf.cli import eval_value
from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.cli.scene import add_scene_options, scene_of
from vvf.errors import UserError
from vvf.paths import checkpoint_path
from vvf.pool import ENGINES, run_jobs


def add_parser(subparsers: Any) -> None:
    """Add `vvf eval`."""
    parser = subparsers.add_parser(
        'eval',
        help='measure a value model or a policy',
        epilog='examples: vvf eval policy checkpoints/bc_pick_place --episodes 50   '
        'vvf eval value checkpoints/icvf_pick_place --data data/held_out --baseline data/mixed',
    )
    what = parser.add_subparsers(dest='what', required=True, metavar='WHAT')
    value = what.add_parser(
        'value', help='do values rise in successes, tell failures, and notice errors?'
    )
    eval_value.add_arguments(value)
    policy = what.add_parser('policy', help='how often does it succeed, in simulation?')
    policy.add_argument('checkpoint', help='folder of a policy checkpoint')
    policy.add_argument('--task', default='pick_place', help='[pick_place]')
    policy.add_argument('--episodes', type=int, default=50, help='[50]')
    policy.add_argument('--seed', type=int, default=700000, help='of the first layout [700000]')
    add_scene_options(policy)
    policy.add_argument('--renderer', default='auto', help='auto, egl, osmesa or ray [auto]')
    policy.add_argument('--execute', type=int, default=0, help="steps of each chunk [the task's]")
    policy.add_argument('--engine', choices=ENGINES, default='local', help='[local]')
    policy.add_argument(
        '--workers', '--jobs', type=int, default=os.cpu_count() or 1, metavar='N',
        help='processes [all cores]',
    )  # fmt: skip
    add_json_option(policy)


def run(args: argparse.Namespace) -> int:
    """Run `vvf eval`."""
    if args.what == 'value':
        return eval_value.run(args)
    folder = checkpoint_path(args.checkpoint)
    if folder is None:
        raise UserError(f'there is no checkpoint folder {args.checkpoint!r}.')
    return _policy(args, folder)


def _policy(args: argparse.Namespace, folder: Path) -> int:
    from vvf.rollouts import RolloutJob, roll_out, wilson
    from vvf.task import load_task
    from vvf.worlds import world_config, world_entry
    from vvf_models.runtime import load_policy

    task = load_task(args.task)
    if task.sim is None or task.action is None:
        raise UserError(f'task {task.name} has no sim and action entries to try a policy in.')
    if args.episodes < 1 or args.workers < 1 or args.execute < 0:
        raise UserError('--episodes and --workers must be at least 1.')
    load_policy(folder)  # a wrong checkpoint is one sentence here, not one for each process
    config = world_config(task.sim, renderer=args.renderer, **scene_of(args, task))
    steps = round(task.episode.time_limit_s * task.action.rate_hz)
    execute = args.execute or task.action.execute
    jobs = [
        RolloutJob(folder, world_entry(task.sim).name, config, seed, steps, execute)
        for seed in range(args.seed, args.seed + args.episodes)
    ]
    results = []
    with progress_bar('episodes') as bar:
        job = bar.add_task(folder.name, total=len(jobs))
        for result in run_jobs(roll_out, jobs, args.workers, args.engine):
            results.append(result)
            good = sum(r.success for r in results)
            bar.update(job, advance=1, description=f'{good} of {len(results)} succeed')
    successes = sum(r.success for r in results)
    low, high = wilson(successes, len(results))
    hours = sum(r.steps for r in results) / task.action.rate_hz / 3600.0
    failures = Counter(r.failure_kind for r in results if not r.success)
    numbers = {
        'episodes': len(results),
        'successes': successes,
        'success_rate': successes / len(results),
        'wilson_low': low,
        'wilson_high': high,
        'successes_per_hour': successes / hours,
        'interventions': 0,
        'steps_mean': sum(r.steps for r in results) / len(results),
        'failures': dict(failures),
    }
    print(
        f'{folder.name}: {successes} of {len(results)} succeed '
        f'(95 % interval {low:.2f} to {high:.2f}), {numbers["steps_mean"]:.1f} steps on average'
    )
    if failures:
        print('failures: ' + ', '.join(f'{n} {kind}' for kind, n in failures.most_common()))
    write_json(args.json, numbers)
    return 0
