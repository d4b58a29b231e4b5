# SPDX-License-Identifier: Apache-2.0
"""`vvf demo`: the whole loop in simulation: run, record, relabel, report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vvf.cli.output import add_json_option, write_json
from vvf.errors import UserError
from vvf.processes import terminate_as_interrupt

LEAD = (
    'A simulated arm is told to {}, on layouts and table colours that its training never saw. Each '
    'card shows the value as it was published live and as relabelled from the bag.'
)


def add_parser(subparsers: Any) -> None:
    """Add `vvf demo`."""
    parser = subparsers.add_parser(
        'demo',
        help='run, record, relabel and report some episodes in simulation',
        description='Bring the graph of a task up around the simulated robot, run and record '
        'episodes, relabel them, and write summary.json and report.html.',
        epilog='example: vvf demo pick_place --episodes 3',
    )
    parser.add_argument('task', nargs='?', default='box_assembly', help='[box_assembly]')
    parser.add_argument('--episodes', type=int, default=10, help='[10]')
    parser.add_argument('--seed', type=int, default=1000, help='of the first layout [1000]')
    parser.add_argument('--out', type=Path, default=Path('runs/demo'), help='[runs/demo]')
    parser.add_argument('--value-model', default='', help="[the task's]")
    parser.add_argument('--policy', default='', help="[the task's]")
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf demo`."""
    from vvf.cli.relabel import model_specs
    from vvf.demo import fresh_folder, read_live_values, run_episodes, summarise
    from vvf.graph import GraphArguments
    from vvf.relabelling import RelabelOptions, relabel
    from vvf.task import load_task
    from vvf.viz.episodes import read_run
    from vvf.viz.report import write_report

    if args.episodes < 1:
        raise UserError('--episodes must be at least 1.')
    terminate_as_interrupt()
    began = time.monotonic()
    console = Console()
    task = load_task(args.task)
    out = fresh_folder(args.out)
    console.print(f'[bold]vvf demo {task.name}[/]: starting the graph', highlight=False)
    results = run_episodes(
        args.task,
        GraphArguments(
            value_model=args.value_model,
            policy=args.policy,
            bag_dir=str(out / 'bags'),
            seed=args.seed,
        ),
        args.episodes,
        log=lambda line: console.print(line, highlight=False, markup=False),
        log_dir=out / 'log',
        on_episode=_announce(console, args.episodes),
    )
    bags = [r.path for r in results if r.path is not None]
    if len(bags) < len(results):
        raise UserError(f'not every episode was recorded; the logs in {out / "log"} say why.')
    console.print('relabelling', highlight=False)
    models = model_specs([args.value_model or task.models.value])
    relabelled = relabel(bags, models, RelabelOptions(out=out / 'relabelled', task=task))
    values = [read_live_values(bag) for bag in bags]
    numbers = summarise(results, values, time.monotonic() - began)
    numbers['relabelled_frames'] = relabelled.frames_scored
    write_json(out / 'summary.json', numbers)
    write_json(args.json, numbers)
    shown = {k: v for k, v in numbers.items() if k != 'per_episode'}
    page = write_report(
        out / 'report.html',
        read_run(out),
        shown,
        title=f'vvf demo: {task.name}',
        lead=LEAD.format(task.instruction),
    )
    console.print(_table(numbers))
    console.print(f'{out / "summary.json"}   {page}', highlight=False, soft_wrap=True)
    return 0


def _announce(console: Console, total: int) -> Callable[[int, Any], None]:
    def announce(index: int, result: Any) -> None:
        colour = 'green' if result.outcome == 'success' else 'red'
        console.print(
            f'episode {index + 1:2d} of {total}: [{colour}]{result.outcome}[/] '
            f'after {result.seconds:.1f} s, {result.steps} actions',
            highlight=False,
        )

    return announce


def _table(numbers: dict[str, Any]) -> Table:
    table = Table(title='episodes')
    for title in ('episode', 'outcome', 'steps', 'seconds', 'value order', 'value at the end'):
        table.add_column(title, justify='left' if title == 'outcome' else 'right')
    for index, episode in enumerate(numbers['per_episode'], 1):
        table.add_row(
            str(index),
            episode['outcome'],
            str(episode['steps']),
            f'{episode["seconds"]:.1f}',
            _number(episode['value_spearman']),
            _number(episode['value_end']),
        )
    table.add_section()
    table.add_row(
        'all',
        f'{numbers["successes"]} of {numbers["episodes"]} succeed',
        '',
        f'{numbers["seconds"]:.0f}',
        _number(numbers['value_spearman_mean']),
        f'{_number(numbers["value_end_success_mean"])} success\n'
        f'{_number(numbers["value_end_failure_mean"])} failure',
    )
    table.caption = (
        f'value node: {_number(numbers["value_hz"])} Hz, latency '
        f'{_number(numbers["value_latency_ms_p50"])} ms (median), '
        f'{_number(numbers["value_latency_ms_p99"])} ms (99 %)'
    )
    return table


def _number(value: float | None) -> str:
    from vvf.viz.parts import number

    return 'none' if value is None else number(value)
