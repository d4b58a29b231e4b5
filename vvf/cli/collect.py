# SPDX-License-Identifier: Apache-2.0
"""`vvf collect`: episodes of the scripted experts in simulation, as training data."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.cli.scene import add_scene_options, scene_of
from vvf.errors import UserError
from vvf.pool import ENGINES, run_jobs
from vvf.whole_file import write_whole

if TYPE_CHECKING:
    from vvf.task import TaskSpec
    from vvf_sim.collect import CollectJob, CollectResult

FORMATS = ('npz', 'lerobot', 'bags')
_SETTINGS = 'collect.json'


def add_parser(subparsers: Any) -> None:
    """Add `vvf collect`."""
    parser = subparsers.add_parser(
        'collect',
        help='record episodes of the scripted expert in simulation',
        description='Collect episodes in simulation, faster than real time. A seed is one episode, '
        'the same on every run; a run that was stopped goes on where it was.',
        epilog='examples: vvf collect pick_place --episodes 500 --out data/demonstrations; '
        'vvf collect box_assembly --arm fr3 --expert noisy --format lerobot --out data/boxes',
    )
    parser.add_argument('task', help='a task of config/tasks with a sim entry')
    parser.add_argument('--out', type=Path, required=True, help='folder for the episodes')
    parser.add_argument('--episodes', type=int, default=100, help='[100]')
    parser.add_argument('--seed', type=int, default=0, help='seed of the first episode [0]')
    parser.add_argument(
        '--format',
        choices=FORMATS,
        default='npz',
        help='npz: an archive an episode, quickest to train from; lerobot: a LeRobot v3 data set; '
        'bags: a rosbag2 an episode [npz]',
    )
    _add_expert(parser)
    add_scene_options(parser, 'train')
    parser.add_argument(
        '--ray-share',
        type=float,
        default=0.0,
        help='part of the episodes drawn by the ray caster, so that a model works without OpenGL',
    )
    parser.add_argument('--engine', choices=ENGINES, default='local', help='[local]')
    parser.add_argument(
        '--workers',
        '--jobs',
        type=int,
        default=os.cpu_count() or 1,
        metavar='N',
        help='processes [all cores]',
    )
    add_json_option(parser)


def _add_expert(parser: argparse.ArgumentParser) -> None:
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
        help='noisy expert: 0 nearly always succeeds, 1 often fails [drawn for each episode]',
    )
    parser.add_argument('--mistake', metavar='NAME', help='always make this mistake')
    parser.add_argument(
        '--interventions',
        type=int,
        default=0,
        metavar='STEPS',
        help='a person takes over when an error has lasted so long, and gives back at the next '
        'milestone [0: nobody is there]',
    )


def run(args: argparse.Namespace) -> int:
    """Run `vvf collect`."""
    from vvf.task import load_task

    task = load_task(args.task)
    _check(args, task)
    # LeRobot data are made of archives, which lie beside them until they are.
    folder = args.out if args.format != 'lerobot' else _beside(args.out)
    if args.format == 'lerobot' and (args.out / 'meta' / 'info.json').exists():
        raise UserError(f'{args.out} holds a data set already: choose another folder with --out')
    jobs = _jobs(args, task, folder)
    _claim(folder, args, jobs)
    todo = [job for job in jobs if not job.path.exists()]
    if len(todo) < len(jobs):
        print(f'{len(jobs) - len(todo)} of {len(jobs)} episodes are there already')
    outcomes: Counter[str] = Counter()
    frames = interventions = 0
    with progress_bar('episodes') as bar:
        row = bar.add_task(args.out.name, total=len(todo))
        for result in _results(args, task, todo):
            outcomes['success' if result.success else result.failure_kind] += 1
            frames += result.frames
            interventions += bool(result.interventions)
            bar.update(row, advance=1)
    summary = {
        'episodes': len(todo),
        'frames': frames,
        'outcomes': dict(outcomes),
        'episodes_with_interventions': interventions,
    }
    print(f'{len(todo)} episodes, {frames} frames: {_listed(outcomes.most_common())}')
    if args.format == 'lerobot':
        _to_lerobot(folder, args.out, task)
    write_json(args.json, summary)
    return 0


def _check(args: argparse.Namespace, task: TaskSpec) -> None:
    if task.sim is None:
        raise UserError(f'task {task.name} has no sim entry, so it cannot be simulated.')
    if args.seed < 0 or (args.noise is not None and args.expert != 'noisy'):
        raise UserError('--seed must not be negative, and --noise is for --expert noisy.')
    if args.episodes < 1 or args.workers < 1 or not 0.0 <= args.ray_share <= 1.0:
        raise UserError('--episodes and --workers must be at least 1, --ray-share from 0 to 1.')
    if args.interventions < 0:
        raise UserError('--interventions must not be negative.')


def _jobs(args: argparse.Namespace, task: TaskSpec, folder: Path) -> list[CollectJob]:
    import numpy as np

    from vvf.worlds import simulated_rate, world_config, world_entry
    from vvf_sim.collect import CollectJob

    assert task.sim is not None
    entry = world_entry(task.sim)
    if args.mistake and args.mistake not in entry.mistakes:
        raise UserError(f'mistake {args.mistake!r} is unknown: use {", ".join(entry.mistakes)}.')
    world = scene_of(args, task, 'train')
    suffix = '' if args.format == 'bags' else '.npz'
    rate_hz = simulated_rate(task)
    jobs = []
    for seed in range(args.seed, args.seed + args.episodes):
        rng = np.random.default_rng([seed, 3])
        drawn, ray = float(rng.random()), rng.random() < args.ray_share
        config = world_config(task.sim, renderer='ray' if ray else 'auto', **world)
        entry.make_world(config)  # a wrong camera is one sentence here
        path = folder / f'episode_{seed:07d}{suffix}'
        expert = _expert(args, drawn)
        jobs.append(
            CollectJob(
                *(entry.name, seed, path, config, expert),
                patience=args.interventions,
                control_hz=rate_hz,
            )
        )
    return jobs


def _expert(args: argparse.Namespace, drawn: float) -> Any:
    from vvf_sim.experts.config import ExpertConfig

    if args.expert == 'demonstrator':
        expert = ExpertConfig.demonstrator()
    else:
        expert = ExpertConfig.from_noise(drawn if args.noise is None else args.noise)
    return expert.with_mistake(args.mistake) if args.mistake else expert


def _results(
    args: argparse.Namespace, task: TaskSpec, jobs: Sequence[CollectJob]
) -> Iterator[CollectResult]:
    if args.format != 'bags':
        from vvf_sim.collect import collect_to_file

        return run_jobs(collect_to_file, jobs, args.workers, args.engine)
    from vvf.simulated_bag import BagJob, collect_to_bag, simulated_task
    from vvf.worlds import world_entry

    assert task.sim is not None
    world = scene_of(args, task, 'train')
    cameras = world['cameras'] or world_entry(task.sim).make_world().CAMERAS
    drawn = simulated_task(task, world['arm'], cameras, world['image_size'])
    return run_jobs(collect_to_bag, [BagJob(job, drawn) for job in jobs], args.workers, args.engine)


def _claim(folder: Path, args: argparse.Namespace, jobs: Sequence[CollectJob]) -> None:
    """Note what the folder is collected with, and refuse one that was collected otherwise."""
    from vvf_sim.registry import CONTROL_HZ

    config = asdict(jobs[0].config) if jobs[0].config else {}
    config.pop('renderer')
    settings = {
        'task': jobs[0].task,
        'format': args.format,
        'config': config,
        'expert': args.expert,
        'noise': args.noise,
        'mistake': args.mistake,
        'interventions': args.interventions,
        'ray_share': args.ray_share,
    }
    # Folders from before there was a rate were collected at this one.
    if jobs[0].control_hz != CONTROL_HZ:
        settings['rate_hz'] = jobs[0].control_hz
    text = json.dumps(settings, indent=1, sort_keys=True)
    file = folder / _SETTINGS
    if file.is_file() and file.read_text('utf-8') != text:
        raise UserError(
            f'{folder} holds episodes that were collected with other settings ({file.name} says '
            'which): choose another folder with --out'
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, text)


def _beside(out: Path) -> Path:
    return out.with_name(f'{out.name}.episodes')


def _to_lerobot(folder: Path, out: Path, task: TaskSpec) -> None:
    """Make a LeRobot data set of archives, which are deleted then."""
    from vvf.export.lerobot import ExportOptions, export_lerobot
    from vvf.export.recordings import open_recordings

    source = open_recordings(folder, task)
    with progress_bar('frames') as bar:
        row = bar.add_task('writing LeRobot v3', total=source.expected_frames() or None)

        def progress(frames: int, episodes: int) -> None:
            bar.update(row, completed=frames)

        export_lerobot([source], ExportOptions(out), progress)
    shutil.rmtree(folder)


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ', '.join(f'{count} {name}' for name, count in counts) or 'nothing to do'
