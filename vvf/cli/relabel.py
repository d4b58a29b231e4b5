# SPDX-License-Identifier: Apache-2.0
"""`vvf relabel`: score recorded episodes with value models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.cli.reading import add_reading_options, read_options
from vvf.errors import UserError
from vvf.paths import checkpoint_path
from vvf.processes import terminate_as_interrupt
from vvf.relabelling import (
    OWN,
    TABLE,
    GoalSpec,
    ModelSpec,
    RelabelOptions,
    RelabelSummary,
    relabel,
)
from vvf.relabelling.engines import ENGINES
from vvf.relabelling.options import PART_FRAMES, slug
from vvf.task import load_task
from vvf_models.values import advantage

_OWN = 'own'
#: As in `vvf_models.runtime`, whose import takes a second that `--help` need not wait for.
ENGINE_DEVICES = ('auto', 'torch', 'openvino', 'openvino-int8', 'cuda')


def add_parser(subparsers: Any) -> None:
    """Add `vvf relabel`."""
    parser = subparsers.add_parser(
        'relabel',
        help='score recorded episodes with value models',
        description='Score recorded episodes with value models: bags, LeRobot v3 data sets, '
        f'videos, and whatever else `vvf train` takes. Writes to OUT the table {TABLE} with value, '
        'advantage and improvement indicator of every frame; for each bag a sibling with every '
        'original message plus the values, on /vvf/value, or on /vvf/value/relabelled where it '
        'holds live ones; and for each LeRobot data set a table that joins on episode_index and '
        'frame_index. The originals are never touched; what an earlier run completed is not done '
        'again.',
        epilog='example: vvf relabel runs/bags --value checkpoints/icvf_pick_place '
        '--out runs/relabelled',
    )
    parser.add_argument(
        'data', nargs='+', type=Path, metavar='DATA', help='bags, folders of bags, data sets'
    )
    parser.add_argument('--value', required=True, nargs='+', metavar='CKPT',
                        help='value checkpoints; each image is decoded once for all of them, and '
                        'encoded once by each')  # fmt: skip
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder to write to')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace labels of another checkpoint or options'
    )
    parser.add_argument('--tag', nargs='+', default=[], metavar='NAME',
                        help="ending of each checkpoint's columns [its name]")  # fmt: skip
    parser.add_argument('--goal', nargs='+', default=[], metavar='IMAGE',
                        help='measure against these: an image, or a folder with one named after '
                        f"each camera (and {'state.json'}, if needed); `{_OWN}`: the checkpoint's "
                        "goals for each episode's instruction [own]")  # fmt: skip
    parser.add_argument('--instruction', nargs='+', default=[], metavar='TEXT',
                        help='measure against these instructions')  # fmt: skip
    parser.add_argument('--camera', nargs='+', default=[], metavar='MODEL=DATA',
                        help="the data's camera for a model's, where the names differ")  # fmt: skip
    add_reading_options(
        parser,
        fps='frames a second taken of videos; of LeRobot data sets every row is scored, and this '
        'is the rate of the steps; 0: all [5]',
    )
    parser.add_argument('--rate', type=float, metavar='HZ',
                        help="steps per second of the models' training data [the task's, or the "
                        "data's own]")  # fmt: skip
    parser.add_argument('--batch', type=int, default=64, help='frames per batch [64]')
    parser.add_argument('--n-steps', type=int, default=advantage.N_STEPS,
                        help='horizon of the advantage, in steps of the model '
                        f'[{advantage.N_STEPS}]')  # fmt: skip
    parser.add_argument('--positive-ratio', type=float, default=advantage.POSITIVE_RATIO,
                        help='share of the frames that count as improvement '
                        f'[{advantage.POSITIVE_RATIO}]')  # fmt: skip
    parser.add_argument('--engine', choices=ENGINES, default='local',
                        help='who scores: processes of this machine, or Ray (the cluster that '
                        'RAY_ADDRESS names, or one of this machine) [local]')  # fmt: skip
    parser.add_argument('--workers', type=int, default=1,
                        help='episodes scored at once, each by a process [1]')  # fmt: skip
    add_engine_device(parser)
    parser.add_argument('--threads', type=int, default=0,
                        help='CPU threads of the models of each worker [the cores, shared by the '
                        'workers; 1 on torch, which suffers where cores are busy]')  # fmt: skip
    add_json_option(parser)


def add_engine_device(parser: Any) -> None:
    """Add `--engine-device`."""
    parser.add_argument(
        '--engine-device',
        choices=ENGINE_DEVICES,
        default='auto',
        help='what runs the models; int8 is measured on the data first [auto: by the hardware]',
    )


def run(args: argparse.Namespace) -> int:
    """Run `vvf relabel`."""
    if args.batch < 1 or args.n_steps < 1 or not 0.0 < args.positive_ratio < 1.0:
        raise UserError(
            '--batch and --n-steps must be at least 1, --positive-ratio between 0 and 1'
        )
    if args.workers < 1 or args.threads < 0 or (args.rate is not None and not args.rate > 0):
        raise UserError('--workers must be at least 1, --threads not below 0, --rate above 0')
    options = RelabelOptions(
        out=args.out,
        task=load_task(args.task) if args.task else None,
        n_steps=args.n_steps,
        positive_ratio=args.positive_ratio,
        batch=args.batch,
        rate_hz=args.rate,
        cameras=_cameras(args.camera),
        reading=read_options(args, clip_frames=(2, PART_FRAMES)),
        skip_bad=args.skip_bad,
        overwrite=args.overwrite,
        engine_device=args.engine_device,
        threads=args.threads,
        engine=args.engine,
        workers=args.workers,
    )
    models = model_specs(args.value, args.tag)
    console = Console(stderr=True)
    bar = progress_bar('frames', console)
    jobs: dict[str, Any] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in jobs:
            bar.start()
            unit = 'frames' if stage == 'score' else 'episodes'
            jobs[stage] = bar.add_task('scoring' if stage == 'score' else 'writing', unit=unit)
        bar.update(jobs[stage], completed=done, total=max(total, done) or None)

    terminate_as_interrupt()
    try:
        summary = relabel(args.data, models, options, _goals(args), progress)
    finally:
        if jobs:
            bar.stop()
    _print(console, summary, args.out)
    write_json(args.json, summary.numbers())
    return 0


def model_specs(checkpoints: Sequence[str], tags: Sequence[str] = ()) -> list[ModelSpec]:
    """The checkpoints that were named.

    Args:
        checkpoints: Folders, or names below ``checkpoints/``.
        tags: One for each, or none.

    Raises:
        UserError: There is no such checkpoint, or the tags are more or fewer.
    """
    if tags and len(tags) != len(checkpoints):
        raise UserError(f'--tag takes one name for each of the {len(checkpoints)} checkpoints')
    if not all(slug(tag) for tag in tags):
        raise UserError('--tag takes letters, digits and underscores')
    models = []
    for number, name in enumerate(checkpoints):
        folder = checkpoint_path(name)
        if folder is None:
            raise UserError(f'checkpoint {name} does not exist: give a folder that training wrote')
        models.append(ModelSpec(folder, tags[number] if tags else ''))
    return models


def _goals(args: argparse.Namespace) -> list[GoalSpec]:
    goals = []
    for place in args.goal:
        path = Path(place)
        if place == _OWN:
            goals.append(OWN)
        elif path.exists():
            goals.append(GoalSpec(slug(path.stem), image=path))
        else:
            raise UserError(f'{place} does not exist: give --goal an image, a folder or `{_OWN}`')
    goals += [GoalSpec(slug(text), instruction=text) for text in args.instruction]
    names = [goal.name for goal in goals]
    if len(set(names)) < len(names):
        raise UserError(f'two goals would be called {", ".join(names)}: name the files differently')
    return goals or [OWN]


def _cameras(pairs: Sequence[str]) -> dict[str, str]:
    cameras = dict(pair.split('=', 1) for pair in pairs if '=' in pair)
    if len(cameras) < len(pairs) or not all(cameras.values()):
        raise UserError("--camera takes pairs such as wrist=cam_high: the model's, then the data's")
    return cameras


def _print(console: Console, summary: RelabelSummary, out: Path) -> None:
    numbers = summary.numbers()
    again = f' ({summary.skipped} scored before)' if summary.skipped else ''
    rate = f', {numbers["frames_per_s"]:.0f} frames/s' if summary.frames_scored_now else ''
    console.print(
        f'{summary.episodes} episodes{again}: {summary.frames_scored} of '
        f'{summary.frames_read} frames scored{rate}; written to {out}',
        highlight=False,
        soft_wrap=True,
    )
    for reason, count in summary.lost.most_common():
        console.print(f'  {count} frames lost: {reason}', highlight=False, soft_wrap=True)
    for line in summary.losses:
        console.print(f'warning: {line}', style='yellow', highlight=False, soft_wrap=True)
    for line in summary.left_out:
        console.print(f'left out: {line}', style='yellow', highlight=False, soft_wrap=True)
