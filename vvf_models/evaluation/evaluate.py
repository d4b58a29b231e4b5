# SPDX-License-Identifier: Apache-2.0
"""Scores a value checkpoint on episodes, beside the baseline that sees no image."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.episode import Episode
from vvf_models.data.frames import FrameStore
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import outcomes
from vvf_models.evaluation.value_metrics import value_metrics
from vvf_models.runtime.value import ValueRuntime
from vvf_models.values.proprio import train_proprio

_BATCH = 128
_BASELINE_PIXELS = 8  # the baseline looks at no image, so the store of it is kept tiny


def evaluate_value(
    runtime: ValueRuntime,
    episodes: Sequence[Episode],
    *,
    own_goals: bool = False,
    training_episodes: Sequence[Episode] | None = None,
    on_episode: Callable[[int], None] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The metrics of `value_metrics` for a model as it runs.

    Args:
        runtime: The loaded model.
        episodes: Held-out episodes.
        own_goals: Take each episode's last frame as its goal, which is all that clips of
            unfinished tasks offer, instead of the checkpoint's goals.
        training_episodes: If given, what to train the proprioception baseline on; its metrics come
            with the prefix `proprio_`.
        on_episode: Called with the number of episodes scored so far.
        seed: Of intervals and baseline.

    Returns:
        The metrics, flat; AUC at the end per kind of failure as `auc_end_<kind>`.

    Raises:
        UserError: An episode lacks a camera or the state.
    """
    values: list[NDArray[np.float32]] = []
    for index in range(len(episodes)):
        values.append(episode_value(runtime, episodes[index], own_goal=own_goals))
        if on_episode:
            on_episode(index + 1)
    light = _without_images(episodes)
    everything = np.arange(light.n_episodes)
    success = outcomes(light, everything)
    indices = [int(i) for i in light.success_index]
    result: dict[str, Any] = dict(value_metrics(values, success, indices, seed=seed))
    result |= _per_failure_kind(values, success, light.failure_kinds)
    if training_episodes is not None:
        store = _without_images(training_episodes)
        baseline = train_proprio(store, np.arange(store.n_episodes), seed=seed)
        if light.state is None:
            raise UserError('The episodes to evaluate have no state, so there is no baseline.')
        own = [
            baseline.values(light.state[start : start + length])
            for start, length in zip(light.starts, light.lengths, strict=True)
        ]
        proprio = value_metrics(own, success, indices, seed=seed)
        result |= {f'proprio_{name}': value for name, value in proprio.items()}
    return result


def episode_value(
    runtime: ValueRuntime, episode: Episode, *, own_goal: bool = False
) -> NDArray[np.float32]:
    """The values (T,) along an episode.

    Raises:
        UserError: The episode lacks a camera or the state that the model needs.
    """
    parts = []
    try:
        for start in range(0, len(episode), _BATCH):
            window = slice(start, start + _BATCH)
            images = {camera: frames[window] for camera, frames in episode.images.items()}
            state = None if episode.state is None else episode.state[window]
            parts.append(runtime.encode(images, state))
        goal = parts[-1][-1:] if own_goal else None
        return np.concatenate([runtime.value(part, goal).value for part in parts])
    except ValueError as error:
        raise UserError(
            f'Episode {episode.episode_id} does not fit the model {runtime.name}: {error}.'
        ) from error


def _per_failure_kind(
    values: Sequence[NDArray[np.float32]], success: Sequence[bool | None], kinds: Sequence[str]
) -> dict[str, float]:
    result = {}
    for kind in sorted({k for k, outcome in zip(kinds, success, strict=True) if outcome is False}):
        chosen = [
            i for i, outcome in enumerate(success) if outcome or (not outcome and kinds[i] == kind)
        ]
        metrics = value_metrics(
            [values[i] for i in chosen], [success[i] for i in chosen], bootstrap=0
        )
        if kind:
            result[f'auc_end_{kind}'] = metrics['auc_end']
    return result


def _without_images(episodes: Sequence[Episode]) -> FrameStore:
    camera = next(iter(episodes[0].images))
    return FrameStore.from_episodes(episodes, (camera,), _BASELINE_PIXELS)
