# SPDX-License-Identifier: Apache-2.0
"""Scores value checkpoints on episodes, beside a baseline that sees no images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vvf.errors import UserError
from vvf.value_data import Data, Indices, Scene, rows_of, scene_of
from vvf_models.checkpoints import METRICS_FILE
from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.data.options import ReadOptions
from vvf_models.evaluation.alarms import AlarmRules, alarm_metrics
from vvf_models.evaluation.events import event_metrics
from vvf_models.evaluation.instructions import (
    Asked,
    ask_all,
    instruction_metrics,
    instructions_of,
)
from vvf_models.evaluation.sarsa import sarsa_metrics
from vvf_models.evaluation.scoring import (
    causal_mean,
    encode_episodes,
    episode_values,
    goals_of,
    latent_values,
)
from vvf_models.evaluation.speed import ms_per_frame
from vvf_models.evaluation.value_metrics import value_metrics
from vvf_models.runtime import ValueRuntime, load_value
from vvf_models.values.base import GoalSet
from vvf_models.values.proprio import train_proprio

Curve = npt.NDArray[np.floating]

_BATCHES = (1, 64)  # of the times per frame


@dataclass(frozen=True)
class Judging:
    """What is measured, and how.

    Attributes:
        goal: Whose goals: 'checkpoint', 'own' (each episode's last frame) or 'auto': the
            checkpoint's, where it has any and the data have labelled successes.
        baseline: Episodes to train the proprioception-only baseline on; none for no baseline.
        balance: Score so many successes and as many failures, the first ones; 0 scores all.
        smooth: Frames of a causal mean over the values.
        events: Whether to score events and alarms.
        alarm: When errors count as noticed.
        sarsa: Whether to fit a SARSA value on the frozen features.
        speed: Whether to measure the time per frame.
        task: Task file of bags that hold none.
        reading: How videos and frames are read.
        skip_bad: Told of every episode that cannot be used; without it, the first is an error.
        threads: CPU threads.
        seed: Of intervals, folds and baseline.
    """

    goal: str = 'auto'
    baseline: tuple[Path, ...] = ()
    balance: int = 0
    smooth: int = 1
    events: bool = False
    alarm: AlarmRules = field(default_factory=AlarmRules)
    sarsa: bool = False
    speed: bool = True
    task: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    skip_bad: Callable[[str], None] | None = None
    threads: int = 1
    seed: int = 0


@dataclass
class Scored:
    """What one model made of the episodes.

    Attributes:
        name: Of the checkpoint.
        numbers: Its metrics.
        values: Per episode, (T,) in its own unit.
        progress: Per episode, (T,) in [0, 1]; empty for the baseline.
        asked: Values under other instructions; None where there is nothing to compare.
        runtime: The loaded model; None for the baseline.
        goals: What it was measured against; None for each episode's own last frame.
    """

    name: str
    numbers: dict[str, Any]
    values: list[Curve]
    progress: list[Curve] = field(default_factory=list)
    asked: Asked | None = None
    runtime: ValueRuntime | None = None
    goals: GoalSet | None = None


@dataclass
class Evaluation:
    """Scores of all models on the same episodes.

    Attributes:
        scene: The episodes.
        models: One per checkpoint.
        baseline: What proprioception alone gives, or None.
        data: Where the episodes came from.
        judging: What was measured.
    """

    scene: Scene
    models: list[Scored]
    baseline: Scored | None
    data: Data
    judging: Judging

    def numbers(self) -> dict[str, Any]:
        """All numbers: flat for one model, a list `models` for several."""
        base = self.baseline.numbers if self.baseline else {}
        flat = {f'baseline_{name}': value for name, value in base.items()}
        if len(self.models) == 1:
            return {**self.models[0].numbers, **flat}
        shared = {'episodes': len(self.scene.numbers)}
        return {**shared, 'models': [model.numbers for model in self.models], **flat}


def evaluate_values(
    checkpoints: Sequence[Path], data: Sequence[Path], judging: Judging | None = None
) -> Evaluation:
    """Scores value models on the same episodes.

    Args:
        checkpoints: Folders of value models.
        data: Bags, folders of episodes and whatever else `vvf.data.open_data` knows.
        judging: What to measure.

    Raises:
        UserError: A checkpoint is no value model, the data lack a camera or the state, or hold
            too few successes or failures.
    """
    judging = judging or Judging()
    if judging.smooth < 1:
        raise UserError('--smooth takes the number of frames to average, at least 1.')
    source = Data(data, judging.task, judging.skip_bad, judging.reading)
    scene: Scene | None = None
    models = []
    for folder in checkpoints:
        # Its module is judged, on the CPU, where Grad-CAM looks into it, too.
        runtime = load_value(folder, judging.threads, engine='torch')
        store = _store_for(runtime, source)
        own = scene_of(store, _chosen(store, judging.balance))
        if scene is not None and own.numbers != scene.numbers:
            raise UserError(
                f'{runtime.name} cannot use the same episodes as the checkpoints before it; score '
                'it alone.'
            )
        scene = scene or own
        models.append(_score(runtime, folder, store, scene, judging))
    assert scene is not None
    baseline = _baseline(source, scene, judging) if judging.baseline else None
    return Evaluation(scene, models, baseline, source, judging)


def _store_for(runtime: ValueRuntime, source: Data) -> FrameStore:
    store = source.store(runtime.cameras, runtime.image_size, state=runtime.state_dim > 0)
    if runtime.state_dim and store.state_dim != runtime.state_dim:
        raise UserError(
            f'{runtime.name} takes a state of {runtime.state_dim} numbers, the episodes have '
            f'{store.state_dim or "none"}; score others, or train a model for them.'
        )
    return store


def _chosen(store: FrameStore, balance: int) -> Indices:
    if not balance:
        return np.arange(store.n_episodes)
    good = np.flatnonzero(store.outcome == SUCCESS)
    bad = np.flatnonzero(store.outcome == FAILURE)
    if min(len(good), len(bad)) < balance:
        raise UserError(
            f'--balance {balance} needs as many of each; there are {len(good)} successes and '
            f'{len(bad)} failures.'
        )
    return np.sort(np.concatenate([good[:balance], bad[:balance]]))


def _goals(runtime: ValueRuntime, labelled: bool, goal: str) -> GoalSet | None:
    stored = runtime.stored_goals
    if not runtime.takes_goal or goal == 'own' or (goal == 'auto' and not (labelled and stored)):
        return None
    if stored is None:
        raise UserError(f'{runtime.name} holds no goals; use --goal own.')
    return stored


def _score(
    runtime: ValueRuntime, folder: Path, store: FrameStore, scene: Scene, judging: Judging
) -> Scored:
    """One model's numbers and curves."""
    model = runtime.model
    rows = rows_of(store, scene)
    goals = _goals(runtime, bool((store.outcome == SUCCESS).any()), judging.goal)
    latents = encode_episodes(model, store, rows)
    how: dict[str, Any] = {'smooth': judging.smooth}
    values = episode_values(model, store, rows, goals, latents=latents, **how)
    backwards = None
    if model.frames_seen > 1:
        # Only the order of the frames may differ, not what they are measured against.
        against = goals_of(model, latents, scene.instructions, goals)
        backwards = [
            causal_mean(latent_values(model, part.flip(0), goal), judging.smooth)
            for part, goal in zip(latents, against, strict=True)
        ]
    measured = 'instruction' if runtime.reads_text else 'nothing'
    if runtime.takes_goal:
        measured = 'own last frame' if goals is None else 'checkpoint'
    numbers: dict[str, Any] = {
        'checkpoint': runtime.name,
        'kind': runtime.kind,
        'goal': measured,
        'smooth': judging.smooth,
        **_metrics(values, scene, judging, backwards),
    }
    won = [e for e, outcome in enumerate(scene.success) if outcome is not False]
    if scene.labelled:
        won = [e for e in won if scene.success[e]]
    told = [e for e in won if scene.instructions[e]]
    candidates = instructions_of(model, goals, scene.instructions)
    told = [e for e in told if scene.instructions[e] in candidates]
    asked = None
    if candidates and told:
        texts = [scene.instructions[e] for e in told]
        asked = ask_all(model, [latents[e] for e in told], texts, candidates, goals, **how)
    numbers |= instruction_metrics(asked, seed=judging.seed)
    if judging.sarsa:
        features = [part.float().cpu().numpy() for part in latents]
        numbers |= _sarsa(features, scene, judging)
    numbers |= _training_numbers(folder)
    numbers['parameters'] = sum(p.numel() for p in model.parameters())
    if judging.speed:
        goal = goals_of(model, latents[:1], scene.instructions[:1], goals)[0]
        for batch in _BATCHES:
            numbers[f'ms_per_frame_batch_{batch}'] = ms_per_frame(model, goal, batch)
        numbers['threads'] = torch.get_num_threads()
    progress = [model.progress(torch.from_numpy(series)).cpu().numpy() for series in values]
    return Scored(
        runtime.name, numbers, list(values), progress, asked, runtime=runtime, goals=goals
    )


def _metrics(
    values: Sequence[Curve],
    scene: Scene,
    judging: Judging,
    backwards: Sequence[Curve] | None = None,
) -> dict[str, Any]:
    numbers: dict[str, Any] = dict(
        value_metrics(
            values,
            scene.success,
            scene.success_index,
            failure_kinds=scene.failure_kinds,
            reversed_values=backwards,
            seed=judging.seed,
        )
    )
    if judging.events:
        about = (values, scene.events, scene.rates, scene.success)
        done = scene.success_index
        numbers |= event_metrics(*about, seed=judging.seed)
        numbers |= alarm_metrics(*about, done, judging.alarm, seed=judging.seed)
    return numbers


def _sarsa(features: Sequence[Curve], scene: Scene, judging: Judging) -> dict[str, float]:
    try:
        return sarsa_metrics(features, scene.success, scene.success_index, seed=judging.seed)
    except ValueError as error:
        raise UserError(f'--sarsa: {error}.') from error


def _baseline(source: Data, scene: Scene, judging: Judging) -> Scored:
    """Values of the arm's posture alone, trained on other episodes."""
    some = source.episodes()[0]
    camera = next(iter(some.images))
    store = source.store([camera], 16, state=True)
    if store.state is None:
        raise UserError('the episodes have no state for a baseline: leave --baseline away.')
    other = Data(judging.baseline, judging.task, judging.skip_bad, judging.reading)
    train = other.store([camera], 16, state=True)
    if train.state_dim != store.state_dim:
        raise UserError(
            f'--baseline has a state of {train.state_dim} numbers, the data have '
            f'{store.state_dim}; give episodes of the same robot.'
        )
    blind = train_proprio(train, np.arange(train.n_episodes), seed=judging.seed)
    rows = rows_of(store, scene)
    states = [store.state[store.frames_of(rows[i : i + 1])] for i in range(len(rows))]
    values = [causal_mean(blind.values(state), judging.smooth) for state in states]
    numbers = _metrics(values, scene, judging)
    if judging.sarsa:
        numbers |= _sarsa(states, scene, judging)
    numbers['parameters'] = sum(p.numel() for p in blind.parameters())
    return Scored('proprioception only', numbers, list(values))


def _training_numbers(folder: Path) -> dict[str, Any]:
    """What training wrote down: its length, and metrics on episodes held out and learned from."""
    record = _record(folder)
    numbers: dict[str, Any] = {}
    if 'steps' in record or 'step' in record:
        numbers['training_steps'] = record.get('steps', record.get('step'))
    if 'seconds' in record:
        numbers['training_minutes'] = record['seconds'] / 60
    for name, value in record.items():
        if not name.startswith('held_out_') or not isinstance(value, int | float):
            continue
        metric = name.removeprefix('held_out_')
        # `train_` in records of before, where it was both a mean of batches and of episodes.
        seen = record.get(f'seen_{metric}')
        if seen is None and metric != 'loss':
            seen = record.get(f'train_{metric}')
        if isinstance(seen, int | float) and math.isfinite(seen):
            numbers |= {f'seen_{metric}': float(seen), f'held_out_{metric}': float(value)}
    return numbers


def _record(folder: Path) -> dict[str, Any]:
    try:
        path = folder / METRICS_FILE
        if path.is_file():
            record = json.loads(path.read_text('utf-8'))
        else:
            record = json.loads((folder / 'log.jsonl').read_text('utf-8').splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return {}
    return record if isinstance(record, dict) else {}
