# SPDX-License-Identifier: Apache-2.0
"""`vvf view`: a bag in the Rerun viewer."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `vvf view`."""
    parser = subparsers.add_parser(
        'view',
        help='show a bag in the Rerun viewer: cameras, joints and values on one time line',
        description='Show one episode in the Rerun viewer: cameras, joints, values, actions and '
        'events on one time line. Relabelled values are found below the same folder. Nothing '
        'leaves this machine: the viewer listens on loopback, and its usage statistics are off.',
        epilog='examples: vvf view runs/demo --episode 2; vvf view BAG --save episode.rrd',
    )
    parser.add_argument('path', type=Path, metavar='BAG', help='a bag, or a folder of bags')
    parser.add_argument('--episode', metavar='ID', help='which one: an id, or a number from 1')
    parser.add_argument('--save', type=Path, metavar='FILE.rrd',
                        help='write a file for `rerun FILE.rrd`, and open no viewer')  # fmt: skip
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf view`."""
    from vvf.viz.rerun_view import show, write_recording

    bag, siblings = _chosen(args)
    if args.save is not None and args.save.suffix != '.rrd':
        raise UserError(f'--save {args.save}: the name has to end in .rrd')
    with tempfile.TemporaryDirectory(prefix='vvf-view-') as folder:
        target = args.save or Path(folder) / 'episode.rrd'
        with progress_bar('messages', Console(stderr=True)) as bar:
            job = bar.add_task('reading', total=None)
            rows = write_recording(
                target, bag, siblings, progress=lambda done: bar.update(job, completed=done)
            )
        write_json(args.json, {'entities': len(rows), 'rows': rows})
        if args.save:
            print(f'{len(rows)} entities: {target}')
        else:
            show(target)
    return 0


def _chosen(args: argparse.Namespace) -> tuple[Path, list[Path]]:
    """The bag that is meant, and those that relabelling made of it."""
    from vvf.bags.reader import open_bag
    from vvf.viz.episodes import find_episodes

    pairs = find_episodes(args.path)
    names = []
    for bag, _ in pairs:
        with open_bag(bag) as reader:
            names.append(reader.episode_id)
    if args.episode is None and len(pairs) == 1:
        return pairs[0]
    if args.episode in names:
        return pairs[names.index(args.episode)]
    if args.episode and args.episode.isdecimal() and 1 <= int(args.episode) <= len(pairs):
        return pairs[int(args.episode) - 1]
    raise UserError(
        f'{args.path} holds {len(pairs)} episodes, from {names[0]} to {names[-1]}: choose one with '
        f'--episode ID or a number from 1 to {len(pairs)}'
    )
