# SPDX-License-Identifier: Apache-2.0
"""What `vvf report` and `vvf overlay` share: what is shown, and where its values come from."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vvf.cli.output import add_json_option, progress_bar
from vvf.cli.reading import add_reading_options
from vvf.errors import UserError
from vvf.paths import checkpoint_path

if TYPE_CHECKING:
    from vvf.viz.tracks import Track
    from vvf_models.data.episode import Episode

    #: Gives the curves of an episode that comes from somewhere.
    Score = Callable[[Episode, str], list[Track]]


def add_showing_options(parser: argparse.ArgumentParser) -> None:
    """Add what is shown, the sources of its values, and how it is read."""
    parser.add_argument('path', type=Path, metavar='PATH', help='folder of bags, or a data set')
    values = parser.add_mutually_exclusive_group()
    values.add_argument('--value', metavar='CKPT', help='score a data set with this checkpoint')
    values.add_argument('--values', type=Path, metavar='PARQUET',
                        help='values.parquet that vvf relabel made of a data set')  # fmt: skip
    parser.add_argument('--threshold', type=float, default=0.9,
                        help='progress drawn as success [0.9]')  # fmt: skip
    add_reading_options(parser)
    add_json_option(parser)


def holds_bags(args: argparse.Namespace) -> bool:
    """Whether PATH is a bag, or a folder that has one, at most three levels down.

    What is neither that nor a data set counts as a folder without bags, which is said so.

    Raises:
        UserError: There is nothing, or there are bags, and values for a data set.
    """
    from vvf.data import kind_of_data
    from vvf_models.errors import UserError as ModelsUserError

    if not args.path.exists():
        raise UserError(f'{args.path} does not exist: give a folder of recorded episodes')
    try:
        bags = kind_of_data(args.path) == 'bags'
    except ModelsUserError:
        bags = True
    if bags and args.value:
        raise UserError(
            f'{args.path} holds bags: run `vvf relabel` on them, which keeps the values, and '
            'leave --value out'
        )
    if bags and args.values:
        raise UserError(
            f'{args.path} holds bags: their relabelled siblings are found below the same folder, '
            'so leave --values out'
        )
    return bags


def scorer(args: argparse.Namespace) -> Score | None:
    """What gives the curves of a data set's episodes; None where nothing does.

    Raises:
        UserError: There is no such checkpoint or table, or it is damaged or of another kind.
    """
    from vvf.export.labels import LabelTable
    from vvf.viz.data_episodes import score
    from vvf.viz.table_tracks import tracks_of
    from vvf_models.runtime import load_value

    if args.values:
        table = LabelTable(args.values)
        return lambda episode, where: tracks_of(table, episode, where)
    if not args.value:
        return None
    folder = checkpoint_path(args.value)
    if folder is None:
        raise UserError(
            f'checkpoint {args.value} does not exist: give a folder that training wrote'
        )
    model = load_value(folder)
    return lambda episode, _: [score(episode, model)]


@contextmanager
def reading_bar(unit: str = 'episodes') -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; yields what is to be told how many of how many are done."""
    with progress_bar(unit, Console(stderr=True)) as bar:
        job: Any = bar.add_task('reading', total=None)
        yield lambda done, total: bar.update(job, completed=done, total=total)
