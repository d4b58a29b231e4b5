# SPDX-License-Identifier: Apache-2.0
"""`vvf eval value`: measures value models on recorded episodes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vvf.cli.output import add_json_option, write_json
from vvf.cli.reading import add_reading_options, read_options
from vvf.errors import UserError
from vvf.paths import checkpoint_path

if TYPE_CHECKING:
    from vvf.value_evaluation import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `vvf eval value` takes."""
    parser.add_argument(
        'checkpoints',
        nargs='+',
        metavar='CHECKPOINT',
        help='folders of value checkpoints; several are compared side by side',
    )
    parser.add_argument(
        '--data',
        type=Path,
        nargs='+',
        required=True,
        help='episodes to score: anything that `vvf train` takes',
    )
    parser.add_argument(
        '--goal',
        choices=('auto', 'checkpoint', 'own'),
        default='auto',
        help="whose goal: the checkpoint's, or each episode's own last frame "
        "[auto: the checkpoint's, where the data have labelled successes]",
    )
    parser.add_argument(
        '--baseline',
        type=Path,
        nargs='+',
        metavar='DATA',
        help='also train a baseline that sees proprioception only, on these episodes',
    )
    parser.add_argument(
        '--balance',
        type=int,
        default=0,
        metavar='N',
        help='score the first N successes and the first N failures only [all]',
    )
    parser.add_argument(
        '--smooth',
        type=int,
        default=1,
        metavar='N',
        help='judge the mean of the last N values, as a robot could [1: none]',
    )
    parser.add_argument(
        '--events',
        action='store_true',
        help='score the values at annotated milestones and errors, and alarms on their fall',
    )
    parser.add_argument(
        '--false-alarms',
        type=float,
        default=0.05,
        metavar='SHARE',
        help='flawless successes in which an alarm may be raised [0.05]',
    )
    parser.add_argument(
        '--sarsa',
        action='store_true',
        help='fit a SARSA value on the frozen features, and give its error on episodes held out',
    )
    add_reading_options(parser)
    parser.add_argument('--threads', type=int, default=1, help='CPU threads [1]')
    parser.add_argument('--seed', type=int, default=0, help='of intervals and baseline [0]')
    parser.add_argument('--figure', type=Path, metavar='FILE.png', help='draw the curves')
    parser.add_argument(
        '--report', type=Path, metavar='FILE.html', help='write a page with film strips and curves'
    )
    parser.add_argument(
        '--gradcam',
        action='store_true',
        help='show on that page which places of an image speak for a high value',
    )
    parser.add_argument(
        '--report-episodes', type=int, default=12, metavar='N', help='episodes on that page [12]'
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf eval value`."""
    from vvf.value_evaluation import Judging, evaluate_values
    from vvf.value_table import notes
    from vvf_models.evaluation.alarms import AlarmRules

    if not 0 < args.false_alarms < 1:
        raise UserError('--false-alarms takes a share between 0 and 1.')
    if args.gradcam and args.report is None:
        raise UserError('--gradcam needs a page to show it on: add --report FILE.html.')
    if args.report_episodes < 1 or args.balance < 0:
        raise UserError('--report-episodes must be at least 1, --balance not below 0.')
    folders = []
    for name in args.checkpoints:
        folder = checkpoint_path(name)
        if folder is None:
            raise UserError(f'there is no checkpoint folder {name!r}.')
        folders.append(folder)
    left_out: list[str] = []

    def skip(message: str) -> None:
        if message not in left_out:
            left_out.append(message)
            print(f'left out: {message}', file=sys.stderr)

    judging = Judging(
        goal=args.goal,
        baseline=tuple(args.baseline or ()),
        balance=args.balance,
        smooth=args.smooth,
        events=args.events,
        alarm=AlarmRules(false_alarm_share=args.false_alarms),
        sarsa=args.sarsa,
        task=args.task,
        reading=read_options(args),
        skip_bad=skip if args.skip_bad else None,
        threads=args.threads,
        seed=args.seed,
    )
    evaluation = evaluate_values(folders, args.data, judging)
    console = Console()
    if not console.is_terminal:
        # In a file nothing has to be wrapped.
        console = Console(width=52 + 30 * (len(evaluation.models) + 1))
    console.print(_table(evaluation))
    for note in notes(evaluation):
        console.print(note, style='dim', highlight=False)
    write_json(args.json, {**evaluation.numbers(), 'left_out': left_out})
    if args.figure:
        from vvf.viz.value_figure import draw_values

        print(f'figure: {draw_values(evaluation).save(args.figure)}')
    if args.report:
        from vvf.viz.value_report import write_value_report

        path = write_value_report(
            args.report, evaluation, episodes=args.report_episodes, heat=args.gradcam
        )
        print(f'report: {path}')
    return 0


def _table(evaluation: Evaluation) -> Table:
    from vvf.value_table import rows, title_of

    table = Table(title=title_of(evaluation))
    table.add_column('')
    for model in evaluation.models:
        table.add_column(model.name, justify='right')
    if evaluation.baseline:
        table.add_column(evaluation.baseline.name, justify='right')
    last = ''
    for section, words, cells in rows(evaluation):
        if section != last:
            if last:
                table.add_section()
            table.add_row(f'[bold]{section}[/bold]')
            last = section
        table.add_row(words, *cells)
    return table
