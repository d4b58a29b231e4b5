# SPDX-License-Identifier: Apache-2.0
"""`vvf report`: one HTML page about a run or a data set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.cli.reading import add_reading_options, read_options
from vvf.errors import UserError
from vvf.paths import checkpoint_path

if TYPE_CHECKING:
    from vvf.viz.cards import EpisodeReport
    from vvf_models.runtime import ValueRuntime


def add_parser(subparsers: Any) -> None:
    """Add `vvf report`."""
    parser = subparsers.add_parser(
        'report',
        help='write an HTML page about recorded episodes',
        description='Write one self-contained HTML page: per episode a film strip and its values, '
        'live and relabelled, with milestones, errors, interventions and what is wrong with the '
        'recording; the worst drops first. Bags are looked for below PATH, and those that `vvf '
        'relabel` wrote are paired with their originals. Other data sets are scored by --value.',
        epilog='examples: vvf report runs/demo; '
        'vvf report data/held_out --value checkpoints/icvf_pick_place --out page.html',
    )
    parser.add_argument('path', type=Path, metavar='PATH', help='folder of bags, or a data set')
    parser.add_argument('--out', type=Path, help='the page [PATH/report.html]')
    parser.add_argument('--title', help='heading [the name of PATH]')
    parser.add_argument('--value', metavar='CKPT', help='score a data set with this checkpoint')
    parser.add_argument('--threshold', type=float, default=0.9,
                        help='progress drawn as success [0.9]')  # fmt: skip
    add_reading_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf report`."""
    # Imported here, since torch takes a second that `vvf report --help` need not wait for.
    from vvf.viz.episodes import summarise
    from vvf.viz.report import write_report

    if not args.path.exists():
        raise UserError(f'{args.path} does not exist: give a folder of recorded episodes')
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

    if holds_bags(args.path):
        if args.value:
            raise UserError(
                f'{args.path} holds bags: run `vvf relabel` on them, which keeps the values, and '
                'leave --value out'
            )
        with reading_bar() as progress:
            return read_run(args.path, threshold=args.threshold, progress=progress)
    data = open_data(args.path, args.task, read_options(args))
    model = load_model(args.value) if args.value else None
    left_out = (lambda text: print(f'left out: {text}', file=sys.stderr)) if args.skip_bad else None
    with reading_bar() as progress:
        return read_data(
            data, model, threshold=args.threshold, skip_bad=left_out, progress=progress
        )


def holds_bags(path: Path) -> bool:
    """Whether a path is a bag, or a folder that has one, at most three levels down.

    What is neither that nor a data set counts as a folder without bags, which is said so.
    """
    from vvf.data import kind_of_data
    from vvf_models.errors import UserError as ModelsUserError

    try:
        return kind_of_data(path) == 'bags'
    except ModelsUserError:
        return True


def load_model(checkpoint: str) -> ValueRuntime:
    """Load a value model by the name or folder of its checkpoint.

    Raises:
        UserError: There is no such checkpoint, it is damaged, or it is not a value model.
    """
    from vvf_models.runtime import load_value

    folder = checkpoint_path(checkpoint)
    if folder is None:
        raise UserError(
            f'checkpoint {checkpoint} does not exist: give a folder that training wrote'
        )
    return load_value(folder)


@contextmanager
def reading_bar(unit: str = 'episodes') -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; yields what is to be told how many of how many are done."""
    with progress_bar(unit, Console(stderr=True)) as bar:
        job = bar.add_task('reading', total=None)
        yield lambda done, total: bar.update(job, completed=done, total=total)
