# SPDX-License-Identifier: Apache-2.0
"""`vvf vptr`: V-PTR's offline RL in three phases, its ablations and baselines, in simulation."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table

from vvf.cli.output import add_json_option, write_json
from vvf.errors import UserError
from vvf.whole_file import write_whole

if TYPE_CHECKING:
    from vvf.offline.config import VptrConfig
    from vvf.offline.plan import Plan, Trial

_SETTINGS = 'vptr.yaml'


def add_parser(subparsers: Any) -> None:
    """Add `vvf vptr`."""
    from vvf.offline.config import SIZES
    from vvf.offline.methods import DEFAULT_METHODS, METHODS

    methods = '\n'.join(f'  {name:15} {method.says}' for name, method in METHODS.items())
    parser = subparsers.add_parser(
        'vptr',
        help='offline RL from video, robot data and a few demonstrations, and its baselines',
        description='Make the data, train all phases of the methods and try them in the scenarios. '
        'What is done stays: the same command goes on after Ctrl-C, and adds methods and seeds.'
        '\n\n' + methods,
        epilog='example: vvf vptr --size small --seeds 0 1 --workers 2 --out runs/vptr',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--size', default='small', help=f'{", ".join(SIZES)}, or a YAML file like theirs [small]'
    )
    parser.add_argument(
        '--methods', nargs='+', default=list(DEFAULT_METHODS), choices=tuple(METHODS),
        metavar='METHOD', help=f'[{" ".join(DEFAULT_METHODS)}]',
    )  # fmt: skip
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1], help='of training [0 1]')
    parser.add_argument('--out', type=Path, default=Path('runs/vptr'), help='[runs/vptr]')
    parser.add_argument('--data', type=Path, help='folder of clips and episodes [OUT/data]')
    parser.add_argument(
        '--workers', type=int, default=1, metavar='N',
        help='processes; trainings of one phase run side by side [1]',
    )  # fmt: skip
    parser.add_argument(
        '--only', choices=('data', 'training', 'evaluation'), default='', help='do only this'
    )
    parser.add_argument('--resume', action='store_true', help='go on, as it does without, too')
    parser.add_argument('--dry-run', action='store_true', help='say what would be done, and stop')
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf vptr`."""
    from vvf.offline.config import load_config
    from vvf.offline.plan import make_plan
    from vvf.offline.run import check_trainings, run_plan
    from vvf.offline.table import counts, table_of
    from vvf.stored_results import read_results

    if args.workers < 1 or min(args.seeds) < 0:
        raise UserError('--workers must be at least 1, and --seeds not negative.')
    config = load_config(args.size)
    data = args.data or args.out / 'data'
    methods, seeds = list(dict.fromkeys(args.methods)), list(dict.fromkeys(args.seeds))
    plan = make_plan(config, methods, seeds, data, args.out, args.workers)
    check_trainings(plan)
    settings = _settings(config)
    _check_begun_alike(args.out / _SETTINGS, settings)
    if args.dry_run:
        _say(plan)
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    write_whole(args.out / _SETTINGS, settings)

    def command(trial: Trial) -> str:
        words = ['vvf', 'vptr', '--size', args.size, '--methods', trial.method]
        words += ['--seeds', str(trial.seed), '--out', str(args.out)]
        words += ['--data', str(args.data)] if args.data else []
        return shlex.join(words)

    run_plan(plan, config, args.workers, args.only, command)
    stored = [trial.result for trial in plan.trials if trial.result.is_file()]
    results = read_results(stored) if stored else []
    conditions = list(dict.fromkeys(trial.condition for trial in plan.trials))
    if results:
        console = Console()
        if not console.is_terminal:
            console.width = 200  # in a file nothing has to be wrapped
        console.print(table_of(results, methods, conditions))
        print(f'all tables: vvf report tables {args.out / "results"}')
    numbers = {
        method: {
            condition: asdict(counted)
            for condition in conditions
            if (counted := counts(results, method, condition)).episodes
        }
        for method in methods
    }
    write_json(args.json, numbers)
    return 0


def _say(plan: Plan) -> None:
    from vvf.offline.run import is_done

    table = Table('stage', 'out', 'state', 'minutes', title='On one undisturbed core')
    left = 0.0
    for step in plan.steps:
        done = is_done(step)
        left += 0.0 if done else step.minutes
        state = 'done' if done else 'unfinished' if step.out.is_dir() else 'to do'
        table.add_row(step.stage, str(step.out), state, f'{step.minutes:.1f}')
    for trial in plan.trials:
        done = trial.result.is_file()
        left += 0.0 if done else trial.minutes
        state = 'done' if done else 'to do'
        table.add_row('evaluation', str(trial.result), state, f'{trial.minutes:.1f}')
    console = Console()
    console.print(table)
    console.print(f'{left:.0f} minutes of one core are left. The commands behind it:')
    for step in plan.steps:
        print(shlex.join(['vvf', *step.argv]))


def _settings(config: VptrConfig) -> str:
    """What a folder is made with, as it is noted there."""
    kept = {f.name for f in fields(config) if not f.name.startswith('seconds_')}
    return yaml.safe_dump({name: _plain(getattr(config, name)) for name in sorted(kept)})


def _check_begun_alike(file: Path, settings: str) -> None:
    if file.is_file() and file.read_text('utf-8') != settings:
        raise UserError(
            f'{file.parent} was begun with other settings ({file.name} says which): choose another '
            'folder with --out; --data may stay.'
        )


def _plain(value: Any) -> Any:
    """As YAML has it, without expected times."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, '__dataclass_fields__'):
        named = {f.name: getattr(value, f.name) for f in fields(value)}
        return {name: _plain(entry) for name, entry in named.items() if name != 'ms_per_step'}
    return value
