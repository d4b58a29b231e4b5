# SPDX-License-Identifier: Apache-2.0
"""`vvf overlay`: videos of episodes with the value growing below."""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vvf.bags.writer import OUTCOMES
from vvf.cli.output import progress_bar, write_json
from vvf.cli.reading import read_options
from vvf.cli.showing import add_showing_options, holds_bags, reading_bar, scorer
from vvf.errors import UserError
from vvf.paths import checkpoint_path

if TYPE_CHECKING:
    from vvf.viz.overlay_video import Clip

_VERSION = 1  # of what the pictures look like


def add_parser(subparsers: Any) -> None:
    """Add `vvf overlay`."""
    parser = subparsers.add_parser(
        'overlay',
        help='write videos of episodes with their value',
        description='Write one mp4 (H.264) per episode: the cameras side by side, below them the '
        'progress as it grows, events, interventions and an alarm while it falls. Bags need '
        'values, live ones or those of `vvf relabel`; other data sets are scored by --value or '
        'have --values. '
        'Videos that are there already are kept.',
        epilog='examples: vvf overlay runs/demo --out runs/demo/videos --outcome failure; '
        'vvf overlay data/held_out --value checkpoints/icvf_pick_place --worst 5 --out videos',
    )
    add_showing_options(parser)
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder of videos')
    parser.add_argument('--episodes', nargs='+', default=[], metavar='ID',
                        help='only these: ids, or numbers from 1 [all]')  # fmt: skip
    parser.add_argument('--outcome', nargs='+', default=[], choices=OUTCOMES,
                        help='only those that ended so [all]')  # fmt: skip
    parser.add_argument('--worst', type=int, default=0, metavar='N',
                        help='only the N with the largest falls of progress')  # fmt: skip
    parser.add_argument('--cameras', nargs='+', default=[], help='in this order [all]')
    parser.add_argument('--height', type=int, default=360, help='of the images, pixels [360]')
    parser.add_argument('--alarm', type=float, default=0.2, metavar='FALL',
                        help='fall of progress within 2 s that raises the alarm [0.2]')  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run `vvf overlay`."""
    from vvf.viz.overlay_video import is_written, write_overlay

    if args.height < 64 or args.worst < 0 or not (math.isfinite(args.alarm) and args.alarm > 0):
        raise UserError('--height must be at least 64, --worst not below 0, --alarm above 0.')
    clips = _clips(args)
    began, frames, kept = time.perf_counter(), 0, 0
    files = []
    with progress_bar('frames', Console(stderr=True)) as bar:
        for clip in clips:
            target = args.out / f'{clip.file_name}.mp4'
            files.append(str(target))
            if is_written(target, clip.mark):
                kept += 1
                continue
            job = bar.add_task(clip.episode.name, total=clip.episode.frames or None)
            told = partial(_tell, bar, job)
            written = write_overlay(
                target, clip, height=args.height, alarm=args.alarm, progress=told
            )
            bar.update(job, completed=written, total=written)
            frames += written
    seconds = time.perf_counter() - began
    again = f' ({kept} were there already)' if kept else ''
    print(f'{len(files)} videos{again}: {args.out}')
    write_json(args.json, {
        'episodes': len(files), 'kept': kept, 'frames': frames,
        'frames_per_s': frames / seconds if frames else None, 'files': files,
    })  # fmt: skip
    return 0


def _tell(bar: Any, job: Any, done: int) -> None:
    bar.update(job, completed=done)


def _clips(args: argparse.Namespace) -> list[Clip]:
    if holds_bags(args):
        return _clips_of_bags(args)
    if not args.value and not args.values:
        raise UserError(
            f'{args.path} holds no values: name a checkpoint with --value, or a table of `vvf '
            'relabel` with --values'
        )
    return _clips_of_data(args)


def _clips_of_bags(args: argparse.Namespace) -> list[Clip]:
    from vvf.viz.episodes import find_episodes, read_episode
    from vvf.viz.overlay_video import Clip, bag_moments, choose

    pairs = find_episodes(args.path)
    episodes = []
    with reading_bar() as told:
        for bag, siblings in pairs:
            episodes.append(read_episode(bag, siblings, threshold=args.threshold))
            told(len(episodes), len(pairs))
    clips = []
    for i in choose(episodes, args.episodes, args.outcome, args.worst):
        bag, siblings = pairs[i]
        if not any(episodes[i].tracks):
            raise UserError(f'{bag} holds no values: run `vvf relabel` on it, then show the run')
        mark = _mark(args, bag, *siblings)
        clips.append(Clip(episodes[i], partial(bag_moments, bag, args.cameras), mark))
    return clips


def _clips_of_data(args: argparse.Namespace) -> list[Clip]:
    from vvf.data import open_data
    from vvf.viz.data_episodes import report_of
    from vvf.viz.overlay_video import Clip, choose, data_moments
    from vvf_models.data.chain import fingerprint, source

    data = open_data(args.path, args.task, read_options(args))
    score = scorer(args)
    assert score is not None  # one of them was named
    episodes = []
    with reading_bar() as told:
        for number, episode in enumerate(data):
            tracks = score(episode, source(data, number))
            episodes.append(report_of(episode, tracks, threshold=args.threshold, number=number))
            told(number + 1, len(data))

    def moments(number: int) -> Any:
        # Read again when its turn comes: all at once would not fit.
        return data_moments(data[number], args.cameras)

    made_of = fingerprint(data)
    return [
        Clip(episodes[i], partial(moments, i), _mark(args, text=f'{made_of} {i}'))
        for i in choose(episodes, args.episodes, args.outcome, args.worst)
    ]


def _mark(args: argparse.Namespace, *bags: Path, text: str = '') -> str:
    """What the video is made of, and how, as a hash."""
    how = f'{_VERSION} {args.height} {args.threshold} {args.alarm} {args.cameras} {text}'
    model = checkpoint_path(args.value) if args.value else None
    places = [*bags, *(place for place in (model, args.values) if place)]
    files = [
        f for place in places for f in (sorted(place.iterdir()) if place.is_dir() else [place])
    ]
    stats = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return 'vvf overlay ' + hashlib.sha256(f'{how} {stats}'.encode()).hexdigest()[:32]
