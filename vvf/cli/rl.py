# SPDX-License-Identifier: Apache-2.0
"""`vvf rl`: online reinforcement learning in simulation, with ViVa's reward and others."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError
from vvf.paths import checkpoint_path, config_path

if TYPE_CHECKING:
    from vvf.online.curves import Summary
    from vvf.stored_results import StoredResult
    from vvf_models.evaluation.bootstrap import Estimate

    #: What was trained, and its results; none where Ctrl-C came.
    _Results = Iterator[tuple[str, list[StoredResult] | None]]

_REWARDS = ('viva', 'potential', 'rnd', 'none')
_INTERRUPTED = 130


def add_parser(subparsers: Any) -> None:
    """Add `vvf rl`."""
    parser = subparsers.add_parser(
        'rl',
        help='online reinforcement learning in simulation, with a value in the reward',
        description='In a maze: collect offline trips, train a value of states on them, then train '
        'agents that act in the maze, half of every batch offline: a run for each data and reward, '
        'all its seeds at once, which share trips and value. In a task with cameras: train agents '
        'from images, without offline data, with the value of a checkpoint, one seed after the '
        'other. Ctrl-C keeps what is done; the same command goes on.',
        epilog='example: vvf rl point_umaze --reward viva none --seeds 0 1 2 3 4 --data corrupted '
        '--out runs/online --figure runs/online/curves.png',
    )
    parser.add_argument(
        'env',
        metavar='ENV',
        help='point_umaze, point_medium, ant_umaze, ..., or a task with cameras: vvf/WindowOpen-v0',
    )
    parser.add_argument(
        '--reward', nargs='+', choices=_REWARDS,
        help='none: the sparse one of the task [all four; with images all but rnd]',
    )  # fmt: skip
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2, 3, 4], metavar='N',
        help='of the agents; trips and value are the same for all [0 1 2 3 4]',
    )  # fmt: skip
    parser.add_argument(
        '--data', nargs='+', choices=('clean', 'corrupted'),
        help="of a maze; corrupted: no trip ever enters the goal's cell [clean]",
    )  # fmt: skip
    parser.add_argument('--steps', type=int, help="of each seed [the configuration's]")
    parser.add_argument(
        '--config', metavar='NAME|FILE',
        help='of config/experiments, or a file [online_small; with images online_pixels]',
    )  # fmt: skip
    parser.add_argument(
        '--set', action='append', default=[], metavar='SECTION.KEY=VALUE',
        help='change an entry of the configuration; may be repeated',
    )  # fmt: skip
    parser.add_argument('--value', help='with images: an ICVF checkpoint that needs no state')
    parser.add_argument('--cameras', nargs='+', help="with images [the configuration's]")
    parser.add_argument('--out', type=Path, default=Path('runs/online'), help='[runs/online]')
    parser.add_argument('--figure', type=Path, metavar='PNG', help='draw the curves')
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf rl`."""
    from vvf.online.curves import draw_curves, summarise

    if len(set(args.seeds)) < len(args.seeds):
        raise UserError('--seeds names one twice.')
    if min(args.seeds) < 0:
        raise UserError('--seeds must not be negative.')
    pixels = args.env.startswith('vvf/')
    if pixels and args.data:
        raise UserError('--data is of mazes: agents of images learn without offline data.')
    if not pixels and (args.value or args.cameras):
        raise UserError('--value and --cameras are for images: a maze trains a value of its own.')
    results: list[StoredResult] = []
    numbers: dict[str, Any] = {'env': args.env, 'seeds': args.seeds}
    for name, found in (_pixels if pixels else _mazes)(args):
        if found is None:
            print('vvf: stopped; the same command goes on from here.', file=sys.stderr)
            return _INTERRUPTED
        results += found
        summary = summarise(found)
        numbers[name.replace(' ', '_')] = summary.entries()
        _print(name, summary)
    if args.figure:
        print(draw_curves(results).save(args.figure))
    write_json(args.json, numbers)
    return 0


def _mazes(args: argparse.Namespace) -> _Results:
    from vvf.online.experiment import MazeExperiment, maze_run, maze_value
    from vvf.online.mazes import MazeTask, maze_data
    from vvf.online.runs import read_experiment, train_run
    from vvf.online.value_path import stored_value_path

    experiment = read_experiment(MazeExperiment, _file(args, 'online_small'), _changes(args))
    task = MazeTask(args.env)
    rewards = list(dict.fromkeys(args.reward or _REWARDS))
    for data in dict.fromkeys(args.data or ['clean']):
        folder = args.out / f'{args.env}_{data}'
        with progress_bar('trips') as bar:
            job = bar.add_task(f'{data} trips', total=experiment.data.trips)
            episodes = maze_data(
                task, data, experiment.data.trips, folder / 'trips', partial(bar.advance, job)
            )
        value = None
        if {'viva', 'potential'} & set(rewards):
            value = maze_value(folder / 'value', episodes, experiment.value)
            if value is None:
                yield data, None
                return
            for line in stored_value_path(folder / 'value', task, value).in_words():
                print(line)
        for kind in rewards:
            planned = maze_run(
                folder / kind, args.env, data, kind, experiment, episodes, value, args.seeds,
                _command(),
            )  # fmt: skip
            yield f'{data} {kind}', train_run(planned)
    task.close()


def _pixels(args: argparse.Namespace) -> _Results:
    from vvf.online.experiment import PixelExperiment, check_pixel_reward, pixel_run
    from vvf.online.runs import read_experiment, train_run

    changes = _changes(args)
    if args.cameras:
        changes['images.cameras'] = args.cameras
    experiment = read_experiment(PixelExperiment, _file(args, 'online_pixels'), changes)
    value = checkpoint_path(args.value) if args.value else None
    if args.value and value is None:
        raise UserError(f'there is no checkpoint folder {args.value!r}.')
    rewards = dict.fromkeys(args.reward or [kind for kind in _REWARDS if kind != 'rnd'])
    for kind in rewards:
        check_pixel_reward(kind, value)  # before hours go into the first
    for kind in rewards:
        found: list[StoredResult] = []
        for seed in args.seeds:
            folder = args.out / args.env.removeprefix('vvf/') / f'{kind}_{seed}'
            job = pixel_run(folder, args.env, kind, experiment, value, seed, _command())
            one = train_run(job)
            if one is None:
                yield kind, None
                return
            found += one
        yield f'pixels {kind}', found


def _print(name: str, summary: Summary) -> None:
    steps, last, area = summary.steps, summary.last, summary.area
    never = '' if summary.reached == summary.seeds else 'at least '
    print(
        f'{name:20} steps to 80 %: {never}{_interval(steps, ",.0f")}, {summary.reached} of '
        f'{summary.seeds} seeds; success at the end {_interval(last, ".2f")}, over all trials '
        f'{_interval(area, ".2f")}'
    )


def _interval(estimate: Estimate, form: str) -> str:
    text = f'{estimate.value:{form}}'
    if math.isfinite(estimate.low):
        text += f' ({estimate.low:{form}} to {estimate.high:{form}})'
    return text


def _command() -> str:
    return shlex.join(['vvf', *sys.argv[1:]])


def _file(args: argparse.Namespace, default: str) -> Path:
    name = args.config or default
    path = Path(name)
    return path if path.suffix in {'.yaml', '.yml'} else config_path('experiments', f'{name}.yaml')


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for entry in args.set:
        key, equals, value = entry.partition('=')
        if not equals:
            raise UserError(f'--set {entry}: use SECTION.KEY=VALUE.')
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f'--set {entry}: the value is not valid YAML.') from error
    if args.steps is not None:
        changes['run.steps'] = args.steps
    return changes
