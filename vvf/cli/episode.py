# SPDX-License-Identifier: Apache-2.0
"""`vvf episode`: start, end, judge and save episodes of a running graph."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vvf.cli.output import add_json_option, write_json

OUTCOMES = ('success', 'failure', 'aborted', 'unlabelled')


def add_parser(subparsers: Any) -> None:
    """Add `vvf episode` and what can be done with one."""
    parser = subparsers.add_parser(
        'episode',
        help='start, end, judge and save episodes of a running graph',
        description='Ask the episode node of the graph that runs (`vvf up`, `ros2 launch`).',
        epilog='examples: vvf episode keys; vvf episode start --instruction "fold the shirt"; '
        'vvf episode end success; vvf episode save',
    )
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    actions.add_parser('keys', help='a small screen: start, stop and judge by single keys')
    start = actions.add_parser('start', help='start an episode, and its bag')
    start.add_argument('--instruction', default='', help="what the robot is asked [the task's]")
    start.add_argument('--id', default='', help='name of the episode [date and time]')
    for name, line in (
        ('end', 'end the running episode'),
        ('label', 'judge the last recorded episode anew'),
    ):
        judged = actions.add_parser(name, help=line)
        judged.add_argument('outcome', choices=OUTCOMES)
        judged.add_argument('--note', default='', help='free text, kept with the event')
    actions.add_parser('save', help='save the ring buffer as a bag of its own')
    status = actions.add_parser('status', help='what runs, and the rate of every topic')
    add_json_option(status)


def run(args: argparse.Namespace) -> int:
    """Run `vvf episode`."""
    from vvf.episode_client import EpisodeClient

    with EpisodeClient() as client:
        if args.action == 'keys':
            from vvf.episode_keys import run_keys

            run_keys(client)
        elif args.action == 'start':
            answer = client.start(args.instruction, args.id)
            print(f'{answer.episode_id} began' + (f': {answer.path}' if answer.path else ''))
        elif args.action == 'end':
            print(f'{args.outcome}: {client.end(args.outcome, args.note).path or "not recorded"}')
        elif args.action == 'label':
            print(f'{args.outcome}: {client.label(args.outcome, args.note).path}')
        elif args.action == 'save':
            print(client.save())
        else:
            _show(client.read_status(), args.json)
    return 0


def _show(status: Any, file: Path | None) -> None:
    console = Console(highlight=False)
    if status.episode:
        console.print(f'{status.episode}, {status.seconds:.1f} s: {status.message}')
    else:
        last = f'; last: {status.last_outcome}, {status.last_path}' if status.last_path else ''
        console.print(f'no episode runs: {status.message}{last}')
    numbers = f'{status.written} messages, {status.dropped} dropped, {status.lost} lost, '
    numbers += f'{status.free_gib:.1f} GiB free'
    if status.ring_s:
        numbers += f', ring buffer {status.ring_s:.1f} s in {status.ring_mib:.1f} MiB'
    console.print(numbers)
    table = Table(box=None, pad_edge=False)
    table.add_column('topic')
    table.add_column('Hz', justify='right')
    for topic, rate in status.rates_hz.items():
        table.add_row(topic, f'{rate:.1f}')
    console.print(table)
    write_json(file, asdict(status))
