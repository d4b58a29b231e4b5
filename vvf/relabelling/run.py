# SPDX-License-Identifier: Apache-2.0
"""Scores recorded episodes with value models and writes the labels.

It works in two passes. The first scores: episodes are decoded ahead of the models, and the scores
of each are kept in ``OUT/.scores``. The second, which needs all scores for the thresholds of the
improvement indicator, writes per bag a sibling with every original message plus the values, and the
tables. Both passes skip what an earlier run completed. The originals are opened for reading only.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vvf.errors import UserError
from vvf.relabelling.calibrating import calibration_frames
from vvf.relabelling.engines import score_all
from vvf.relabelling.folder import RunFolder
from vvf.relabelling.judging import Setup
from vvf.relabelling.options import OWN, GoalSpec, ModelSpec, RelabelOptions
from vvf.relabelling.plan import Item, needs_of, plan
from vvf.relabelling.reading import Failure
from vvf.relabelling.scores import EpisodeScores, Limits, limits_of, thresholds
from vvf.relabelling.sibling import write_sibling
from vvf.relabelling.table import LabelTables

#: Called with a stage and how much of it is done: ('score', frames, frames or 0 if not known) or
#: ('write', episodes, episodes).
Progress = Callable[[str, int, int], None]


@dataclass
class RelabelSummary:
    """What was done.

    Attributes:
        episodes: How many have labels now.
        skipped: How many of them were scored before.
        frames_read: Frames of them that could be read.
        frames_scored: Frames of them with scores.
        frames_scored_now: Of which so many were scored by this run.
        lost: Frames without scores, by reason.
        seconds_lost: Length of what could not be read.
        seconds: 'load' (of this process's models), 'score' and 'write' by the clock; 'decode',
            'encode', 'value' and 'wait' (of the models for the decoding) as the sum over all
            threads and processes.
        losses: A sentence for each episode of which something was lost.
        left_out: A sentence for each that could not be used at all.
    """

    episodes: int = 0
    skipped: int = 0
    frames_read: int = 0
    frames_scored: int = 0
    frames_scored_now: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    seconds_lost: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    losses: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def numbers(self) -> dict[str, Any]:
        """Return the summary under stable keys; frames_per_s is that of scoring."""
        spent = self.seconds['score']
        stages = ('load', 'decode', 'encode', 'value', 'wait', 'score', 'write')
        return {
            'episodes': self.episodes,
            'episodes_skipped': self.skipped,
            'frames_read': self.frames_read,
            'frames_scored': self.frames_scored,
            'frames_lost': self.lost.total(),
            'frames_lost_by_reason': dict(self.lost),
            'frames_per_s': round(self.frames_scored_now / spent, 2) if spent else 0.0,
            'seconds_lost': round(self.seconds_lost, 3),
            'seconds': {stage: round(self.seconds[stage], 3) for stage in stages},
            'left_out': self.left_out,
        }

    def count(self, scores: EpisodeScores, *, before: bool) -> None:
        """Count an episode; `before`: an earlier run scored it."""
        about = scores.about
        self.episodes += 1
        self.skipped += before
        self.frames_read += about.frames_read
        self.frames_scored += len(scores)
        self.frames_scored_now += 0 if before else len(scores)
        self.lost.update(about.lost)
        self.seconds_lost += about.seconds_lost
        if about.loss:
            self.losses.append(f'{about.source}: {about.loss}')


def relabel(
    paths: Sequence[Path],
    models: Sequence[ModelSpec],
    options: RelabelOptions,
    goals: Sequence[GoalSpec] = (OWN,),
    progress: Progress = lambda stage, done, total: None,
) -> RelabelSummary:
    """Relabel episodes.

    Args:
        paths: Bags, folders of bags, and whatever else `vvf.data.open_data` knows.
        models: At least one; the first one's values go to the usual topic of a bag.
        options: Where to and how.
        goals: What to measure against, by every model.
        progress: Told how far it is.

    Raises:
        UserError: Data are none or damaged or do not fit a model, a goal does not fit it, or the
            output folder is an original or holds other labels.
    """
    names = [model.name for model in models]
    if len(set(names)) < len(names) or not all(names):
        raise UserError(f'the models are called {", ".join(names)}: give each a --tag of its own')
    needs = [needs_of(model) for model in models]
    summary = RelabelSummary()
    items = plan(paths, needs, options, summary.left_out)
    setup = Setup(tuple(models), tuple(goals), options)
    folder = RunFolder(options.out, setup, items)
    todo = _known(items, folder, summary)
    if todo:
        if options.engine_device == 'openvino-int8':
            frames = folder.load_calibration()
            if frames is None:
                frames = calibration_frames(items, needs, options)
                folder.save_calibration(frames)
            setup = Setup(setup.models, setup.goals, options, frames)
        _score(todo, setup, folder, summary, progress)
    if not summary.frames_read:
        reason = f': {summary.left_out[0]}' if summary.left_out else ''
        raise UserError(f'no frame could be read from {paths[0]}{reason}')
    began = time.perf_counter()
    folder.claim()
    _write(items, folder, options, progress)
    summary.seconds['write'] += time.perf_counter() - began
    return summary


def _known(items: Sequence[Item], folder: RunFolder, summary: RelabelSummary) -> list[Item]:
    """Count what an earlier run scored, and return the rest."""
    todo = []
    for item in items:
        scores = folder.load(item)
        if scores is None:
            todo.append(item)
        else:
            summary.count(scores, before=True)
    return todo


def _score(
    todo: Sequence[Item],
    setup: Setup,
    folder: RunFolder,
    summary: RelabelSummary,
    progress: Progress,
) -> None:
    began = time.perf_counter()
    expected = _Expected(todo)
    done = 0

    def on_frames(count: int) -> None:
        nonlocal done
        done += count
        progress('score', done, expected.total(done))

    results = score_all(todo, setup, on_frames)
    summary.seconds['load'] += time.perf_counter() - began
    began = time.perf_counter()
    try:
        for result in results:
            if isinstance(result, Failure):
                if not setup.options.skip_bad:
                    hint = '(--skip-bad leaves such episodes out)'
                    raise UserError(f'{result.reason.rstrip(".")} {hint}')
                summary.left_out.append(result.reason)
                expected.add(0)
                continue
            folder.save(result.item, result.scores)
            summary.count(result.scores, before=False)
            for stage, seconds in result.seconds.items():
                summary.seconds[stage] += seconds
            expected.add(len(result.scores))
    finally:
        summary.seconds['score'] += time.perf_counter() - began


class _Expected:
    """How many frames there will be, by what the bags say or else by the episodes so far."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._count = len(items)
        self._known = sum(item.frames for item in items) if all(i.frames for i in items) else 0
        self._frames: list[int] = []

    def add(self, frames: int) -> None:
        self._frames.append(frames)

    def total(self, done: int) -> int:
        if self._known or not self._frames:
            return self._known
        return max(done, round(sum(self._frames) / len(self._frames) * self._count))


def _write(
    items: Sequence[Item], folder: RunFolder, options: RelabelOptions, progress: Progress
) -> None:
    limits = thresholds(_all_scores(items, folder), options.n_steps, options.positive_ratio)
    workers = min(4, len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(workers, 'vvf-write')
    waiting: deque[Future[None]] = deque()
    done, total = 0, len(items)
    try:
        with LabelTables(options.out, limits, options.n_steps) as tables:
            for item in items:
                scores = folder.load(item)
                if scores is None:
                    continue  # left out
                tables.add(scores)
                if item.kind == 'bags':
                    waiting.append(pool.submit(_write_bag, item, scores, folder, limits, options))
                while len(waiting) > 2 * workers:
                    waiting.popleft().result()
                done += 1
                progress('write', done, total)
        while waiting:
            waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _all_scores(items: Sequence[Item], folder: RunFolder) -> Iterator[EpisodeScores]:
    for item in items:
        scores = folder.load(item)
        if scores is not None:
            yield scores


def _write_bag(
    item: Item, scores: EpisodeScores, folder: RunFolder, limits: Limits, options: RelabelOptions
) -> None:
    write_sibling(
        item.path, scores, folder.fingerprint(item), limits_of(scores, limits), options.n_steps,
        options.out,
    )  # fmt: skip
