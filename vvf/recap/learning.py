# SPDX-License-Identifier: Apache-2.0
"""Runs the stages that compute with torch: training, and saying which frames improve."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from vvf.data import action_entries, open_data
from vvf.errors import UserError
from vvf.paths import config_path
from vvf.recap.diagnostics import Diagnosis, diagnose
from vvf.recap.picture import draw_diagnosis
from vvf.recap.stages import INDICATORS, Indicating, Source, Stage, Training
from vvf.whole_file import write_whole
from vvf_models.checkpoints import CONFIGS, METRICS_FILE
from vvf_models.config import from_mapping
from vvf_models.data.chain import ChainedEpisodes, LazyEpisodes, fingerprint
from vvf_models.data.episode import Episode
from vvf_models.data.frames import FrameStore
from vvf_models.runtime import load_value
from vvf_models.training import train
from vvf_models.training.common import as_store
from vvf_models.training.indicators import (
    REST_OF_EPISODE,
    Indicators,
    indicate,
    store_advantages,
)
from vvf_models.training.loop import is_unfinished
from vvf_models.training.recap import usable_frames
from vvf_models.values.base import ValueConfig

DIAGNOSIS = 'diagnosis'  # .png and .json
_SEEN = 'frames.json'  # what a policy learns from


@dataclass(frozen=True)
class Learning:
    """A stage to run; small enough to send to another process.

    Attributes:
        stage: what.
        progress: whether to show bars, which only one process at a time can.
    """

    stage: Stage
    progress: bool = False


def learn(job: Learning) -> tuple[Stage, list[str]]:
    """Run a stage; what there is to say about it.

    Raises:
        UserError: its data or its configuration are no good.
        KeyboardInterrupt: it was stopped, and can go on.
    """
    stage = job.stage
    if isinstance(stage, Training):
        return stage, _train(stage, progress=job.progress)
    assert isinstance(stage, Indicating)
    return stage, _indicate(stage, progress=job.progress)


def opened(sources: Sequence[Source]) -> ChainedEpisodes:
    """The episodes of some sources, one source after the other."""
    return ChainedEpisodes([_First(open_data(s.path), s.count) for s in sources])


class _First(LazyEpisodes):
    """The first episodes of a collection."""

    def __init__(self, episodes: Sequence[Episode], count: int) -> None:
        self._episodes = episodes
        self._count = min(count, len(episodes)) if count else len(episodes)

    def __len__(self) -> int:
        return self._count

    def read(self, number: int) -> Episode:
        return self._episodes[number]

    def fingerprint(self) -> str:
        return f'{self._count} {fingerprint(self._episodes)}'


def roles(sources: Sequence[Source]) -> list[str]:
    """The role of each episode of some sources."""
    return [source.role for source, count in _counted(sources) for _ in range(count)]


def batches(sources: Sequence[Source]) -> list[str]:
    """Which batch each episode of some sources is of: each source of rollouts is an iteration's."""
    names, iteration = [], 0
    for source, count in _counted(sources):
        iteration += source.role == 'rollouts'
        names += [f'iteration {iteration}' if source.role == 'rollouts' else source.role] * count
    return names


def _counted(sources: Sequence[Source]) -> list[tuple[Source, int]]:
    return [(source, len(_First(open_data(source.path), source.count))) for source in sources]


def _train(stage: Training, *, progress: bool) -> list[str]:
    if (stage.folder / 'config.yaml').is_file() and not is_unfinished(stage.folder):
        # It was stopped between the checkpoint and the marker.
        return _finish(stage, json.loads((stage.folder / METRICS_FILE).read_text('utf-8')))
    episodes = opened(stage.data)
    config = _config(stage, episodes)
    metrics: dict[str, Any] = train(
        stage.kind,
        episodes,
        config,
        stage.folder,
        steps=stage.steps,
        seed=stage.seed,
        resume=is_unfinished(stage.folder),
        progress=progress,
        command=stage.command,
        cache=stage.cache,
        init=stage.init,
        indicator=_improving(stage, config) if stage.kind == 'recap' else None,
    )
    if metrics['interrupted']:
        raise KeyboardInterrupt
    return _finish(stage, metrics)


def _finish(stage: Training, metrics: dict[str, Any]) -> list[str]:
    """Leave the marker of a training that is written; what there is to say about it."""
    numbers: dict[str, Any] = {'metrics': metrics, 'seconds': metrics['seconds']}
    said = [f'{metrics["ms_per_step"]:.0f} ms per step']
    if stage.kind == 'recap':
        seen = json.loads((stage.folder / _SEEN).read_text('utf-8'))
        numbers |= seen
        said.append(f'{seen["frames"]:.0f} frames, {seen["epochs"]:.1f} epochs')
        if seen['told']:
            said.append(f'{seen["positive"]:.0%} of them positive')
    stage.finish(numbers)
    return said


def check_settings(stage: Training) -> None:
    """See that a model's configuration can be made, before anything is collected for it.

    Raises:
        UserError: (of `vvf` or of `vvf_models`) an entry is unknown, or out of its range.
    """
    _config_of(stage, {'cameras': ['any'], 'state_dim': 0})


def _config(stage: Training, episodes: ChainedEpisodes) -> Any:
    first = episodes[0]
    entries: dict[str, Any] = {
        'cameras': list(first.images),
        'state_dim': 0 if first.state is None else int(first.state.shape[1]),
    }
    if stage.kind == 'recap':
        entries |= action_entries(first, stage.kind)
    return _config_of(stage, entries)


def _config_of(stage: Training, entries: dict[str, Any]) -> Any:
    path = config_path('models', f'{stage.preset}.yaml')
    if not path.is_file():
        raise UserError(f'there is no configuration {stage.preset!r} in {path.parent}.')
    preset = yaml.safe_load(path.read_text('utf-8')) or {}
    if preset.pop('kind', stage.kind) != stage.kind:
        raise UserError(f'{path} is no configuration of {stage.kind!r}.')
    where = f'{path} and the settings of {stage.title}' if stage.settings else str(path)
    entries = {**entries, **preset, **stage.settings}
    return from_mapping(CONFIGS[stage.kind], entries, where, partial=True)


def _improving(stage: Training, config: Any) -> Callable[[FrameStore], npt.NDArray[np.int8]]:
    """What says which frames improve, and notes how many frames are learned from."""

    def of_store(store: FrameStore) -> npt.NDArray[np.int8]:
        if stage.indicators is None:
            shown = np.array([role == 'demonstrations' for role in roles(stage.data)])
            known = shown[store.numbers][store.episode_of] | stage.all_positive
            improving = np.where(known, 1, -1).astype(np.int8)
        else:
            with np.load(stage.indicators / INDICATORS, allow_pickle=False) as arrays:
                improving = arrays['improving']
            if len(improving) != store.n_frames:
                raise UserError(
                    f'{stage.indicators} is of other data; delete it, and go on with it anew.'
                )
        training, _ = store.split(config.held_out_fraction, stage.seed)
        frames = usable_frames(replace(store, improving=improving), config, training)
        seen = {
            'frames': float(len(frames)),
            'positive': float((improving[frames] == 1).mean()) if len(frames) else 0.0,
            'epochs': stage.steps * config.batch_size / max(1, len(frames)),
            'told': config.is_told,
        }
        stage.folder.mkdir(parents=True, exist_ok=True)
        write_whole(stage.folder / _SEEN, json.dumps(seen))
        return improving

    return of_store


def _indicate(stage: Indicating, *, progress: bool) -> list[str]:
    started = time.monotonic()
    shown = np.array([role == 'demonstrations' for role in roles(stage.data)])
    found, seen = judge(
        stage.value,
        opened(stage.data),
        positive_ratio=stage.positive_ratio,
        n_steps=stage.n_steps,
        open_failures=stage.open_failures,
        demonstrations=shown,
        batches=batches(stage.data),
        cache=stage.cache,
        progress=progress,
    )
    stage.folder.mkdir(parents=True, exist_ok=True)
    np.savez(stage.folder / INDICATORS, improving=found.improving, advantages=found.advantages)
    draw_diagnosis(seen, stage.title).save(stage.folder / f'{DIAGNOSIS}.png')
    stage.finish({'diagnosis': seen.numbers, 'seconds': time.monotonic() - started})
    return describe(seen)


def judge(
    value: Any,
    episodes: Sequence[Episode],
    *,
    positive_ratio: float,
    n_steps: int,
    open_failures: bool = True,
    demonstrations: npt.NDArray[np.bool_] | None = None,
    batches: Sequence[str] | None = None,
    cache: Any = None,
    progress: bool = True,
    threads: int = 1,
) -> tuple[Indicators, Diagnosis]:
    """Which frames improve by a value model, and what that is worth.

    Args:
        value: its checkpoint.
        episodes: to judge; every one must be good.
        positive_ratio: share of the judged frames that are to be positive.
        n_steps: how far ahead an advantage looks; 0: to the end of the episode.
        open_failures: whether a time limit cut failures off; see `store_advantages`.
        demonstrations: (E,) episodes that are positive throughout, and not judged.
        batches: (E,) names; each batch has thresholds of its own.
        cache: folder for decoded frames; None for memory.
        progress: whether to show a bar.
        threads: CPU threads.

    Raises:
        UserError: (of `vvf_models`) the checkpoint or an episode cannot be read, or they do not
            fit each other.
    """
    runtime = load_value(value, threads, 'torch')
    config: ValueConfig = runtime.model.config
    store = as_store(episodes, config, runtime.cameras, cache=cache, progress=progress)
    steps = n_steps or REST_OF_EPISODE
    advantages = store_advantages(runtime, store, steps, open_failures=open_failures)
    found = indicate(advantages, store, positive_ratio, demonstrations, batches)
    return found, diagnose(store, found, positive_ratio)


def describe(seen: Diagnosis) -> list[str]:
    """A diagnosis in a few lines, its warnings last."""
    numbers = seen.numbers
    lines = [
        f'{numbers["share"]:.1%} of {numbers["frames"]} frames are positive by ">=", '
        f'{numbers["share_strict"]:.1%} by ">"; {numbers["forced_frames"]} of humans and '
        'demonstrations besides',
        f'positive in successes {numbers["share_in_successes"]:.1%}, in failures '
        f'{numbers["share_in_failures"]:.1%}, in the second before an error '
        f'{numbers["share_before_errors"]:.1%} ({numbers["errors"]} errors)',
    ]
    for name, shares in seen.quarters.items():
        quarters = ' '.join(f'{share:.0%}' for share in shares)
        lines.append(f'by quarter of the episode, {name}: {quarters}')
    for name, estimate in seen.thresholds.items():
        lines.append(
            f'"{name}": threshold {estimate.value:.4g} ({estimate.low:.4g} to {estimate.high:.4g} '
            f'over episodes, {numbers["share_between"]:.0%} of the frames in between)'
        )
    return [*lines, *(f'warning: {text}' for text in seen.warnings)]
