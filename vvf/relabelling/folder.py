# SPDX-License-Identifier: Apache-2.0
"""The folder that a run writes to: what made it, and the scores that it holds already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vvf.errors import UserError
from vvf.relabelling.judging import Calibration, Setup, checkpoint_digest, goal_digest
from vvf.relabelling.plan import Item
from vvf.relabelling.scores import EpisodeScores
from vvf.whole_file import write_whole

_SCORES = '.scores'
_RUN = 'run.json'
_CALIBRATION = 'calibration.npz'

#: What may differ from the run before, and how that is called. The first group changes scores.
_SCORING = {
    'models': 'another checkpoint',
    'goals': 'other goals',
    'engine_device': 'another --engine-device',
    'task': 'another --task',
    'reading': 'another --fps, --crop or --camera',
    'rate_hz': 'another --rate',
}
_LABELLING = {'n_steps': 'other --n-steps', 'positive_ratio': 'another --positive-ratio'}


class RunFolder:
    """`--out`, opened for a run.

    Args:
        out: The folder; made once there is something to put into it.
        setup: What makes the labels.
        items: The episodes.

    Raises:
        UserError: It would write into an original, is a file, or holds labels that something else
            made.
    """

    def __init__(self, out: Path, setup: Setup, items: Sequence[Item]) -> None:
        _check_out(out, items)
        self._scores = out / _SCORES
        self._made_by = _signature(setup)
        self._claimed = self._check_run(out, overwrite=setup.options.overwrite)
        self._mark = _digest({key: self._made_by[key] for key in _SCORING})

    def claim(self) -> None:
        """Say what the labels in it are made by, before the first of them is written."""
        if self._claimed:
            return
        self._scores.mkdir(parents=True, exist_ok=True)
        write_whole(self._scores / _RUN, json.dumps(self._made_by, indent=2) + '\n')
        self._claimed = True

    def fingerprint(self, item: Item) -> str:
        """Changes when the episode does, or what scores it."""
        return f'{item.fingerprint} {self._mark}'

    def load(self, item: Item) -> EpisodeScores | None:
        """The scores of an earlier run; None where there are none that still hold."""
        return EpisodeScores.load(self._file(item), self.fingerprint(item))

    def save(self, item: Item, scores: EpisodeScores) -> None:
        """Keep scores."""
        self.claim()
        scores.save(self._file(item), self.fingerprint(item))

    def load_calibration(self) -> Calibration | None:
        """The frames that int8 was measured on, so that a run goes on as it began."""
        try:
            with np.load(self._scores / _CALIBRATION, allow_pickle=False) as data:
                if str(data['mark']) != self._mark:
                    return None
                names = [name for name in data.files if name != 'mark']
                count = 1 + max(int(name.split(' ', 1)[0]) for name in names)
                frames: list[dict[str, Any]] = [{} for _ in range(count)]
                for name in names:
                    number, camera = name.split(' ', 1)
                    frames[int(number)][camera] = data[name]
                return frames
        except (OSError, KeyError, ValueError):
            return None

    def save_calibration(self, calibration: Calibration) -> None:
        """Keep those frames."""
        arrays: dict[str, Any] = {
            f'{number} {camera}': frames
            for number, some in enumerate(calibration)
            for camera, frames in some.items()
        }
        self._scores.mkdir(parents=True, exist_ok=True)
        draft = self._scores / f'{_CALIBRATION}.partial'
        with draft.open('wb') as file:
            np.savez_compressed(file, mark=np.array(self._mark), **arrays)
        draft.replace(self._scores / _CALIBRATION)

    def _file(self, item: Item) -> Path:
        return self._scores / f'{item.name}.npz'

    def _check_run(self, out: Path, *, overwrite: bool) -> bool:
        """Whether the run before was just like this one."""
        try:
            before = json.loads((self._scores / _RUN).read_text('utf-8'))
        except (OSError, ValueError):
            return False
        if overwrite or not isinstance(before, dict):
            return bool(before == self._made_by)
        for key, what in {**_SCORING, **_LABELLING}.items():
            if before.get(key) != self._made_by[key]:
                was = _said(before.get(key))
                raise UserError(
                    f'{out} holds labels of {what}{was}: choose another folder with --out, or make '
                    'them anew with --overwrite'
                )
        return True


def _signature(setup: Setup) -> dict[str, Any]:
    options = setup.options
    return {
        'models': {model.name: checkpoint_digest(model.checkpoint) for model in setup.models},
        'goals': {goal.name: goal_digest(goal) for goal in setup.goals},
        'engine_device': options.engine_device,
        'task': _digest(options.task.to_yaml()) if options.task else '',
        'reading': repr((options.reading, sorted(options.cameras.items()))),
        'rate_hz': options.rate_hz,
        'n_steps': options.n_steps,
        'positive_ratio': options.positive_ratio,
    }


def _said(before: Any) -> str:
    """What it was, if that can be said in few words."""
    if isinstance(before, Mapping):
        before = ', '.join(name for name in before if name)
    text = '' if before is None else str(before)
    return f' ({text})' if 0 < len(text) < 60 else ''


def _digest(part: object) -> str:
    return hashlib.sha256(repr(part).encode()).hexdigest()[:16]


def _check_out(out: Path, items: Sequence[Item]) -> None:
    where = out.resolve()
    if where.exists() and not where.is_dir():
        raise UserError(f'{out} is a file: give a folder for --out')
    for path, name in {item.path: item.name for item in items}.items():
        source = path.resolve()
        inside = where == source or source in where.parents
        if inside or (where / name).resolve() == source:
            raise UserError(
                f'--out {out} would write into the original {path}: choose another folder'
            )
