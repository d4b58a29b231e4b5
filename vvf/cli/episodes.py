# SPDX-License-Identifier: Apache-2.0
"""`vvf episodes`: a table of recorded episodes."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vvf.bags.browse import (
    UNREADABLE,
    EpisodeRow,
    ValueSummary,
    find_episodes,
    find_tables,
    merged,
    read_row,
    read_values,
)
from vvf.bags.writer import OUTCOMES
from vvf.cli.output import add_json_option, progress_bar, write_json

_COLOURS = {'success': 'green', 'failure': 'red', 'aborted': 'yellow', UNREADABLE: 'red'}
_SORTS = {
    'name': lambda row: row.name,
    'outcome': lambda row: (
        (*OUTCOMES, UNREADABLE).index(row.outcome) if row.outcome in OUTCOMES else len(OUTCOMES)
    ),
    'seconds': lambda row: row.seconds,
    'value': lambda row: _low((row.value or ValueSummary()).mean),
    'last': lambda row: _low((row.value or ValueSummary()).last),
    'interventions': lambda row: -row.interventions,
    'lost': lambda row: -(row.messages_lost or 0),
    'gap': lambda row: _low(-row.longest_gap_s),
    'complaints': lambda row: -len(row.complaints),
}
_WIDTH = 160  # where no terminal says how wide it is


def add_parser(subparsers: Any) -> None:
    """Add `vvf episodes`."""
    parser = subparsers.add_parser(
        'episodes',
        help='list recorded episodes: outcome, length, value, interventions, audit',
        description='List recorded episodes. Values are those of a values.parquet of vvf relabel '
        "in DIR, else those in the bags. By the recorder's audit, `lost` counts the messages that "
        'never came into the bag, `gap s` is the longest pause of a topic that comes at least once '
        'a second. Nothing is changed.',
        epilog='example: vvf episodes runs/bags --outcome failure --sort value',
    )
    parser.add_argument('folder', type=Path, metavar='DIR', help='a bag, or a folder of bags')
    parser.add_argument('--outcome', nargs='+', choices=(*OUTCOMES, UNREADABLE), metavar='OUTCOME',
                        help=f'only these: {", ".join(OUTCOMES)}, {UNREADABLE}')  # fmt: skip
    parser.add_argument('--sort', choices=tuple(_SORTS), default='name', metavar='BY',
                        help=f'{", ".join(_SORTS)}; worst values, most interventions, '
                        'losses, gaps and complaints come first [name]')  # fmt: skip
    parser.add_argument('--reverse', action='store_true', help='the other way round')
    parser.add_argument('--values', nargs='+', type=Path, metavar='PARQUET',
                        help='tables of vvf relabel [those in DIR]')  # fmt: skip
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf episodes`."""
    bags = find_episodes(args.folder)
    values = read_values(args.values or find_tables(args.folder))
    rows = []
    with progress_bar('bags', Console(stderr=True)) as bar:
        for path in bar.track(bags, description='looking'):
            rows.append(read_row(path, values))  # noqa: PERF401, the bar moves with it
    rows = merged(rows)
    rows = [row for row in rows if not args.outcome or row.outcome in args.outcome]
    rows.sort(key=_SORTS[args.sort], reverse=args.reverse)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(_table(rows))
    counts = Counter(row.outcome for row in rows)
    seconds = sum(row.seconds for row in rows)
    parts = ', '.join(f'{count} {outcome}' for outcome, count in counts.most_common())
    console.print(f'{len(rows)} episodes ({parts or "none"}), {seconds:.0f} s', highlight=False)
    numbers = {
        'episodes': len(rows),
        'seconds': round(seconds, 3),
        'outcomes': dict(counts),
        'interventions': sum(row.interventions for row in rows),
        'rows': [row.numbers() for row in rows],
    }
    write_json(args.json, numbers)
    return 0


def _table(rows: list[EpisodeRow]) -> Table:
    table = Table(box=None, header_style='bold', pad_edge=False)
    for name in ('episode', 'outcome'):
        table.add_column(name, no_wrap=True)
    for name in (
        'seconds',
        'frames',
        'value mean',
        'last',
        'progress',
        'takeovers',
        'lost',
        'gap s',
    ):
        table.add_column(name, justify='right', no_wrap=True)
    table.add_column('instruction', max_width=30, overflow='ellipsis', no_wrap=True)
    table.add_column('complaints', overflow='fold')
    for row in rows:
        value = row.value or ValueSummary()
        table.add_row(
            Text(row.name),
            Text(row.outcome, _COLOURS.get(row.outcome, '')),
            f'{row.seconds:.1f}',
            str(row.frames),
            _number(value.mean),
            _number(value.last),
            _number(value.progress_last),
            str(row.interventions or ''),
            '' if row.messages_lost is None else Text(str(row.messages_lost), _bad(row)),
            _number(row.longest_gap_s),
            Text(row.instruction),
            Text('; '.join(row.complaints), 'yellow'),
        )
    return table


def _bad(row: EpisodeRow) -> str:
    return 'yellow' if row.messages_lost else ''


def _number(value: float) -> str:
    return f'{value:.2f}' if math.isfinite(value) else ''


def _low(value: float) -> float:
    """Sorts the worst first and what is unknown last."""
    return value if math.isfinite(value) else math.inf
