# SPDX-License-Identifier: Apache-2.0
"""Models and goals: each batch is encoded once by each model, and measured against every goal."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vvf.bags.frames import in_background
from vvf.errors import UserError
from vvf.images import ImageError, decode
from vvf.relabelling.options import GoalSpec, ModelSpec, RelabelOptions
from vvf.relabelling.plan import Item, Needs, View, needs_of
from vvf.relabelling.reading import Batch, Closing, Failure, Opening, read_items
from vvf.relabelling.scores import Column, ColumnAbout, EpisodeScores, joined

if TYPE_CHECKING:
    from vvf_models.runtime import ValueRuntime

#: For int8: frames of each camera, by model; see `vvf_models.runtime.load_value`.
Calibration = Sequence[Mapping[str, npt.NDArray[np.uint8]]]

_AHEAD = 4  # batches that may wait for the models
_SUFFIXES = ('.jpg', '.jpeg', '.png')
_STATE = 'state.json'


@dataclass(frozen=True)
class Setup:
    """All that a process needs in order to score; it can be sent to another one."""

    models: tuple[ModelSpec, ...]
    goals: tuple[GoalSpec, ...]
    options: RelabelOptions
    calibration: Calibration | None = None


@dataclass
class Scored:
    """One episode's scores, and the seconds each stage took."""

    item: Item
    scores: EpisodeScores
    seconds: dict[str, float]


class Judge:
    """One loaded model and its goals.

    Args:
        model: Which one.
        goals: What to measure against.
        options: Engine and threads.
        calibration: See `Calibration`; this model's.

    Raises:
        UserError: The model cannot be loaded, or a goal does not fit it.
    """

    def __init__(
        self,
        model: ModelSpec,
        goals: Sequence[GoalSpec],
        options: RelabelOptions,
        calibration: Mapping[str, npt.NDArray[np.uint8]] | None = None,
    ) -> None:
        # Imported here, since torch takes a second that `vvf relabel --help` need not wait for.
        from vvf_models.runtime import load_value

        self.needs = needs_of(model)
        self.tag = model.name
        device = options.engine_device
        # Eager torch's threads wait for each other, which takes ten times as long where cores are
        # busy; and what 'auto' is, is known when it is loaded.
        threads = options.threads or (1 if device in ('auto', 'torch') else _share(options))
        load = functools.partial(load_value, model.checkpoint)
        self.runtime: ValueRuntime = load(threads, device, calibration)
        if not options.threads and device == 'auto' and self.runtime.engine == 'openvino':
            self.runtime = load(_share(options), device)
        self._goals = goals
        self._images = [self._encoded(goal) for goal in goals]

    def columns(self, instruction: str) -> list[tuple[ColumnAbout, Any]]:
        """What each goal means for an episode with this instruction, and its column.

        Raises:
            UserError: There is no goal for it.
        """
        return [
            self._column(goal, images, instruction)
            for goal, images in zip(self._goals, self._images, strict=True)
        ]

    def _column(self, goal: GoalSpec, images: Any, instruction: str) -> tuple[ColumnAbout, Any]:
        model = self.runtime
        model.set_instruction(goal.instruction or instruction)
        against = model.goal if images is None else images
        if model.takes_goal and images is None and model.goal.latents is None:
            raise UserError(f'{self.tag} holds no goals: give an image of one with --goal')
        about = ColumnAbout(
            tag='_'.join(part for part in (self.tag, goal.name) if part),
            gamma=float(model.gamma),
            step_cost=float(model.step_cost),
            failure_value=model.failure_value,
            own=goal.own,
        )
        return about, against

    def _encoded(self, goal: GoalSpec) -> Any:
        model = self.runtime
        if goal.image is None:
            known = model.stored_goals
            names = known.instructions if known is not None else ()
            if goal.instruction and model.takes_goal and goal.instruction not in names:
                told = f'its goals are of: {"; ".join(sorted(set(names)))}' if names else 'of none'
                raise UserError(
                    f'{self.tag} holds no goal of the instruction "{goal.instruction}", {told}'
                )
            if goal.instruction and not (model.takes_goal or model.reads_text):
                raise UserError(
                    f'{self.tag} reads no instructions: leave --instruction out, or choose a model '
                    'that does'
                )
            return None
        if not model.takes_goal:
            raise UserError(
                f'{self.tag} is of kind "{model.kind}" and takes no image of a goal: leave --goal '
                'out for it'
            )
        images, state = read_goal(goal.image, self.needs)
        return model.encode(images, state)


def _share(options: RelabelOptions) -> int:
    """A worker's share of the cores."""
    return max(1, len(os.sched_getaffinity(0)) // options.workers)


def read_goal(
    path: Path, needs: Needs
) -> tuple[dict[str, npt.NDArray[np.uint8]], npt.NDArray[np.float32] | None]:
    """One goal observation: (1, H, W, 3) for each camera, and (1, D), None without a state.

    Args:
        path: See `GoalSpec`.
        needs: The model's.

    Raises:
        UserError: There is no image for a camera, it cannot be read, or the state is wrong.
    """
    files = {}
    for camera in needs.cameras:
        if path.is_dir():
            found = [path / f'{camera}{ending}' for ending in _SUFFIXES]
            files[camera] = next((file for file in found if file.is_file()), found[0])
        elif len(needs.cameras) == 1:
            files[camera] = path
        else:
            raise UserError(
                f'{needs.name} looks through {len(needs.cameras)} cameras: give --goal a folder '
                f'with {" and ".join(f"{c}.jpg" for c in needs.cameras)} instead of {path}'
            )
    images = {}
    for camera, file in files.items():
        try:
            images[camera] = decode(file.read_bytes())[None]
        except OSError as error:
            raise UserError(f'{file}, the goal for {needs.name}: {error.strerror}') from error
        except ImageError as error:
            raise UserError(f'{file} is no goal: {error}') from error
    if not needs.state_dim:
        return images, None
    place = path / _STATE if path.is_dir() else path.with_name(_STATE)
    try:
        state = np.asarray(json.loads(place.read_text('utf-8')), np.float32)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f'{needs.name} is of proprioception too: its goal needs a list of {needs.state_dim} '
            f'numbers in {place}'
        ) from error
    if state.shape != (needs.state_dim,) or not np.isfinite(state).all():
        raise UserError(f'{place} must hold a list of {needs.state_dim} numbers for {needs.name}')
    return images, state[None]


class Judges:
    """All models of a run, loaded."""

    def __init__(self, setup: Setup) -> None:
        self._options = setup.options
        calibration = setup.calibration or [None] * len(setup.models)  # type: ignore[list-item]
        self.judges = [
            Judge(model, setup.goals, setup.options, frames)
            for model, frames in zip(setup.models, calibration, strict=True)
        ]

    def score(
        self, items: Sequence[Item], on_frames: Callable[[int], None] = lambda count: None
    ) -> Iterator[Scored | Failure]:
        """Score episodes, each while the next batches, of whatever episode, are decoded.

        Args:
            items: The episodes.
            on_frames: Told of every batch how many frames it had.
        """
        needs = [judge.needs for judge in self.judges]
        parts = in_background(read_items(items, needs, self._options), _AHEAD)
        with closing(parts):
            yield from self._scored(parts, on_frames)

    def _scored(self, parts: Iterator[Any], on_frames: Any) -> Iterator[Scored | Failure]:
        episode: _Episode | None = None
        waited = time.perf_counter()
        for item, part in parts:
            spent = time.perf_counter() - waited
            if isinstance(part, Opening):
                try:
                    episode = _Episode(item, part, self.judges)
                except UserError as error:
                    episode = None
                    yield Failure(item, str(error))
            elif isinstance(part, Failure):
                episode = None
                yield part
            elif episode is not None and isinstance(part, Batch):
                episode.seconds['wait'] += spent
                episode.add(part)
                on_frames(len(part.stamps_ns))
            elif episode is not None and isinstance(part, Closing):
                yield episode.close(part)
            waited = time.perf_counter()


class _Episode:
    """Collects the scores of one episode."""

    def __init__(self, item: Item, opening: Opening, judges: Sequence[Judge]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._item = item
        self._models: list[tuple[Judge, dict[str, View], list[tuple[ColumnAbout, Any]]]] = [
            (judge, views, judge.columns(opening.instruction))
            for judge, views in zip(judges, opening.views, strict=True)
        ]
        self._batches: list[Batch] = []
        self._values: list[list[Any]] = [[] for _, _, columns in self._models for _ in columns]

    def add(self, batch: Batch) -> None:
        """Score a batch."""
        values = iter(self._values)
        for judge, views, columns in self._models:
            began = time.perf_counter()
            images = {camera: batch.images[view] for camera, view in views.items()}
            latents = judge.runtime.encode(images, batch.state if judge.needs.state_dim else None)
            encoded = time.perf_counter()
            for _, goal in columns:
                next(values).append(judge.runtime.value(latents, goal))
            self.seconds['encode'] += encoded - began
            self.seconds['value'] += time.perf_counter() - encoded
        batch.images.clear()  # what is kept of an episode is small
        self._batches.append(batch)

    def close(self, closing: Closing) -> Scored:
        """The scores of all batches."""
        self.seconds['decode'] += closing.seconds
        abouts = [about for _, _, columns in self._models for about, _ in columns]
        columns = [
            Column(
                about,
                *(
                    joined([getattr(v, name) for v in values], np.float64)
                    for name in ('value', 'progress', 'uncertainty')
                ),
            )
            for about, values in zip(abouts, self._values, strict=True)
        ]
        states = [batch.state for batch in self._batches if batch.state is not None]
        scores = EpisodeScores(
            closing.about,
            joined([batch.stamps_ns for batch in self._batches], np.int64),
            joined([batch.recorded_ns for batch in self._batches], np.int64),
            joined(states, np.float32, (len(columns[0].value), 0)),
            closing.intervention,
            columns,
        )
        return Scored(self._item, scores, self.seconds)


def checkpoint_digest(folder: Path) -> str:
    """Tells a checkpoint's weights, configuration and goals from others."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in ('.safetensors', '.yaml')):
        with file.open('rb') as stream:
            digest.update(hashlib.file_digest(stream, 'sha256').digest())
    return digest.hexdigest()[:16]


def goal_digest(goal: GoalSpec) -> str:
    """Tells a goal from others."""
    digest = hashlib.sha256(goal.instruction.encode())
    if goal.image is not None:
        files = [goal.image] if goal.image.is_file() else sorted(goal.image.glob('*'))
        for file in files:
            if file.is_file():
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
