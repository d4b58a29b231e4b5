# SPDX-License-Identifier: Apache-2.0
"""Does the recorder lose anything, and what is left of a bag when it is killed?

Two cameras of 640x480 at 30 Hz (JPEG) in one process, joint states at 500 Hz in another, and a real
episode node. From the moment when all have found each other, what is sent must be in the bag. Then,
with --kills, the node is killed (SIGKILL) at random moments of an episode, and the bag is read.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vvf.cli.output import add_json_option, write_json
from vvf.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vvf bench record`."""
    parser.add_argument('--seconds', type=float, default=60.0, help='how long to record [60]')
    parser.add_argument('--kills', type=int, default=0, help='kill the recorder so often [0]')
    parser.add_argument('--seed', type=int, default=0, help='of the moments of the kills [0]')
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf bench record`."""
    from vvf.bench.recording import measure, measure_kills

    if not 0.0 <= args.seconds <= 3600.0 or not 0 <= args.kills <= 1000:
        raise UserError('--seconds must lie between 0 and 3600, --kills between 0 and 1000.')
    numbers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix='vvf-bench-record-') as folder:
        if args.seconds:
            print(f'recording for {args.seconds:g} s ...', flush=True)
            numbers |= measure(Path(folder), args.seconds)
            _print_topics(numbers)
        if args.kills:
            numbers |= measure_kills(Path(folder), args.kills, args.seed)
            _print_kills(numbers)
    write_json(args.json, numbers)
    return 0


def _print_topics(numbers: dict[str, Any]) -> None:
    table = Table(box=None)
    for name in ('topic', 'sent', 'recorded', 'lost', 'longest gap'):
        table.add_column(name, justify='left' if name == 'topic' else 'right')
    for topic, row in numbers['topics'].items():
        counts = (str(row[k]) for k in ('sent', 'recorded', 'lost'))
        table.add_row(topic, *counts, f'{row["longest_gap_s"]:.3f} s')
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f'{numbers["dropped"]} dropped; the recorder took {numbers["cpu_share"]:.0%} of a core '
        f'for {numbers["mib_per_s"]:.1f} MiB/s'
    )


def _print_kills(numbers: dict[str, Any]) -> None:
    worst = numbers['kill_lost_s_max']
    lost = '-' if worst is None else f'{worst:.2f} s'
    print(
        f'{numbers["kills_readable"]} of {numbers["kills"]} bags of killed recorders are readable; '
        f'at most the last {lost} are lost, {numbers["kill_holes"]} messages before that'
    )
