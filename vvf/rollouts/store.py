# SPDX-License-Identifier: Apache-2.0
"""Rollouts that are kept as they are done, so that what was stopped can go on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vvf.errors import UserError
from vvf.rollouts.job import Rollout, RolloutJob
from vvf.rollouts.run import roll_out
from vvf.whole_file import write_whole

_SETTINGS = 'settings.json'


class RolloutStore:
    """Finished episodes, one line of JSON each, in a file for each series of them.

    Args:
        folder: where they are kept; None: nowhere.
        settings: what all of the folder's episodes have in common.

    Raises:
        UserError: the folder holds episodes of other settings, or cannot hold any.
    """

    def __init__(self, folder: Path | None, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._settings = json.loads(json.dumps(settings))
        if folder is None:
            return
        path, mine = folder / _SETTINGS, self._settings
        try:
            folder.mkdir(parents=True, exist_ok=True)
            theirs = dict(json.loads(path.read_text('utf-8'))) if path.exists() else mine
        except OSError as error:
            raise UserError(
                f'{folder} cannot hold episodes ({error.strerror}): choose another folder.'
            ) from error
        except (ValueError, TypeError) as error:
            raise UserError(
                f'{path} is damaged, and does not say which settings the episodes beside it are '
                'of: choose another folder.'
            ) from error
        if theirs != mine:
            other = ', '.join(k for k in {**mine, **theirs} if mine.get(k) != theirs.get(k))
            raise UserError(
                f'{folder} holds episodes of other settings ({other}): choose another folder.'
            )

    def done(self, series: str) -> dict[int, Rollout]:
        """Finished episodes of a series, by seed."""
        if self._folder is None or not self._path(series).exists():
            return {}
        # Bytes, a line each: what a disk has spoilt in one says nothing of the others.
        rollouts = (from_line(line) for line in self._path(series).read_bytes().splitlines())
        return {rollout.seed: rollout for rollout in rollouts if rollout is not None}

    def run(
        self, series: str, jobs: Sequence[RolloutJob], workers: int, engine: str = 'local'
    ) -> Iterator[Rollout]:
        """Results of a series in whatever order; those that are kept come first.

        Args:
            series: its name, which becomes a file's; differing settings need differing names.
            jobs: with a seed each.
            workers: how many run at once.
            engine: as of `vvf.pool.run_jobs`.
        """
        from vvf.pool import run_jobs

        done = self.done(series)
        todo = [job for job in jobs if job.seed not in done]
        yield from (done[job.seed] for job in jobs if job.seed in done)
        for rollout in run_jobs(roll_out, todo, workers, engine) if todo else ():
            self._keep(series, rollout)
            yield rollout

    def _keep(self, series: str, rollout: Rollout) -> None:
        if self._folder is not None:
            # With the first episode: a run that was refused binds the folder to nothing.
            if not (path := self._folder / _SETTINGS).exists():
                write_whole(path, json.dumps(self._settings, indent=2) + '\n')
            with self._path(series).open('a', encoding='utf-8') as stream:
                # A line that was cut off must not spoil the next one.
                stream.write(('' if _ends_well(stream.name) else '\n') + to_line(rollout) + '\n')

    def _path(self, series: str) -> Path:
        assert self._folder is not None
        return self._folder / f'{series}.jsonl'


def to_line(rollout: Rollout) -> str:
    """A rollout as a line of JSON; what is not finite becomes null."""
    values = asdict(rollout)
    values['path'] = None if rollout.path is None else str(rollout.path)
    if not math.isfinite(rollout.disturbed_at):
        values['disturbed_at'] = None
    values['progress'] = [round(p, 4) for p in rollout.progress]
    return json.dumps(values)


def from_line(line: str | bytes) -> Rollout | None:
    """The rollout of a line; None for one that was cut off when its writer was killed."""
    try:
        values = json.loads(line)
        for name in ('milestones', 'errors', 'falls', 'progress'):
            values[name] = tuple(values[name])
        if values['disturbed_at'] is None:
            values['disturbed_at'] = math.nan
        values['path'] = values['path'] and Path(values['path'])
        return Rollout(**values)
    except (ValueError, TypeError, KeyError):
        return None


def _ends_well(path: str) -> bool:
    with Path(path).open('rb') as stream:
        if not stream.seek(0, 2):
            return True
        stream.seek(-1, 2)
        return stream.read(1) == b'\n'
