# SPDX-License-Identifier: Apache-2.0
"""How well the scripted experts do at the simulated tasks, and how fast these run.

For each task and arm: how many seeds succeed at three settings of the expert's noise, how long a
success takes, control steps a second without cameras, frames a second with all cameras at 128 px
(a frame is one image of each), and the peak memory of a process. Speeds include resets, are those
of all --workers together, each with one thread, and are measured when no episode runs besides. A
run that was stopped goes on where it was if --json is given.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vvf.bench.notes import Notes
from vvf.bench.world_runs import IMAGE_SIZE, SeedJob, SeedResult, measure_speed, play_seed
from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError
from vvf.pool import run_jobs
from vvf.processes import PARENT, end_with_parent

ARMS = ('wx250s', 'fer', 'fr3')
NOISES = (0.0, 0.5, 1.0)
# Of a core, without which speeds say more of the machine's other work.
_QUIET = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vvf bench worlds`."""
    parser.add_argument('--tasks', nargs='+', metavar='NAME', help='[all that there are]')
    parser.add_argument('--arms', nargs='+', choices=ARMS, default=ARMS, help='[all]')
    parser.add_argument('--episodes', type=int, default=100, help='seeds, from 0 [100]')
    parser.add_argument('--noises', type=float, nargs='+', default=NOISES, metavar='X',
                        help="settings of the expert's noise [0 0.5 1]")  # fmt: skip
    parser.add_argument('--speed-episodes', type=int, default=6, metavar='N',
                        help='that each worker is timed over; 0 leaves speeds out [6]')  # fmt: skip
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        metavar='N',
        help='processes [all cores]',
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf bench worlds`."""
    from vvf_sim.registry import TASKS

    tasks = tuple(args.tasks or TASKS)
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise UserError(f'there is no simulated task {unknown[0]!r}: use {", ".join(TASKS)}.')
    if args.episodes < 1 or args.workers < 1 or args.speed_episodes < 0:
        raise UserError('--episodes and --workers must be at least 1, --speed-episodes 0 or more.')
    if not all(0.0 <= noise <= 1.0 for noise in args.noises):
        raise UserError('--noises must lie between 0 and 1.')
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    notes = Notes(args.json)
    outcomes = _outcomes(args, tasks, notes)
    speeds = _speeds(args, tasks, notes) if args.speed_episodes else {}
    rows = [
        _row(task, arm, args.noises, [r for r in outcomes if (r.task, r.arm) == (task, arm)],
             speeds.get((task, arm), {}))
        for task in tasks
        for arm in args.arms
    ]  # fmt: skip
    print(markdown(rows, args.noises))
    least = min((row['core_share'] or 1.0 for row in rows), default=1.0)
    if least < _QUIET:
        print(
            f'other programs ran: a process had {least:.0%} of a core at worst, speeds are too low'
        )
    write_json(
        args.json, {'episodes': args.episodes, 'workers': args.workers, 'image_size': IMAGE_SIZE,
                    'rows': rows}
    )  # fmt: skip
    counted = {result.job for result in outcomes}
    notes.finish(lambda line: SeedResult(**line).job in counted if 'seed' in line else bool(speeds))
    return 0


def _outcomes(args: argparse.Namespace, tasks: Sequence[str], notes: Notes) -> list[SeedResult]:
    jobs = [
        SeedJob(task, arm, noise, seed)
        for task in tasks
        for arm in args.arms
        for noise in args.noises
        for seed in range(args.episodes)
    ]
    wanted = set(jobs)
    known = [SeedResult(**line) for line in notes.lines if 'seed' in line]
    results = [result for result in known if result.job in wanted]
    done = {result.job for result in results}
    todo = [job for job in jobs if job not in done]
    with progress_bar('episodes') as bar:
        row = bar.add_task('outcomes', total=len(todo))
        for result in run_jobs(play_seed, todo, args.workers) if todo else ():
            results.append(result)
            notes.add(asdict(result))
            bar.update(row, advance=1)
    return results


def _speeds(
    args: argparse.Namespace, tasks: Sequence[str], notes: Notes
) -> dict[tuple[str, str], dict[str, float]]:
    """Speeds of all workers together, each in a fresh process."""
    found = {
        (line['task'], line['arm']): {k: v for k, v in line.items() if k not in ('task', 'arm')}
        for line in notes.lines
        if 'steps_per_s' in line and line['workers'] == args.workers
    }
    pairs = [(t, a) for t in tasks for a in args.arms if (t, a) not in found]
    context = multiprocessing.get_context('spawn')
    os.environ[PARENT] = str(os.getpid())
    with progress_bar('worlds') as bar:
        row = bar.add_task('speeds', total=len(pairs))
        for task, arm in pairs:
            count = args.speed_episodes
            seeds = [range(w * count, (w + 1) * count) for w in range(args.workers)]
            with context.Pool(args.workers, end_with_parent) as pool:
                parts = pool.starmap(measure_speed, [(task, arm, list(s)) for s in seeds], 1)
            speed: dict[str, float] = {
                'workers': args.workers,
                'steps_per_s': sum(part['steps_per_s'] for part in parts),
                'frames_per_s': sum(part['frames_per_s'] for part in parts),
                'core_share': statistics.mean(part['core_share'] for part in parts),
                'peak_mib': max(part['peak_mib'] for part in parts),
            }
            found[task, arm] = speed
            notes.add({'task': task, 'arm': arm, **speed})
            bar.update(row, advance=1)
    return found


def _row(
    task: str,
    arm: str,
    noises: Iterable[float],
    results: Sequence[SeedResult],
    speed: Mapping[str, float],
) -> dict[str, Any]:
    from vvf_sim.registry import task_entry

    entry = task_entry(task)
    success: dict[str, float] = {}
    failures: dict[str, dict[str, int]] = {}
    for noise in noises:
        mine = [result for result in results if result.noise == noise]
        success[f'{noise:g}'] = sum(result.success for result in mine) / len(mine)
        kinds: dict[str, int] = defaultdict(int)
        for result in mine:
            if not result.success:
                kinds[result.failure_kind] += 1
        failures[f'{noise:g}'] = dict(kinds)
    lowest = min(noises)
    lengths = [r.steps for r in results if r.success and r.noise == lowest]
    return {
        'task': task,
        'arm': arm,
        'cameras': len(entry.make_world(entry.make_config(arm=arm)).cameras),
        'success': success,
        'failures': failures,
        'median_steps': statistics.median(lengths) if lengths else None,
        'steps_per_s': speed.get('steps_per_s'),
        'frames_per_s': speed.get('frames_per_s'),
        'core_share': speed.get('core_share'),
        'peak_mib': speed.get('peak_mib'),
    }


def markdown(rows: Sequence[Mapping[str, Any]], noises: Sequence[float]) -> str:
    """The rows as a table for a page."""
    names = [f'success, noise {noise:g}' for noise in noises]
    head = ['task', 'arm', *names, 'median steps', 'steps/s', 'frames/s', 'cameras', 'peak MiB']
    lines = ['| ' + ' | '.join(head) + ' |', '|---|---|' + '---:|' * (len(head) - 2)]
    for row in rows:
        cells = [row['task'], row['arm']]
        cells += [f'{100 * row["success"][f"{noise:g}"]:.0f} %' for noise in noises]
        cells += [_number(row[k]) for k in ('median_steps', 'steps_per_s', 'frames_per_s')]
        cells += [str(row['cameras']), _number(row['peak_mib'])]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.0f}'
