# SPDX-License-Identifier: Apache-2.0
"""`vvf edit`: split, trim, merge and label recorded episodes, into new bags."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from rich.console import Console

from vvf.bags import edit
from vvf.bags.folders import find_bags
from vvf.bags.reader import open_bag
from vvf.bags.writer import OUTCOMES
from vvf.cli.output import progress_bar
from vvf.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `vvf edit`."""
    parser = subparsers.add_parser(
        'edit',
        help='split, trim, merge or label recorded episodes, into new bags',
        description='Writes new bags and never touches the originals. Every topic is carried over '
        'as it is; custom_data says what was done, and to which bag. Times are seconds since the '
        'first message.',
        epilog='example: vvf edit trim runs/bags/ep7 --from 2 --to 9.5 --out runs/edited',
    )
    kinds = parser.add_subparsers(dest='edit', metavar='EDIT', required=True)
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument('bags', nargs=1, type=Path, metavar='BAG', help='the bag')
    several = argparse.ArgumentParser(add_help=False)
    several.add_argument(
        'bags', nargs='+', type=Path, metavar='BAG', help='bags, or folders of bags'
    )
    out = argparse.ArgumentParser(add_help=False)
    out.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder to write to')

    kind = kinds.add_parser('split', parents=[one, out], help='cut at some times')
    kind.add_argument('--at', required=True, nargs='+', type=_seconds, metavar='SECONDS',
                      help='where to cut')  # fmt: skip
    kind = kinds.add_parser('trim', parents=[one, out], help='keep a stretch')
    kind.add_argument('--from', dest='start', type=_seconds, default=0.0, metavar='SECONDS',
                      help='first second kept [0]')  # fmt: skip
    kind.add_argument('--to', dest='end', type=_seconds, metavar='SECONDS',
                      help='last second kept [the end]')  # fmt: skip
    kind = kinds.add_parser('merge', parents=[several, out], help='put together by time')
    kind.add_argument('--name', default='', help='of the new bag [that of the first, _merged]')
    kind = kinds.add_parser('outcome', parents=[several, out], help='say how episodes ended')
    kind.add_argument('--set', dest='outcome', required=True, choices=OUTCOMES, help='the outcome')
    kind = kinds.add_parser('instruct', parents=[several, out], help='say what was asked for')
    kind.add_argument('--set', dest='text', required=True, metavar='TEXT', help='the instruction')


def run(args: argparse.Namespace) -> int:
    """Run `vvf edit`."""
    bags = find_bags(args.bags)
    if args.edit in ('split', 'trim') and len(bags) != 1:
        raise UserError(f'{args.bags[0]} holds {len(bags)} bags: give one of them')
    console = Console(stderr=True)
    total, losses = 0, []
    for path in bags:
        with open_bag(path) as reader:
            total += reader.counts().total() if reader.loss else sum(reader.recorded.values())
            losses += [f'{path}: {reader.loss}'] if reader.loss else []
    with progress_bar('messages', console) as bar:
        job = bar.add_task(args.edit, total=total or None)

        def progress(done: int) -> None:
            bar.advance(job, done)

        written = _edit(args, bags, progress)
    for line in losses:
        console.print(f'warning: {line}', style='yellow', highlight=False, soft_wrap=True)
    for target in written:
        print(target)
    return 0


def _edit(args: argparse.Namespace, bags: list[Path], progress: edit.Progress) -> list[Path]:
    if args.edit == 'split':
        return edit.split(bags[0], args.out, args.at, progress)
    if args.edit == 'trim':
        return [edit.trim(bags[0], args.out, args.start, args.end, progress)]
    if args.edit == 'merge':
        return [edit.merge(bags, args.out, args.name, progress)]
    edit.check_targets(bags, args.out)
    if args.edit == 'outcome':
        return [edit.label(b, args.out, outcome=args.outcome, progress=progress) for b in bags]
    return [edit.label(b, args.out, instruction=args.text, progress=progress) for b in bags]


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError('must be 0 or more')
    return value
