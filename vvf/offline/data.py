# SPDX-License-Identifier: Apache-2.0
"""Clips and episodes of an experiment: whether they are there, and made as the plan says."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vvf.errors import UserError
from vvf.offline.plan import Step

_FAILED = 'failed'  # folder, within that of a step, for episodes that are no demonstrations


def is_there(step: Step) -> bool:
    """Whether all episodes or clips of a step are there.

    Raises:
        UserError: those that are there were made otherwise, or are too many: all are learned from.
    """
    check_made_alike(step)
    there, wanted = len(list(step.out.glob(_pattern(step)))), _wanted(step)
    if there > wanted:
        raise UserError(
            f'{step.out} holds {there} episodes or clips, {wanted} are wanted: choose another '
            '--data, or a size that wants as many.'
        )
    return _missing(step) == 0


def check_made_alike(step: Step) -> None:
    """Refuse data that were made with other settings than the step's.

    Raises:
        UserError: their folder says so, or does not say what they were made with.
    """
    if not any(step.out.glob(_pattern(step))):
        return
    file = step.out / f'{step.argv[0]}.{"yaml" if step.argv[0] == "clips" else "json"}'
    try:
        made = dict(yaml.safe_load(file.read_text('utf-8')))  # JSON is YAML, too
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f'{step.out} holds data, but no {file.name} that says what they were made with: '
            'choose another --data.'
        ) from error
    wanted = _settings(step)
    made = {**made, **made.pop('config', {})}
    differing = [name for name, value in wanted.items() if made.get(name) != value]
    if differing:
        name = differing[0]
        raise UserError(
            f'{step.out} was made with other data settings ({name}: {made.get(name)}, wanted '
            f'{wanted[name]}): choose another --data, or remove that folder.'
        )


def make(step: Step, run: Callable[[tuple[str, ...]], None]) -> None:
    """Make a step's data; where only successes are wanted, go on with the next seeds.

    Episodes that failed are kept in a folder `failed` of the step's, where no training finds them.

    Args:
        step: of data.
        run: runs a command of vvf.
    """
    run(step.argv)
    if not step.successes_only:
        return
    first = int(_word_after(step.argv, '--seed'))
    failed = step.out / _FAILED
    while True:
        for file in sorted(step.out.glob('*.npz')):
            if not _succeeded(file):
                failed.mkdir(exist_ok=True)
                file.replace(failed / file.name)
        missing = _missing(step)
        if not missing:
            return
        tried = {int(file.stem.split('_')[1]) for file in step.out.rglob('*.npz')}
        start = next(seed for seed in range(first, first + len(tried) + 1) if seed not in tried)
        argv = _with(step.argv, '--seed', str(start))
        run(_with(argv, '--episodes', str(missing)))


def _missing(step: Step) -> int:
    files = list(step.out.glob(_pattern(step)))
    if step.successes_only:
        files = [file for file in files if _succeeded(file)]
    return max(0, _wanted(step) - len(files))


def _wanted(step: Step) -> int:
    return int(_word_after(step.argv, '--episodes'))


def _pattern(step: Step) -> str:
    return '*.mp4' if step.argv[0] == 'clips' else '*.npz'


def _succeeded(file: Path) -> bool:
    with np.load(file, allow_pickle=False) as archive:
        return bool(archive['success'])


def _settings(step: Step) -> dict[str, Any]:
    """What the command would note in its folder, as far as the plan sets it."""
    parser = argparse.ArgumentParser(prog='vvf')
    importlib.import_module(f'vvf.cli.{step.argv[0]}').add_parser(parser.add_subparsers())
    args = parser.parse_args(step.argv)
    if step.argv[0] == 'clips':
        return {'image_size': args.image_size}
    from vvf.cli.scene import scene_of
    from vvf.task import load_task
    from vvf.worlds import world_config

    task = load_task(args.task)
    assert task.sim is not None
    config = asdict(world_config(task.sim, **scene_of(args, task, 'train')))
    config.pop('renderer')
    given = {name: getattr(args, name) for name in ('expert', 'noise', 'mistake', 'interventions')}
    entries = {**given, **config}
    return json.loads(json.dumps(entries))  # type: ignore[no-any-return]  # tuples as lists


def _word_after(argv: tuple[str, ...], option: str) -> str:
    return argv[argv.index(option) + 1]


def _with(argv: tuple[str, ...], option: str, word: str) -> tuple[str, ...]:
    place = argv.index(option) + 1
    return (*argv[:place], word, *argv[place + 1 :])
