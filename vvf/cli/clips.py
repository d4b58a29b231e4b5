# SPDX-License-Identifier: Apache-2.0
"""`vvf clips`: videos of a person's hand at a table, without a robot and without actions."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError
from vvf.pool import ENGINES, run_jobs
from vvf.whole_file import write_whole

if TYPE_CHECKING:
    from vvf_sim.clips import ClipConfig

# No JSON, which would be labels of a video of that name.
_SETTINGS = 'clips.yaml'
_SHEET = 40  # clips in a picture


def add_parser(subparsers: Any) -> None:
    """Add `vvf clips`."""
    parser = subparsers.add_parser(
        'clips',
        help="draw videos of a person's hand at a table, as a stand-in for Ego4D",
        description="Draw clips of a person's hand that picks up, pushes, pours, stirs, stacks, "
        'wipes and opens things, with the camera on the head: one mp4 a clip, and its instruction '
        'beside it, as clips of Ego4D would lie there. There are no actions and no outcomes. A '
        'seed is one clip, the same on every run; a run that was stopped goes on where it was.',
        epilog='example: vvf clips --episodes 2000 --out data/clips, then '
        'vvf train icvf --no-state --data data/clips --out runs/icvf_clips',
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument('--out', type=Path, metavar='DIR', help='folder for the clips')
    place.add_argument(
        '--sheet', type=Path, metavar='FILE.png', help='write a picture of the clips, and none'
    )
    parser.add_argument('--episodes', type=int, default=100, help='[100]')
    parser.add_argument('--seed', type=int, default=0, help='seed of the first clip [0]')
    parser.add_argument('--image-size', type=int, default=128, metavar='PX', help='[128]')
    parser.add_argument('--fps', type=int, default=5, help='frames a second [5]')
    parser.add_argument(
        '--frames',
        type=int,
        nargs=2,
        default=(10, 150),
        metavar=('FEWEST', 'MOST'),
        help='of a clip [10 150]',
    )
    parser.add_argument('--engine', choices=ENGINES, default='local', help='[local]')
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        metavar='N',
        help='processes [all cores]',
    )
    add_json_option(parser)


@dataclass(frozen=True)
class ClipJob:
    """One clip to draw, and its file."""

    seed: int
    path: Path
    config: ClipConfig


@dataclass(frozen=True)
class ClipResult:
    """What was drawn: number of frames, what is done in it."""

    frames: int
    activities: tuple[str, ...]


def write_clip(job: ClipJob) -> ClipResult:
    """Draw a clip and save it; the video appears when it is whole, its label before it."""
    from vvf.export.video import VideoWriter
    from vvf_sim.clips import make_clip

    clip = make_clip(job.seed, job.config)
    label = json.dumps({'instruction': clip.instruction}, indent=1) + '\n'
    job.path.with_suffix('.json').write_text(label, 'utf-8')
    with VideoWriter(job.path, clip.fps, 'h264') as video:
        for frame in clip.frames:
            video.write(frame)
    return ClipResult(len(clip.frames), clip.activities)


def run(args: argparse.Namespace) -> int:
    """Run `vvf clips`."""
    from vvf_sim.clips import ClipConfig

    if args.seed < 0 or args.episodes < 1 or args.workers < 1:
        raise UserError('--episodes and --workers must be at least 1, --seed not negative.')
    least, most = args.frames
    config = ClipConfig(args.image_size, args.fps, least, most)
    if args.sheet is not None:
        return _draw_sheet(args, config)
    _claim(args.out, config)
    jobs = [
        ClipJob(seed, args.out / f'clip_{seed:07d}.mp4', config)
        for seed in range(args.seed, args.seed + args.episodes)
    ]
    todo = [job for job in jobs if not job.path.exists()]
    if len(todo) < len(jobs):
        print(f'{len(jobs) - len(todo)} of {len(jobs)} clips are there already')
    done: Counter[str] = Counter()
    frames = 0
    with progress_bar('clips') as bar:
        row = bar.add_task(args.out.name, total=len(todo))
        for result in run_jobs(write_clip, todo, args.workers, args.engine):
            done.update(result.activities)
            frames += result.frames
            bar.update(row, advance=1)
    listed = ', '.join(f'{count} x {name}' for name, count in done.most_common())
    print(f'{len(todo)} clips, {frames} frames: {listed or "nothing to do"}')
    write_json(args.json, {'clips': len(todo), 'frames': frames, 'activities': dict(done)})
    return 0


def _draw_sheet(args: argparse.Namespace, config: ClipConfig) -> int:
    from vvf.viz.clip_sheet import write_sheet
    from vvf_sim.clips import make_clip

    if args.sheet.suffix != '.png' or args.episodes > _SHEET:
        raise UserError(f'--sheet takes a name that ends in .png, and at most {_SHEET} --episodes.')
    seeds = range(args.seed, args.seed + args.episodes)
    with progress_bar('clips') as bar:
        clips = [make_clip(seed, config) for seed in bar.track(seeds, description='drawing')]
    write_sheet(args.sheet, clips)
    print(f'{len(clips)} clips: {args.sheet}')
    return 0


def _claim(folder: Path, config: ClipConfig) -> None:
    """Note what the folder's clips are drawn with, and refuse one with others."""
    settings = asdict(config)
    settings.pop('renderer')
    text = yaml.safe_dump(settings)
    file = folder / _SETTINGS
    if file.is_file() and file.read_text('utf-8') != text:
        raise UserError(
            f'{folder} holds clips that were drawn with other settings ({file.name} says which): '
            'choose another folder with --out'
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, text)
