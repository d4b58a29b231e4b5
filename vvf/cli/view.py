# SPDX-License-Identifier: Apache-2.0
"""`vvf view`: a bag in the Rerun viewer, or the scripted expert at a simulated task."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError

if TYPE_CHECKING:
    from vvf.viz.task_view import Scene

_TASK_SUFFIXES = ('.mp4', '.png')


def add_parser(subparsers: Any) -> None:
    """Add `vvf view`."""
    parser = subparsers.add_parser(
        'view',
        help='show a bag in the Rerun viewer, or a simulated task done by its expert',
        description='Show one episode in the Rerun viewer: cameras, joints, values, actions and '
        'events on one time line. Relabelled values are found below the same folder. Nothing '
        'leaves this machine: the viewer listens on loopback, and its usage statistics are off. '
        'Or show how the scripted expert does a simulated task: in a window, as a video '
        '(--save FILE.mp4) or as a film strip (--save FILE.png).',
        epilog='examples: vvf view runs/demo --episode 2; vvf view BAG --save episode.rrd; '
        'vvf view pick_place --arm fr3 --mistake dropped --save dropped.mp4',
    )
    parser.add_argument(
        'what', metavar='BAG|TASK', help='a bag, a folder of bags, or the name of a simulated task'
    )
    parser.add_argument('--save', type=Path, metavar='FILE',
                        help='write a file and open nothing: .rrd of a bag (for `rerun FILE.rrd`), '
                        '.mp4 or .png of a task')  # fmt: skip
    parser.add_argument('--episode', metavar='ID', help='of bags: an id, or a number from 1')
    task = parser.add_argument_group('of a task')
    task.add_argument(
        '--arm', '--robot', choices=('wx250s', 'fer', 'fr3'), default='wx250s', help='[wx250s]'
    )
    task.add_argument('--seed', type=int, default=0, help='of the scene [0]')
    task.add_argument('--axes', nargs='+', default=(), metavar='AXIS',
                      help='domain axes to switch on, such as textures [none]')  # fmt: skip
    task.add_argument('--cameras', nargs='+', default=(), metavar='NAME', help='[all]')
    task.add_argument('--noise', type=float, default=0.0, help='of the expert, 0 to 1 [0]')
    task.add_argument('--mistake', metavar='NAME', help='a designed mistake to be made')
    task.add_argument('--image-size', type=int, metavar='PX', help='[128 for .png, else 256]')
    task.add_argument('--moments', type=int, default=8, help='of a film strip [8]')
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf view`."""
    from vvf_sim.registry import TASKS

    path = Path(args.what)
    if args.what in TASKS and not path.exists():
        return _run_task(args)
    if not path.exists() and path.name == args.what:
        raise UserError(
            f'{args.what} is neither a bag nor a simulated task: use {", ".join(TASKS)}.'
        )
    return _run_bag(args, path)


def _run_bag(args: argparse.Namespace, path: Path) -> int:
    from vvf.viz.rerun_view import show, write_recording

    bag, siblings = _chosen(path, args.episode)
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


def _chosen(path: Path, episode: str | None) -> tuple[Path, list[Path]]:
    """The bag that is meant, and those that relabelling made of it."""
    from vvf.bags.reader import open_bag
    from vvf.viz.episodes import find_episodes

    pairs = find_episodes(path)
    names = []
    for bag, _ in pairs:
        with open_bag(bag) as reader:
            names.append(reader.episode_id)
    if episode is None and len(pairs) == 1:
        return pairs[0]
    if episode in names:
        return pairs[names.index(episode)]
    if episode and episode.isdecimal() and 1 <= int(episode) <= len(pairs):
        return pairs[int(episode) - 1]
    raise UserError(
        f'{path} holds {len(pairs)} episodes, from {names[0]} to {names[-1]}: choose one with '
        f'--episode ID or a number from 1 to {len(pairs)}'
    )


def _run_task(args: argparse.Namespace) -> int:
    from vvf.viz import task_view

    if args.save is not None and args.save.suffix not in _TASK_SUFFIXES:
        raise UserError(f'--save {args.save}: of a task, the name has to end in .mp4 or .png')
    if args.seed < 0 or args.moments < 2 or args.episode:
        raise UserError('--seed must not be negative, --moments at least 2; --episode is for bags.')
    scene = _scene(args)
    if args.save is None:
        played = task_view.show_window(scene)
    elif args.save.suffix == '.png':
        played = task_view.write_strip(args.save, scene, args.moments)
    else:
        played = task_view.write_film(args.save, scene)
    print(f'{scene.title}: {played.instruction}: {task_view.outcome(played)}')
    events = [
        {'name': event.name, 'kind': kind, 'of': event.kind, 'time_s': event.time}
        for event, kind in zip(played.events, played.event_kinds, strict=True)
    ]
    write_json(
        args.json,
        {
            'success': played.success,
            'steps': played.steps,
            'success_step': played.success_step,
            'failure_kind': played.failure_kind,
            'events': events,
        },
    )
    return 0


def _scene(args: argparse.Namespace) -> Scene:
    from vvf.viz.task_view import Scene
    from vvf_sim.experts.config import ExpertConfig
    from vvf_sim.registry import task_entry

    entry = task_entry(args.what)
    if args.mistake and args.mistake not in entry.mistakes:
        raise UserError(f'mistake {args.mistake!r} is unknown: use {", ".join(entry.mistakes)}.')
    strip = args.save is not None and args.save.suffix == '.png'
    config = entry.make_config(
        arm=args.arm,
        axes=tuple(args.axes),
        cameras=tuple(args.cameras),
        image_size=args.image_size or (128 if strip else 256),
    )
    expert = ExpertConfig.from_noise(args.noise)
    if args.mistake:
        expert = expert.with_mistake(args.mistake)
    return Scene(entry.name, args.seed, config, expert)
