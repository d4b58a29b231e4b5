# SPDX-License-Identifier: Apache-2.0
"""Scores recorded episodes with a value model and writes sibling bags and one Parquet table.

It works in two passes. The first decodes each episode in a thread while the model scores the frames
decoded before, and keeps the scores in ``OUT/.scores``. The second, which needs all scores for the
threshold of the improvement indicator, writes per episode a bag with every original message plus
the values, and the table ``OUT/values.parquet``. Both passes skip what an earlier run completed.
The originals are opened for reading only.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vvf.bags.frames import FrameSource, batches, in_background
from vvf.bags.reader import is_bag, open_bag
from vvf.bags.scores import EpisodeScores, thresholds, write_table
from vvf.bags.sibling import RelabelOptions, write_sibling
from vvf.errors import UserError
from vvf.task import TaskSpec

TABLE = 'values.parquet'


class ValueModel(Protocol):
    """What is needed of ``vvf_models.runtime``: see there for shapes and units."""

    name: str
    cameras: tuple[str, ...]
    image_size: int
    state_dim: int
    gamma: float
    step_cost: float
    failure_value: float | None

    def encode(
        self, images: Mapping[str, npt.NDArray[np.uint8]], state: npt.NDArray[np.float32] | None
    ) -> Any:
        """Return the latents of a batch."""

    def set_instruction(self, instruction: str) -> None:
        """Say what the robot was asked to do."""

    def value(self, latents: Any, goal: Any = None) -> Any:
        """Return value, progress and uncertainty of a batch."""


@dataclass
class RelabelSummary:
    """What was done; ``numbers`` are the keys of ``--json``."""

    episodes: int = 0
    skipped: int = 0
    frames_read: int = 0
    frames_scored: int = 0
    frames_scored_now: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    seconds_lost: float = 0.0
    seconds: dict[str, float] = field(
        default_factory=lambda: {'score': 0.0, 'model': 0.0, 'write': 0.0}
    )
    losses: list[str] = field(default_factory=list)

    def numbers(self) -> dict[str, Any]:
        """Return the summary under stable keys; frames_per_s is that of scoring."""
        spent = self.seconds['score']
        return {
            'episodes': self.episodes,
            'episodes_skipped': self.skipped,
            'frames_read': self.frames_read,
            'frames_scored': self.frames_scored,
            'frames_lost': self.lost.total(),
            'frames_lost_by_reason': dict(self.lost),
            'frames_per_s': round(self.frames_scored_now / spent, 2) if spent else 0.0,
            'seconds_lost': round(self.seconds_lost, 3),
            'seconds': {k: round(v, 3) for k, v in self.seconds.items()},
        }


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Return the bags among the paths, and those one level below each folder that is not a bag.

    Raises:
        UserError: Nothing there, no bag in a folder, or two bags of one name.
    """
    found: list[Path] = []
    for path in paths:
        inside = []
        if path.is_dir() and not is_bag(path):
            inside = sorted(p for p in path.iterdir() if p.name[0] != '.' and is_bag(p))
        found += inside or [path]
    by_name: dict[str, Path] = {}
    for path in found:
        other = by_name.setdefault(_name(path), path)
        if other.resolve() != path.resolve():
            raise UserError(
                f'{other} and {path} have the same name: relabel them into different folders'
            )
    return list(by_name.values())


def relabel(
    bags: Sequence[Path],
    model: ValueModel,
    options: RelabelOptions,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> RelabelSummary:
    """Relabel bags.

    Args:
        bags: The episodes, of pairwise different names; see :func:`find_bags`.
        model: The value model.
        options: Where to and how.
        progress: Called with a stage and how much of it is done: ('score', frames, frames or 0 if
            not known) or ('write', episodes, episodes).

    Raises:
        UserError: A bag is not a bag or does not fit the task or the model, or the output folder is
            one of the bags or inside one.
    """
    _check_out(bags, options.out)
    plan, total = [], 0
    for path in bags:
        with open_bag(path) as reader:
            task = options.task or reader.task
            if task is None:
                raise UserError(f'{path} holds no task file: name the task with --task')
            source = _source(reader, task, model)
            total += reader.recorded.get(source.reference_topic, 0)
        plan.append((path, task))
    summary = RelabelSummary(episodes=len(plan))
    episodes: list[EpisodeScores] = []
    for path, task in plan:
        report = functools.partial(_report, progress, summary.frames_scored, total)
        scores, fresh = _score(path, task, model, options, summary, report)
        episodes.append(scores)
        summary.skipped += not fresh
        summary.frames_read += scores.frames_read
        summary.frames_scored += len(scores.stamps_ns)
        summary.lost.update(scores.lost)
        summary.seconds_lost += scores.seconds_lost
        if scores.loss:
            summary.losses.append(f'{path}: {scores.loss}')
        progress('score', summary.frames_scored, total)
    if not summary.frames_read:
        raise UserError(f'no frame could be read from {bags[0]}: there is nothing to relabel')
    started = time.perf_counter()
    limits = thresholds(episodes, model.gamma, options.n_steps, options.positive_ratio)
    for index, (scores, path) in enumerate(zip(episodes, bags, strict=True)):
        write_sibling(path, scores, model.gamma, limits[scores.task], options)
        progress('write', index + 1, len(episodes))
    write_table(
        options.out / TABLE, episodes, limits,
        tag=options.tag, gamma=model.gamma, n_steps=options.n_steps,
    )  # fmt: skip
    summary.seconds['write'] += time.perf_counter() - started
    return summary


def _report(progress: Any, before: int, total: int, done: int) -> None:
    progress('score', before + done, total)


def _score(
    path: Path,
    task: TaskSpec,
    model: ValueModel,
    options: RelabelOptions,
    summary: RelabelSummary,
    progress: Callable[[int], None],
) -> tuple[EpisodeScores, bool]:
    """Score one episode, or take the scores of an earlier run; say whether they are fresh."""
    kept = options.out / '.scores' / f'{_name(path)}.npz'
    fingerprint = _fingerprint(path, task, options)
    known = EpisodeScores.load(kept, fingerprint)
    if known is not None:
        return known, False
    started = time.perf_counter()
    columns: dict[str, list[Any]] = {
        k: [] for k in ('stamps_ns', 'recorded_ns', 'state', 'intervention')
    }
    parts: dict[str, list[Any]] = {k: [] for k in ('value', 'progress', 'uncertainty')}
    with open_bag(path) as reader:
        source = _source(reader, task, model)
        model.set_instruction(reader.custom_data.get('instruction') or task.instruction)
        for batch in in_background(batches(source, options.batch)):
            ready = time.perf_counter()
            images = {c: np.stack([f.images[c] for f in batch]) for c in model.cameras}
            states = [f.state for f in batch if f.state is not None]
            state = np.stack(states) if states else None
            scored = model.value(model.encode(images, state))
            for name, part in parts.items():
                part.append(np.asarray(getattr(scored, name), np.float64))
            summary.seconds['model'] += time.perf_counter() - ready
            columns['stamps_ns'] += [f.stamp_ns for f in batch]
            columns['recorded_ns'] += [f.recorded_ns for f in batch]
            columns['intervention'] += [f.intervention for f in batch]
            columns['state'] += [f.state if f.state is not None else () for f in batch]
            progress(len(columns['stamps_ns']))
        count = len(columns['stamps_ns'])
        scores = EpisodeScores(
            name=_name(path), fingerprint=fingerprint, task=task.name, source=str(path),
            episode_id=reader.episode_id,
            outcome=reader.custom_data.get('outcome', 'unlabelled'),
            rate_hz=task.rate_hz, step_cost=model.step_cost, failure_value=model.failure_value,
            live_values=source.live_values, frames_read=source.frames_read,
            lost=dict(source.lost), seconds_lost=reader.loss.seconds,
            loss=str(reader.loss) if reader.loss else '',
            stamps_ns=np.array(columns['stamps_ns'], np.int64),
            recorded_ns=np.array(columns['recorded_ns'], np.int64),
            state=np.array(columns['state'], np.float32).reshape(count, -1),
            intervention=np.array(columns['intervention'], bool),
            **{k: np.concatenate(v) if v else np.zeros(0) for k, v in parts.items()},
        )  # fmt: skip
    scores.save(kept)
    summary.frames_scored_now += count
    summary.seconds['score'] += time.perf_counter() - started
    return scores, True


def _source(reader: Any, task: TaskSpec, model: ValueModel) -> FrameSource:
    cameras = task.match_cameras(model.cameras, task.models.value_cameras)
    if model.state_dim and model.state_dim != task.state_dim:
        raise UserError(
            f'{model.name} wants a state of {model.state_dim} numbers, but task {task.name} '
            f'has {task.state_dim}: choose a checkpoint trained for this task'
        )
    return FrameSource(reader, task, cameras, model.image_size, state=model.state_dim > 0)


def _name(path: Path) -> str:
    name = path.resolve().name
    return name if path.is_dir() else name.split('.')[0]


def _fingerprint(path: Path, task: TaskSpec, options: RelabelOptions) -> str:
    """Tell apart bags, task files and checkpoints; by size and time, as bags can be large."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    facts = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    text = repr((facts, task.to_yaml(), options.fingerprint))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_out(bags: Sequence[Path], out: Path) -> None:
    where = out.resolve()
    if where.exists() and not where.is_dir():
        raise UserError(f'{out} is a file: give a folder for --out')
    for bag in bags:
        source = bag.resolve()
        same_folder = (where / _name(bag)).resolve() == source
        if where == source or source in where.parents or same_folder:
            raise UserError(
                f'--out {out} would write into the original {bag}: choose another folder'
            )
    out.mkdir(parents=True, exist_ok=True)


__all__ = ['TABLE', 'RelabelOptions', 'RelabelSummary', 'find_bags', 'relabel']
