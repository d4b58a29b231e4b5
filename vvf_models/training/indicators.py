# SPDX-License-Identifier: Apache-2.0
"""RECAP's improvement indicator for every frame of a store (arXiv 2511.14759, sec. IV-A, app. F).

    I_t = 1[A_t >= eps],     eps per task, so that a given share of its frames is positive:
                             30 % in pre-training, 40 % of each iteration's rollouts afterwards.

The advantage A looks N steps ahead (50 in the paper at 50 Hz, a second; the rest of the episode in
pre-training). What a human did counts as positive, and so does a demonstration in fine-tuning; no
threshold is taken of either. The paper writes `>`, Evo-RL and RLinf `>=`: both shares are reported,
as values that repeat make them differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import episode_values
from vvf_models.runtime.value import ValueRuntime
from vvf_models.values import advantage

REST_OF_EPISODE = 1 << 20  # the paper's N = T


@dataclass(frozen=True)
class Indicators:
    """Which frames improve on what was expected.

    Attributes:
        improving: (N,) int8, 1 or 0.
        advantages: (N,) in the value model's unit.
        thresholds: By group: an instruction, and the batch of rollouts if there are several; NaN
            where no frame of it was judged.
        groups: (E,) the group of each episode; demonstrations may be in one that has no threshold.
        share: Of the judged frames that are positive, by `>=`.
        share_strict: The same by `>`.
        forced: Frames that are positive whatever their advantage.
        judged: (N,) bool, frames that thresholds are taken of: what a policy did alone, up to the
            first frame in which the task is done.
    """

    improving: NDArray[np.int8]
    advantages: NDArray[np.float64]
    thresholds: Mapping[str, float]
    groups: tuple[str, ...]
    share: float
    share_strict: float
    forced: int
    judged: NDArray[np.bool_]

    @property
    def limits(self) -> NDArray[np.float64]:
        """The threshold of each episode (E,); NaN for demonstrations that have none."""
        return np.array([self.thresholds.get(name, np.nan) for name in self.groups])


def store_advantages(
    runtime: ValueRuntime, store: FrameStore, n_steps: int, *, open_failures: bool
) -> NDArray[np.float64]:
    """Advantages (N,) of all frames over the next n steps, a frame counting as a step.

    What a human brings about after a takeover is not the policy's doing, so no window looks beyond
    one. The frames before it whose windows do not fit are judged as the last whole window is:
    shorter ones of a policy that stands still lose less, and would look better for it.

    A failure that a time limit cut off is worth more in its last frame than the model expects, who
    cannot know the limit: so little is left that can be lost. Its last n frames then look like
    progress. With `open_failures` they are judged in the same way, by the model's own value at the
    end, as if the episode went on.

    Args:
        runtime: The value model.
        store: What to judge.
        n_steps: How far ahead; `REST_OF_EPISODE` for the paper's pre-training.
        open_failures: Whether failures were cut off and not over.

    Raises:
        UserError: The value model looks through cameras, or at a size, that the store has not.
    """
    model = runtime.model
    missing = [camera for camera in runtime.cameras if camera not in store.images]
    if missing or store.image_size != runtime.image_size:
        raise UserError(
            f'{runtime.name} looks through {", ".join(runtime.cameras)} at {runtime.image_size} '
            f'px, and the frames are of {", ".join(store.images)} at {store.image_size} px.'
        )
    episodes = np.arange(store.n_episodes)
    values = episode_values(model, store, episodes, runtime.stored_goals)
    parts = []
    for episode, value in zip(episodes, values, strict=True):
        failed = store.outcome[episode] == FAILURE
        cut_off = failed and open_failures and n_steps < REST_OF_EPISODE
        own = slice(store.starts[episode], store.starts[episode] + len(value))
        pieces = _cut_off(store.interventions[own], n_steps, failure=cut_off)
        limit = np.full(len(value), len(value) - 1)
        for start, end in pieces:
            limit[start:end] = min(end, len(value) - 1)
        done = store.success_index[episode] if store.outcome[episode] == SUCCESS else -1
        gained = advantage.lookahead(
            np.arange(len(value), dtype=np.float64),
            value.astype(np.float64),
            gamma=model.discount,
            rate_hz=1.0,
            n_steps=n_steps,
            step_cost=model.step_cost_of(store.instructions[episode]),
            end_value=model.failure_value if failed and not cut_off else None,
            done=int(done),
            limit=limit,
        )
        for start, end in pieces:
            whole = max(start, limit[start] - n_steps)
            gained[whole:end] = gained[whole]
        parts.append(gained)
    return np.concatenate(parts)


def _cut_off(human: NDArray[np.bool_], n_steps: int, *, failure: bool) -> list[tuple[int, int]]:
    """Pieces [start, end) of the policy's that somebody cut off before windows could end.

    Args:
        human: (T,) bool, where a human acted.
        n_steps: Length of a window; to the end of the episode it contains what the human did.
        failure: Whether the last frame is the end of something that would have gone on.
    """
    if n_steps >= REST_OF_EPISODE:
        return []
    turns = [0, *(np.flatnonzero(np.diff(human)) + 1).tolist(), len(human)]
    return [
        (start, end)
        for start, end in pairwise(turns)
        if not human[start] and (end < len(human) or failure)
    ]


def indicate(
    advantages: NDArray[np.float64],
    store: FrameStore,
    positive_ratio: float,
    demonstrations: NDArray[np.bool_] | None = None,
    batches: Sequence[str] | None = None,
) -> Indicators:
    """Compares advantages with the threshold of each task, and of each batch of rollouts.

    Args:
        advantages: (N,) of `store_advantages`.
        store: Whose frames they are.
        positive_ratio: Share of each task's frames that are to be positive.
        demonstrations: (E,) bool, episodes that are positive throughout and take no part in the
            threshold.
        batches: (E,) names, such as of RECAP's iterations, each of which has thresholds of its own:
            with one for all, a policy that got better has most of the positives, and the rollouts
            of the one before it hardly any. None, or equal names: one for all.

    Raises:
        UserError: The ratio is no share.
    """
    if not 0 < positive_ratio < 1:
        raise UserError(f'The share of positives must lie between 0 and 1, not {positive_ratio}.')
    shown = np.zeros(store.n_episodes, bool) if demonstrations is None else demonstrations
    episode_of = store.episode_of
    forced = shown[episode_of] | store.interventions
    # As in the paper's data, an episode ends with its success.
    judged = ~forced & ~(store.done & ~_first_done(store))
    groups = _groups(store.instructions, batches, shown)
    names = np.array(groups)
    thresholds = {
        name: advantage.threshold(advantages[(names == name)[episode_of] & judged], positive_ratio)
        for name in sorted({group for group, given in zip(groups, shown, strict=True) if not given})
    }
    limit = np.array([thresholds.get(name, np.nan) for name in groups])[episode_of]
    at_least, above = advantages >= limit, advantages > limit
    return Indicators(
        improving=(at_least | forced).astype(np.int8),
        advantages=advantages,
        thresholds=thresholds,
        groups=groups,
        share=float(at_least[judged].mean()) if judged.any() else float('nan'),
        share_strict=float(above[judged].mean()) if judged.any() else float('nan'),
        forced=int(forced.sum()),
        judged=judged,
    )


def _groups(
    instructions: Sequence[str], batches: Sequence[str] | None, shown: NDArray[np.bool_]
) -> tuple[str, ...]:
    if batches is None or len({b for b, s in zip(batches, shown, strict=True) if not s}) < 2:
        return tuple(instructions)
    return tuple(f'{text}, {name}' for text, name in zip(instructions, batches, strict=True))


def _first_done(store: FrameStore) -> NDArray[np.bool_]:
    done = store.done
    before = np.concatenate([[False], done[:-1]])
    before[store.starts] = False
    return np.asarray(done & ~before)
