# SPDX-License-Identifier: Apache-2.0
"""`vvf export`: recorded episodes in the formats of others."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError
from vvf.task import load_task

if TYPE_CHECKING:
    from vvf.export.episodes import ExportSummary, Progress
    from vvf.export.recordings import Recordings


#: As in `vvf.export.hdf5`, whose imports take a second that `--help` need not wait for.
_COMPRESSIONS = ('gzip', 'lzf', 'none')


def add_parser(subparsers: Any) -> None:
    """Add `vvf export`."""
    parser = subparsers.add_parser(
        'export',
        help='write episodes as a LeRobot data set, or as HDF5',
        description='Write episodes in the formats of others. The originals are never touched.',
        epilog='examples: vvf export lerobot runs/bags --values runs/relabelled/values.parquet '
        '--out data/my_dataset; vvf export hdf5 runs/bags --out data/my_dataset.h5',
    )
    kinds = parser.add_subparsers(dest='kind', metavar='FORMAT', required=True)
    kind = kinds.add_parser(
        'lerobot',
        help='LeRobot v3',
        description='Write a LeRobot v3 data set: a row for each frame, a video for each camera '
        'and episode. The task file says which topics are state and action, and at what rate. An '
        'export that was stopped goes on where it was.',
        epilog='example: vvf export lerobot runs/bags --out data/my_dataset',
    )
    _add_common(kind, 'DIR', 'folder of the data set')
    kind.add_argument('--codec', choices=('h264', 'av1'), default='h264', help='[h264]')
    kind.add_argument('--crf', type=int, help='quality of the videos, 0 is best [18; av1: 25]')
    kind = kinds.add_parser(
        'hdf5',
        help='one HDF5 file with the steps of RLDS',
        description='Write one HDF5 file, a group for each episode with the steps of RLDS: images '
        'to the last bit, state, action, reward, is_first, is_last, is_terminal, instruction, '
        'and labels. The file appears when it is complete.',
        epilog='example: vvf export hdf5 runs/bags --image-size 128 --out data/my_dataset.h5',
    )
    _add_common(kind, 'FILE', 'the file')
    kind.add_argument('--compression', choices=_COMPRESSIONS, default='gzip',
                      help='lzf is quicker, but read by h5py only [gzip]')  # fmt: skip


def _add_common(kind: argparse.ArgumentParser, metavar: str, out: str) -> None:
    """Add what all formats have."""
    kind.add_argument('data', nargs='+', type=Path, metavar='SRC',
                      help='bags, or anything that vvf train takes')  # fmt: skip
    kind.add_argument('--out', required=True, type=Path, metavar=metavar, help=out)
    kind.add_argument('--values', type=Path, metavar='PARQUET',
                      help='values.parquet of vvf relabel, to be joined')  # fmt: skip
    kind.add_argument('--task', help='task name or file [the one in each bag]')
    kind.add_argument('--fps', type=float, default=0.0,
                      help="frames a second [bags: the task's; others: their own]")  # fmt: skip
    kind.add_argument('--cameras', nargs='+', default=(), help='only these [all]')
    kind.add_argument('--image-size', type=int, metavar='PIXELS',
                      help='scale images to a square [as they are]')  # fmt: skip
    kind.add_argument('--skip-bad', action='store_true',
                      help='leave out bad episodes, naming them')  # fmt: skip
    add_json_option(kind)


def run(args: argparse.Namespace) -> int:
    """Run `vvf export`."""
    sources = _sources(args)
    console = Console(stderr=True)

    def warn(sentence: str) -> None:
        console.print(f'left out: {sentence}', style='yellow', highlight=False, soft_wrap=True)

    skip_bad = warn if args.skip_bad else None
    count = sum(len(source) for source in sources)
    expected = [source.expected_frames() for source in sources]
    with progress_bar('frames', console) as bar:
        job = bar.add_task('exporting', total=sum(expected) if all(expected) else None)

        def progress(frames: int, episodes: int) -> None:
            bar.update(job, completed=frames, description=f'episode {episodes} of {count}')

        export = _hdf5 if args.kind == 'hdf5' else _lerobot
        summary = export(args, sources, skip_bad, progress)
        bar.update(job, completed=summary.frames, total=summary.frames)
    again = f' ({summary.before} written before)' if summary.before else ''
    rate = f', {summary.numbers()["frames_per_s"]:.0f} frames/s' if summary.frames_now else ''
    print(f'{args.out}: {summary.episodes} episodes{again}, {summary.frames} frames{rate}')
    if summary.gaps:
        console.print(
            f'warning: the recordings have {summary.gaps} gaps, {summary.gap_seconds:.1f} s in '
            'all, which rows at a constant rate do not show; stamp_ns does',
            style='yellow', highlight=False, soft_wrap=True,
        )  # fmt: skip
    write_json(args.json, summary.numbers())
    return 0


def _sources(args: argparse.Namespace) -> list[Recordings]:
    # Imported here, since torch takes a second that `--help` need not wait for.
    from vvf.export.recordings import open_recordings
    from vvf_models.data.options import AS_IT_IS

    if args.kind == 'lerobot' and args.crf is not None and not 0 <= args.crf <= 51:
        raise UserError('--crf must lie between 0 and 51')
    if args.kind == 'hdf5' and (args.out.is_dir() or args.out.suffix not in ('.h5', '.hdf5')):
        raise UserError(f'--out {args.out}: give a file whose name ends in .h5 or .hdf5')
    if args.image_size is not None and args.image_size < 1:
        raise UserError('--image-size must be 1 or more')
    if not args.fps >= 0:
        raise UserError('--fps must be 0 or more')
    task = load_task(args.task) if args.task else None
    for path in args.data:
        if path.exists() and path.resolve() in (args.out.resolve(), *args.out.resolve().parents):
            raise UserError(f'--out {args.out} would write into {path}: choose another place')
    return [
        open_recordings(
            path, task, fps=args.fps, cameras=args.cameras,
            image_size=args.image_size or AS_IT_IS,
        )
        for path in args.data
    ]  # fmt: skip


def _lerobot(
    args: argparse.Namespace,
    sources: Sequence[Recordings],
    skip_bad: Callable[[str], None] | None,
    progress: Progress,
) -> ExportSummary:
    from vvf.export.labels import LabelTable
    from vvf.export.lerobot import ExportOptions, export_lerobot

    labels = LabelTable(args.values) if args.values else None
    options = ExportOptions(args.out, args.codec, args.crf, labels, skip_bad)
    return export_lerobot(sources, options, progress)


def _hdf5(
    args: argparse.Namespace,
    sources: Sequence[Recordings],
    skip_bad: Callable[[str], None] | None,
    progress: Progress,
) -> ExportSummary:
    from vvf.export.hdf5 import Hdf5Options, export_hdf5
    from vvf.export.labels import LabelTable

    labels = LabelTable(args.values) if args.values else None
    options = Hdf5Options(args.out, args.compression, labels, skip_bad)
    return export_hdf5(sources, options, progress)
