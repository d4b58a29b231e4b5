# SPDX-License-Identifier: Apache-2.0
"""`vvf recap`: demonstrations, value, policy, rollouts, and again."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vvf.cli.output import add_json_option, write_json
from vvf.errors import UserError
from vvf.paths import checkpoint_path
from vvf.pool import ENGINES
from vvf.recap.config import METHODS, VALUES, LoopConfig, load_loop_config

if TYPE_CHECKING:
    from vvf.recap.run import Plan, Run
    from vvf.task import TaskSpec


def add_parser(subparsers: Any) -> None:
    """Add `vvf recap`."""
    parser = subparsers.add_parser(
        'recap',
        help='improve a policy by its own rollouts, told by a value which actions improve',
        description='RECAP as a loop: an imitation policy acts, a value says which of its actions '
        'improve on what was expected, the next policy learns from all of them, and so on. What is '
        'finished is never done again: the same command goes on after Ctrl-C, and may ask for more '
        'methods, iterations or seeds.',
        epilog='examples: vvf recap box_assembly --iterations 2 --value viva --out runs/recap; '
        'vvf recap box_assembly --compare viva distributional none filtered --dry-run; '
        'vvf recap --diagnose runs/my_value --data data/mixed --out runs/diagnosis',
    )
    parser.add_argument('task', nargs='?', help='a task of config/tasks with a sim entry')
    parser.add_argument('--iterations', type=int, default=2, metavar='K', help='[2]')
    parser.add_argument(
        '--value',
        choices=(*VALUES, 'none'),
        help='whose advantages say what improves; none: imitation of everything [viva]',
    )
    parser.add_argument(
        '--policy',
        choices=('recap', 'filtered'),
        help='filtered: cloning of successes only, by the same network [recap]',
    )
    parser.add_argument(
        '--compare',
        nargs='+',
        choices=METHODS,
        metavar='METHOD',
        help=f'several at once, from the same imitation policy: {", ".join(METHODS)}',
    )
    parser.add_argument(
        '--size', default='small', help='tiny, small, full or a YAML file like theirs [small]'
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='of trainings [0]')
    parser.add_argument(
        '--demonstrations', type=Path, help='a folder of them [collected from the task expert]'
    )
    parser.add_argument(
        '--prior',
        type=Path,
        help='further episodes for pre-training, with failures [collected from the noisy expert]',
    )
    parser.add_argument('--out', type=Path, default=Path('runs/recap'), help='[runs/recap]')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='any entry of the size, such as --set policy.finetune_steps=3000',
    )
    parser.add_argument('--dry-run', action='store_true', help='only print the stages')
    parser.add_argument(
        '--arm', '--robot', choices=('wx250s', 'fer', 'fr3'), help="[the task's robot]"
    )
    parser.add_argument('--engine', choices=ENGINES, default='local', help='[local]')
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, metavar='N', help='[all cores]'
    )
    _add_diagnosis(parser)
    add_json_option(parser)


def _add_diagnosis(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        'only look at a value', 'is its indicator worth training on? Nothing is trained.'
    )
    group.add_argument('--diagnose', metavar='CHECKPOINT', help='of a value model')
    group.add_argument('--data', type=Path, nargs='+', help='episodes, as of `vvf train`')
    group.add_argument('--positive-ratio', type=float, help='share that is to be positive [0.4]')
    group.add_argument(
        '--n-steps',
        type=int,
        help='how far ahead an advantage looks; 0: to the end of the episode [10]',
    )
    group.add_argument(
        '--over',
        action='store_true',
        help='failures are over at their end, such as a broken cup; by default a time limit or '
        'somebody cut them off',
    )


def run(args: argparse.Namespace) -> int:
    """Run `vvf recap`."""
    if args.diagnose is not None:
        return _diagnose(args)
    if args.task is None or args.data is not None:
        raise UserError('name a task, or --diagnose CHECKPOINT --data FOLDER.')
    if args.over or args.positive_ratio is not None or args.n_steps is not None:
        raise UserError(
            '--positive-ratio, --n-steps and --over are for --diagnose; the loop has them in its '
            '--size: --set positive_ratio=0.4, --set n_steps=10, --set open_failures=false.'
        )
    if args.compare and (args.value or args.policy):
        raise UserError('--compare names the methods itself: leave out --value and --policy.')
    if args.policy == 'filtered' and args.value:
        raise UserError('--policy filtered heeds no value: leave out --value.')
    if args.iterations < 1 or args.workers < 1 or min(args.seeds) < 0:
        raise UserError('--iterations and --workers must be at least 1, --seeds not negative.')
    from vvf.recap.loop import check_begun_alike, execute
    from vvf.recap.plan import make_plan

    plan = make_plan(_run(args))
    if args.dry_run:
        check_begun_alike(plan.run)
        _show(plan, args.workers)
        return 0
    from vvf.recap.results import results_table

    results = execute(plan, args.workers, args.engine)
    # Where nobody looks, in a file, lines may be as long as they need.
    wide = None if sys.stdout.isatty() else 120
    Console(width=wide).print(results_table(results, plan.run.task))
    print(f'all of it is in {plan.run.out}')
    write_json(args.json, {'results': [asdict(result) for result in results]})
    return 0


def _run(args: argparse.Namespace) -> Run:
    from vvf.recap.run import Run
    from vvf.task import load_task
    from vvf.worlds import simulated_rate, world_config, world_entry

    task = load_task(args.task)
    if task.sim is None or task.action is None:
        raise UserError(f'task {task.name} has no sim and action entries to learn it by.')
    methods = tuple(dict.fromkeys(args.compare or [_method(args)]))
    config = load_loop_config(args.size, args.set)
    if missing := [m for m in methods if m in VALUES and m not in config.values]:
        raise UserError(f'{args.size} does not say how {missing[0]!r} is trained.')
    scene = _scene(args, task)
    rate_hz = simulated_rate(task)
    return Run(
        task=task.name,
        world=world_entry(task.sim).name,
        out=args.out,
        config=_counted(args, config),
        methods=methods,
        iterations=args.iterations,
        seeds=tuple(dict.fromkeys(args.seeds)),
        train_world=world_config(task.sim, **{**scene, 'setting': 'train'}),
        eval_world=world_config(task.sim, **scene),
        max_steps=round(task.episode.time_limit_s * rate_hz),
        execute=task.action.execute,
        rate_hz=rate_hz,
        demonstrations=args.demonstrations,
        prior=args.prior,
        command=shlex.join(['vvf', *sys.argv[1:]]),
    )


def _method(args: argparse.Namespace) -> str:
    return 'filtered' if args.policy == 'filtered' else str(args.value or 'viva')


def _scene(args: argparse.Namespace, task: TaskSpec) -> dict[str, Any]:
    return {
        'arm': args.arm or task.robot,
        'image_size': task.cameras[0].width or 128,
        'renderer': 'auto',
    }


def _counted(args: argparse.Namespace, config: LoopConfig) -> LoopConfig:
    """The configuration with the numbers of episodes that given folders hold."""
    from vvf.data import open_data

    for name in ('demonstrations', 'prior'):
        folder, wanted = getattr(args, name), getattr(config, name)
        if folder is None:
            continue
        there = len(open_data(folder))
        if there < wanted:
            raise UserError(
                f'{folder} holds {there} episodes, {args.size} wants {wanted}: collect more, or '
                f'add --set {name}={there}.'
            )
        counted: dict[str, Any] = {name: wanted or there}
        config = replace(config, **counted)
    if not config.demonstrations:
        raise UserError('"demonstrations" is 0: give a folder of them, or say how many to collect.')
    return config


def _show(plan: Plan, workers: int) -> None:
    total = 0.0
    for number, wave in enumerate(plan.waves, 1):
        minutes = wave.minutes(workers)
        total += minutes
        print(f'{number:3}  {minutes:6.1f} min  {wave.title}')
        for stage in wave.stages:
            state = 'done' if stage.is_done else f'{stage.minutes:.1f} min'
            print(f'               {stage.title:42} {state:>9}  {stage.folder}')
    print(f'about {total:.0f} minutes on {workers} workers, each with a core of its own')


def _diagnose(args: argparse.Namespace) -> int:
    from vvf.data import open_data
    from vvf.recap.learning import DIAGNOSIS, describe, judge
    from vvf.recap.picture import draw_diagnosis
    from vvf_models.data.chain import ChainedEpisodes

    checkpoint = checkpoint_path(args.diagnose)
    if checkpoint is None:
        raise UserError(f'there is no checkpoint folder {args.diagnose!r}.')
    n_steps = 10 if args.n_steps is None else args.n_steps
    if not args.data or n_steps < 0:
        raise UserError('--diagnose needs --data, and --n-steps must not be negative.')
    episodes = ChainedEpisodes([open_data(path) for path in args.data])
    _, seen = judge(
        checkpoint,
        episodes,
        positive_ratio=0.4 if args.positive_ratio is None else args.positive_ratio,
        n_steps=n_steps,
        open_failures=not args.over,
    )
    for line in describe(seen):
        print(line)
    picture = draw_diagnosis(seen, f'{checkpoint.name}, {n_steps or "all"} steps ahead')
    print(f'see {picture.save(args.out / f"{DIAGNOSIS}.png")}')
    write_json(args.out / f'{DIAGNOSIS}.json', seen.numbers)
    write_json(args.json, seen.numbers)
    return 0
