# SPDX-License-Identifier: Apache-2.0
"""Scores a value checkpoint on episodes, beside a baseline that sees no images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vvf.errors import UserError
from vvf_models.checkpoints import load_checkpoint
from vvf_models.data.chain import ChainedEpisodes
from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.data.open import open_episodes
from vvf_models.evaluation.scoring import episode_values, outcomes
from vvf_models.evaluation.value_metrics import value_metrics
from vvf_models.runtime import ValueRuntime
from vvf_models.values.icvf import Icvf
from vvf_models.values.proprio import train_proprio


def evaluate_value(
    checkpoint: Path,
    data: Sequence[Path],
    *,
    goal: str = 'auto',
    baseline: Sequence[Path] = (),
    balance: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Metrics of a value model, those of the baseline with the prefix `baseline_`.

    Args:
        checkpoint: folder of a value model.
        data: folders of episodes to score.
        goal: 'checkpoint', 'own' (each episode's last frame) or 'auto'.
        baseline: folders of episodes to train the proprioception-only baseline on.
        balance: score so many successes and as many failures, the first ones; 0 scores all.
        seed: of the intervals and of the baseline.

    Raises:
        UserError: the checkpoint is no value model, the data lack a camera or the state, or hold
            too few successes or failures.
    """
    loaded = load_checkpoint(checkpoint, 'icvf')
    runtime = ValueRuntime(loaded)
    model = loaded.model
    assert isinstance(model, Icvf)  # what `ValueRuntime` has made sure of
    config = model.config
    store = _store(data, config.cameras, config.image_size)
    if config.state_dim and store.state_dim != config.state_dim:
        raise UserError(
            f'{checkpoint.name} takes a state of {config.state_dim} numbers, the episodes have '
            f'{store.state_dim}; score others, or train a model for them.'
        )
    episodes = _chosen(store, balance)
    labelled = bool((store.outcome == SUCCESS).any())
    goals = None
    if goal == 'checkpoint' or (goal == 'auto' and labelled and runtime.n_goals):
        goals = runtime.goals
        if goals is None:
            raise UserError(f'{checkpoint.name} holds no goals; use --goal own.')
    common: dict[str, Any] = {
        'success': outcomes(store, episodes),
        'success_index': [int(i) for i in store.success_index[episodes]],
        'failure_kinds': [store.failure_kinds[e] for e in episodes],
        'seed': seed,
    }
    values = episode_values(model, store, episodes, goals)
    numbers: dict[str, Any] = {
        'checkpoint': checkpoint.name,
        'goal': 'own last frame' if goals is None else 'checkpoint',
        **value_metrics(values, **common),
    }
    if baseline:
        train = _store(baseline, config.cameras[:1], 16)
        blind = train_proprio(train, np.arange(train.n_episodes), seed=seed)
        if store.state is None:
            raise UserError('the episodes have no state for a baseline: leave --baseline away.')
        blind_values = [blind.values(store.state[store.frames_of(np.array([e]))]) for e in episodes]
        blind_metrics = value_metrics(blind_values, **common)
        numbers |= {f'baseline_{name}': value for name, value in blind_metrics.items()}
    return numbers


def _store(paths: Sequence[Path], cameras: Sequence[str], size: int) -> FrameStore:
    episodes = ChainedEpisodes([open_episodes(path) for path in paths])
    return FrameStore.from_episodes(episodes, cameras, size)


def _chosen(store: FrameStore, balance: int) -> np.ndarray[Any, np.dtype[np.int64]]:
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
