# SPDX-License-Identifier: Apache-2.0
"""`vvf train lerobot`: a policy of LeRobot's, by its own trainer."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from vvf.cli.output import progress_bar, write_json
from vvf.cli.reading import read_options
from vvf.errors import UserError


def run(args: argparse.Namespace) -> int:
    """Run `vvf train lerobot`."""
    from vvf.lerobot_training import (
        LerobotTraining,
        check_lerobot,
        remember,
        settings_of,
        take_checkpoint,
        train_lerobot,
        write_indicator,
    )
    from vvf_models.policies.lerobot import POLICIES

    if args.policy not in POLICIES:
        raise UserError(f'--policy {args.policy}: choose {", ".join(POLICIES)}.')
    if args.minutes is not None or args.steps is None or args.steps < 1:
        raise UserError('LeRobot counts steps, not minutes: give --steps.')
    how = LerobotTraining(
        policy=args.policy,
        out=args.out,
        python=args.lerobot_python,
        steps=args.steps,
        seed=args.seed,
        settings=settings_of(args.set),
        told=args.value is not None,
    )
    if (how.out / 'config.yaml').exists() or (how.data.exists() and not args.resume):
        raise UserError(
            f'{args.out} holds a checkpoint or an unfinished run: add --resume to go on with an '
            'unfinished one, or choose another folder.'
        )
    check_lerobot(args.lerobot_python)
    remember(how, _asked(args))
    command = shlex.join(['vvf', *sys.argv[1:]])
    if not (how.data / 'meta' / 'ready').exists():
        _export(args, how.data)
        counts: dict[str, int] = {}
        if how.told:
            counts = write_indicator(how.data, _improving(args), args.seed)
        for text, count in counts.items():
            print(f'{count} frames: {text!r}')
        (how.data / 'meta' / 'ready').touch()
    environment = {**os.environ, 'OMP_NUM_THREADS': str(args.threads), 'HF_HUB_OFFLINE': '1'}
    if not train_lerobot(how, environment):
        print(f'stopped; go on with: {command} --resume')
        return 0
    take_checkpoint(how, command, _displacements(args))
    print(f'written to {args.out}')
    write_json(args.json, {'steps': args.steps, 'policy': args.policy})
    return 0


def _sources(args: argparse.Namespace) -> list[Path]:
    return [*args.data, *(args.demonstrations or ())]


def _displacements(args: argparse.Namespace) -> bool | None:
    from vvf.data import open_data

    first = open_data(_sources(args)[0], args.task, read_options(args))[0]
    return None if first is None else first.displacements


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """What the exported data are made of, by option."""
    asked = {name: getattr(args, name) for name in ('task', 'cameras', 'value')}
    if args.value is not None:
        asked |= {name: getattr(args, name) for name in ('positive_ratio', 'n_steps', 'over')}
    for name in ('data', 'demonstrations'):
        asked[name] = [str(path.resolve()) for path in getattr(args, name) or ()]
    return asked


def _export(args: argparse.Namespace, out: Path) -> None:
    """Write the episodes as LeRobot wants them; an export that was stopped goes on."""
    from vvf.export.lerobot import ExportOptions, export_lerobot
    from vvf.export.recordings import open_recordings
    from vvf.task import load_task

    task = load_task(args.task) if args.task else None
    sources = [open_recordings(p, task, cameras=args.cameras or ()) for p in _sources(args)]
    with progress_bar('frames') as bar:
        job = bar.add_task('exporting')
        export_lerobot(
            sources, ExportOptions(out), lambda frames, _: bar.update(job, completed=frames)
        )


def _improving(args: argparse.Namespace) -> Any:
    """(N,) which frames improve by the value model, in the order of the export."""
    from vvf.cli.train import indicator_of
    from vvf.data import open_data
    from vvf_models.data.chain import ChainedEpisodes
    from vvf_models.data.frames import FrameStore

    options = replace(read_options(args), fps=0.0)  # every frame, as exported
    parts = [open_data(path, args.task, options) for path in _sources(args)]
    episodes, rollouts = ChainedEpisodes(parts), sum(len(p) for p in parts[: len(args.data)])
    camera = next(iter(episodes[0].images))
    store = FrameStore.from_episodes(episodes, (camera,), 8)  # whose frames, not what they show
    judge = indicator_of(args, episodes, rollouts, print)
    assert judge is not None
    return judge(store) == 1
