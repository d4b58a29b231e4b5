# SPDX-License-Identifier: Apache-2.0
"""`vvf report`: one HTML page about a run or a data set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vvf.cli.output import write_json
from vvf.cli.reading import read_options
from vvf.cli.showing import add_showing_options, holds_bags, reading_bar, scorer

if TYPE_CHECKING:
    from vvf.viz.cards import EpisodeReport


def add_parser(subparsers: Any) -> None:
    """Add `vvf report`."""
    parser = subparsers.add_parser(
        'report',
        help='write an HTML page about recorded episodes',
        description='Write one self-contained HTML page: per episode a film strip and its values, '
        'live and relabelled, with milestones, errors, interventions and what is wrong with the '
        'recording; the worst drops first. Bags are looked for below PATH, and those that `vvf '
        'relabel` wrote are paired with their originals. Other data sets are scored by --value, or '
        "have --values. `vvf report tables` is another page: the papers' tables with ours (a "
        'folder that is called so is ./tables).',
        epilog='examples: vvf report runs/demo; '
        'vvf report data/held_out --value checkpoints/icvf_pick_place --out page.html; '
        'vvf report tables --help',
    )
    add_showing_options(parser)
    parser.add_argument('--out', type=Path, help='the page [PATH/report.html]')
    parser.add_argument('--title', help='heading [the name of PATH]')


def run(args: argparse.Namespace) -> int:
    """Run `vvf report`."""
    # Imported here, since torch takes a second that `vvf report --help` need not wait for.
    from vvf.viz.episodes import summarise
    from vvf.viz.report import write_report

    episodes = _read(args)
    summary = summarise(episodes, args.path / 'summary.json')
    title = args.title or args.path.resolve().name
    target = args.out or (args.path if args.path.is_dir() else args.path.parent) / 'report.html'
    count = f'{len(episodes)} episode{"" if len(episodes) == 1 else "s"}'
    shown = {k: v for k, v in summary.items() if k != 'per_episode'}
    write_report(target, episodes, shown, title=title, lead=count)
    write_json(args.json, summary)
    print(f'{count}: {target}')
    return 0


def _read(args: argparse.Namespace) -> list[EpisodeReport]:
    from vvf.data import open_data
    from vvf.viz.data_episodes import read_data
    from vvf.viz.episodes import read_run

    if holds_bags(args):
        with reading_bar() as progress:
            return read_run(args.path, threshold=args.threshold, progress=progress)
    data = open_data(args.path, args.task, read_options(args))
    left_out = (lambda text: print(f'left out: {text}', file=sys.stderr)) if args.skip_bad else None
    score = scorer(args)
    with reading_bar() as progress:
        return read_data(
            data, score, threshold=args.threshold, skip_bad=left_out, progress=progress
        )
