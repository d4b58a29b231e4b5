# SPDX-License-Identifier: Apache-2.0
"""`vvf relabel`: score recorded bags with a value model."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from vvf import advantage
from vvf.bags.relabel import TABLE, RelabelOptions, RelabelSummary, find_bags, relabel
from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError
from vvf.paths import checkpoint_path
from vvf.task import load_task


def add_parser(subparsers: Any) -> None:
    """Add `vvf relabel`."""
    parser = subparsers.add_parser(
        'relabel',
        help='score recorded bags with a value model',
        description='Score recorded bags with a value model. Writes to OUT one bag per episode, '
        f'with every original message plus the values, and the table {TABLE}. The originals are '
        'never touched; what an earlier run completed is not done again. The values go to '
        '/vvf/value, or to /vvf/value/relabelled where the bag holds live ones.',
        epilog='example: vvf relabel runs/bags --value checkpoints/icvf_pick_place '
        '--out runs/relabelled',
    )
    parser.add_argument(
        'bags', nargs='+', type=Path, metavar='BAG', help='bags, or folders of bags'
    )
    parser.add_argument('--value', required=True, metavar='CKPT', help='the value checkpoint')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder to write to')
    parser.add_argument('--task', help='task name or file [the one in each bag]')
    parser.add_argument('--tag', help="suffix of the table's columns [the checkpoint's name]")
    parser.add_argument('--batch', type=int, default=64, help='frames per batch [64]')
    parser.add_argument('--n-steps', type=int, default=advantage.N_STEPS,
                        help='horizon of the advantage, in steps of the model '
                        f'[{advantage.N_STEPS}]')  # fmt: skip
    parser.add_argument('--positive-ratio', type=float, default=advantage.POSITIVE_RATIO,
                        help='share of the frames that count as improvement '
                        f'[{advantage.POSITIVE_RATIO}]')  # fmt: skip
    parser.add_argument('--threads', type=int, default=1, help='threads of the model [1]')
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf relabel`."""
    if args.batch < 1 or args.n_steps < 1 or not 0.0 < args.positive_ratio < 1.0:
        raise UserError(
            '--batch and --n-steps must be at least 1, --positive-ratio between 0 and 1'
        )
    bags = find_bags(args.bags)
    task = load_task(args.task) if args.task else None
    model, fingerprint = load_model(args.value, args.threads)
    options = RelabelOptions(
        out=args.out, fingerprint=fingerprint, task=task, batch=args.batch,
        tag=re.sub(r'\W+', '_', args.tag or model.name),
        n_steps=args.n_steps, positive_ratio=args.positive_ratio,
    )  # fmt: skip
    console = Console(stderr=True)
    bar = progress_bar('frames', console)
    jobs: dict[str, Any] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in jobs:
            bar.start()
            unit = 'frames' if stage == 'score' else 'bags'
            jobs[stage] = bar.add_task('scoring' if stage == 'score' else 'writing', unit=unit)
        bar.update(jobs[stage], completed=done, total=max(total, done) or None)

    try:
        summary = relabel(bags, model, options, progress)
    finally:
        if jobs:
            bar.stop()
    _print(console, summary, args.out)
    write_json(args.json, summary.numbers())
    return 0


def load_model(checkpoint: str | os.PathLike[str], threads: int = 1) -> tuple[Any, str]:
    """Load a value model for relabelling.

    Args:
        checkpoint: Folder, or name below ``checkpoints/``.
        threads: Threads of the model; more than one suffers badly where cores are shared.

    Returns:
        The model, and a fingerprint of its weights and configuration.

    Raises:
        UserError: There is no such checkpoint, it is damaged, or it is not a value model.
    """
    # Imported here, since torch takes a second that `vvf relabel --help` need not wait for.
    from vvf_models.runtime import load_value

    folder = checkpoint_path(str(checkpoint))
    if folder is None:
        raise UserError(
            f'checkpoint {checkpoint} does not exist: give a folder that training wrote'
        )
    model = load_value(folder, threads=threads)
    digest = hashlib.sha256()
    for name in sorted(p.name for p in folder.iterdir() if p.suffix in ('.safetensors', '.yaml')):
        digest.update((folder / name).read_bytes())
    return model, digest.hexdigest()


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
