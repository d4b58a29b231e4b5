# SPDX-License-Identifier: Apache-2.0
"""`vvf collect`: episodes of the scripted expert in simulation, as training data."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError
from vvf.processes import PARENT, end_with_parent


def add_parser(subparsers: Any) -> None:
    """Add `vvf collect`."""
    parser = subparsers.add_parser(
        'collect',
        help='record episodes of the scripted expert in simulation',
        description='Collect episodes in simulation, faster than real time; resumes where it was.',
        epilog='example: vvf collect pick_place --episodes 500 --expert demonstrator '
        '--out data/demonstrations',
    )
    parser.add_argument('task', help='a task of config/tasks with a sim entry')
    parser.add_argument('--out', type=Path, required=True, help='folder for one npz an episode')
    parser.add_argument('--episodes', type=int, default=100, help='[100]')
    parser.add_argument('--seed', type=int, default=0, help='seed of the first episode [0]')
    parser.add_argument(
        '--expert',
        choices=('demonstrator', 'noisy'),
        default='demonstrator',
        help='demonstrator: small noise and recoveries, for imitation; noisy: designed mistakes '
        'too, for value models [demonstrator]',
    )
    parser.add_argument(
        '--noise',
        type=float,
        default=None,
        help='noisy expert: 0 nearly always succeeds, 1 about 30 %% [drawn for each episode]',
    )
    parser.add_argument('--setting', choices=('train', 'held_out'), default='train', help='[train]')
    parser.add_argument(
        '--targets', nargs='+', metavar='KIND', help="objects to pick, one drawn [the task's]"
    )
    parser.add_argument(
        '--containers', nargs='+', metavar='KIND', help="where to, one drawn [the task's]"
    )
    parser.add_argument(
        '--distractors', type=int, metavar='N', help="other objects, 0 to 4 [the task's]"
    )
    parser.add_argument(
        '--ray-share',
        type=float,
        default=0.0,
        help='part of the episodes drawn by the ray caster, so that a model works without OpenGL',
    )
    parser.add_argument(
        '--jobs', type=int, default=os.cpu_count() or 1, help='processes [all cores]'
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf collect`."""
    from vvf_sim.collect import collect_to_file

    jobs = _jobs(args)
    args.out.mkdir(parents=True, exist_ok=True)
    todo = [job for job in jobs if not job.path.is_file()]
    if len(todo) < len(jobs):
        print(f'{len(jobs) - len(todo)} of {len(jobs)} episodes are there already')
    outcomes: Counter[str] = Counter()
    frames = 0
    # A fresh interpreter for each worker: OpenGL contexts do not survive a fork.
    context = multiprocessing.get_context('spawn')
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    os.environ[PARENT] = str(os.getpid())
    with progress_bar('episodes') as bar, context.Pool(args.jobs, end_with_parent) as pool:
        task = bar.add_task(args.out.name, total=len(todo))
        for result in pool.imap_unordered(collect_to_file, todo):
            outcomes['success' if result.success else result.failure_kind] += 1
            frames += result.frames
            bar.update(task, advance=1)
    summary = {'episodes': len(todo), 'frames': frames, 'outcomes': dict(outcomes)}
    print(f'{len(todo)} episodes, {frames} frames: {_listed(outcomes.most_common())}')
    write_json(args.json, summary)
    return 0


def _jobs(args: argparse.Namespace) -> list[Any]:
    import numpy as np

    from vvf.task import load_task
    from vvf.worlds import world_config, world_entry
    from vvf_sim.collect import CollectJob
    from vvf_sim.experts.config import ExpertConfig

    task = load_task(args.task)
    if task.sim is None:
        raise UserError(f'task {task.name} has no sim entry, so it cannot be simulated.')
    if args.seed < 0 or (args.noise is not None and args.expert != 'noisy'):
        raise UserError('--seed must not be negative, and --noise is for --expert noisy.')
    if args.episodes < 1 or args.jobs < 1 or not 0.0 <= args.ray_share <= 1.0:
        raise UserError('--episodes and --jobs must be at least 1, --ray-share from 0 to 1.')
    world: dict[str, Any] = {'setting': args.setting}
    if args.targets:
        world['targets'] = tuple(args.targets)
    if args.containers:
        world['containers'] = tuple(args.containers)
    if args.distractors is not None:
        world['n_distractors'] = args.distractors
    entry = world_entry(task.sim)
    jobs = []
    for seed in range(args.seed, args.seed + args.episodes):
        rng = np.random.default_rng([seed, 3])
        drawn, ray = rng.random(), rng.random() < args.ray_share
        if args.expert == 'demonstrator':
            expert = ExpertConfig.demonstrator()
        else:
            expert = ExpertConfig.from_noise(drawn if args.noise is None else args.noise)
        config = world_config(task.sim, renderer='ray' if ray else 'auto', **world)
        path = args.out / f'episode_{seed:07d}.npz'
        jobs.append(CollectJob(entry.name, seed, path, config, expert))
    return jobs


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ', '.join(f'{count} {name}' for name, count in counts) or 'nothing to do'
