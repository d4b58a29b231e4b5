# SPDX-License-Identifier: Apache-2.0
"""Results of experiments as files: what the tables beside the papers are made of.

One JSON file for each run (a method, a condition, a training seed), anywhere below a folder. A file
says all that a number needs to be believed: how many episodes, the command, the machine, the time.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from vvf.errors import UserError
from vvf.whole_file import write_whole

#: The key that tells these files from other JSON, and the version of what they hold.
SCHEMA_KEY = 'vvf_result'
SCHEMA = 1


@dataclass(frozen=True)
class StoredResult:
    """What one training run came to.

    Args:
        experiment: 'vptr', 'recap', 'online_rl', 'value_gate' or 'policy'.
        method: what was tried: 'vptr', 'ptr', 'bc', ...
        condition: under what: 'scenario_1', 'box_assembly iteration 1', ...
        seed: of the training.
        task: name of the task.
        robot: name of the arm; '' where there is none.
        episodes: how many were tried; 0 where success is no matter of episodes.
        successes: how many of them succeeded.
        numbers: further ones by name, each a number or a list (a curve). NaN stands for unknown.
        command: that makes this result again.
        machine: as of `this_machine`.
        seconds: training and evaluation together, of wall clock.

    Raises:
        UserError: the counts or the time cannot be.
    """

    experiment: str
    method: str
    condition: str
    seed: int
    task: str
    robot: str
    episodes: int
    successes: int
    numbers: dict[str, float | list[float]] = field(default_factory=dict)
    command: str = ''
    machine: str = ''
    seconds: float = math.nan

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.episodes:
            raise UserError(f'{self.successes} successes of {self.episodes} episodes cannot be.')
        if self.seconds < 0:
            raise UserError(f'A run cannot have taken {self.seconds} s.')

    def run(self) -> tuple[str | int, ...]:
        """What tells a run from all others."""
        return self.experiment, self.method, self.condition, self.task, self.robot, self.seed


def write_result(path: Path, result: StoredResult) -> None:
    """Write a result, complete or not at all; a file of that name is replaced.

    Whoever only told again what was there does not know how long it took: then the file's `seconds`
    stay, if it is of the same run.

    Args:
        path: of the file; its name ends in `.json`, its folder need not be there yet.
        result: what it says; numbers that are not finite are written as null.

    Raises:
        UserError: the name ends otherwise, so that nobody would find the file again.
    """
    if path.suffix != '.json':
        raise UserError(f'{path}: results are read from files in .json, call it so.')
    if math.isnan(result.seconds):
        result = replace(result, seconds=_seconds_before(path, result))
    content = {SCHEMA_KEY: SCHEMA} | {f.name: getattr(result, f.name) for f in fields(result)}
    content['numbers'] = {name: _storable(value) for name, value in result.numbers.items()}
    content['seconds'] = _storable(result.seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + '\n')


def read_results(folders: Sequence[Path]) -> list[StoredResult]:
    """All results below some folders, in the order of their files; other JSON is passed over.

    Args:
        folders: where to look, or single files.

    Raises:
        UserError: a folder is not there, a file is broken, or two tell of the same run.
    """
    found: dict[tuple[str | int, ...], Path] = {}
    results = []
    for path in _files(folders):
        result = _read(path)
        if result is None:
            continue
        if other := found.get(result.run()):
            raise UserError(f'{other} and {path} are results of the same run: remove one of them.')
        found[result.run()] = path
        results.append(result)
    return results


def this_machine() -> str:
    """What computes here, as '2 cores, no GPU'; never a host's name."""
    import torch

    cores = len(os.sched_getaffinity(0))
    cpu = f'{cores} core{"" if cores == 1 else "s"}'
    if not torch.cuda.is_available():
        return f'{cpu}, no GPU'
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cards = ', '.join(f'{names.count(name)} x {name}' for name in dict.fromkeys(names))
    return f'{cpu}, {cards}'


def _seconds_before(path: Path, result: StoredResult) -> float:
    try:
        before = _read(path)
    except (OSError, UserError):
        return math.nan
    if before is None or before.run() != result.run():
        return math.nan
    same = (before.episodes, before.successes) == (result.episodes, result.successes)
    return before.seconds if same else math.nan


def _files(folders: Sequence[Path]) -> list[Path]:
    files: dict[Path, Path] = {}  # by where they really are: folders may lie in one another
    for folder in folders:
        if not folder.exists():
            raise UserError(f'{folder}: no such file or folder; name one that holds results.')
        for path in sorted(folder.rglob('*.json')) if folder.is_dir() else [folder]:
            files.setdefault(path.resolve(), path)
    return list(files.values())


def _read(path: Path) -> StoredResult | None:
    try:
        content = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise UserError(f'{path} is no JSON ({error}): remove it, or make it again.') from None
    if not isinstance(content, dict) or SCHEMA_KEY not in content:
        return None
    if content.pop(SCHEMA_KEY) != SCHEMA:
        raise UserError(f'{path} is of another version of vvf: make it again with this one.')
    try:
        return _result(content)
    except UserError as error:
        raise UserError(f'{path} is broken ({error}): remove it, or make it again.') from None


def _result(content: Mapping[str, Any]) -> StoredResult:
    names = [f.name for f in fields(StoredResult)]
    if different := sorted(set(names) ^ set(content)):
        state = 'is unknown' if different[0] in content else 'is missing'
        raise UserError(f'"{different[0]}" {state}')
    values = dict(content)
    for name in ('seed', 'episodes', 'successes'):
        if type(values[name]) is not int:
            raise UserError(f'"{name}" is no whole number')
    for name in ('experiment', 'method', 'condition', 'task', 'robot', 'command', 'machine'):
        if not isinstance(values[name], str):
            raise UserError(f'"{name}" is no text')
    if not isinstance(values['numbers'], dict):
        raise UserError('"numbers" is no mapping')
    values['numbers'] = {k: _number(v, k) for k, v in values['numbers'].items()}
    values['seconds'] = _one(values['seconds'], 'seconds')
    return StoredResult(**values)


def _storable(value: Any) -> float | list[float | None] | None:
    """Also of numpy's numbers and arrays."""
    plain = value.tolist() if hasattr(value, 'tolist') else value
    if isinstance(plain, list | tuple):
        return [None if not math.isfinite(item) else float(item) for item in plain]
    return float(plain) if math.isfinite(plain) else None


def _number(value: Any, name: str) -> float | list[float]:
    return [_one(v, name) for v in value] if isinstance(value, list) else _one(value, name)


def _one(value: Any, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f'"{name}" is no number')
    return float(value)
