# SPDX-License-Identifier: Apache-2.0
"""The steps that CQL learns from: which frames begin one, and which of these are rewarded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.frames import FAILURE, SUCCESS, UNKNOWN, FrameStore
from vvf_models.policies.cql import CqlConfig
from vvf_models.training.learner import Indices


@dataclass(frozen=True)
class Transitions:
    """Steps to learn from.

    Attributes:
        frames: (M,) rows of the store.
        label: (N,) 1 on the last steps of successes, of all rows of the store.
    """

    frames: Indices
    label: NDArray[np.float32]


def transitions(store: FrameStore, config: CqlConfig) -> Transitions:
    """Which frames begin a step, and which of these are rewarded; see policies/cql.py.

    With `end` the first frame in which the task is done, the rewarded steps begin in end - 2,
    end - 1 and end, the last one in a task that is done already. PTR's begin in end - 3 to end - 1,
    so that the last one leads into the final frame. Pick-and-place is done two steps after the
    gripper was told to open: so the first step that is rewarded, and terminal, is the release
    itself. Placed as PTR's, the step before it would be, too, and to carry the object there with a
    shut gripper would be worth as much as to let go of it.
    """
    label = np.zeros(store.n_frames, np.float32)
    spans = []
    for start, length, outcome, end in zip(
        store.starts, store.lengths, store.outcome, store.ends, strict=True
    ):
        if outcome == SUCCESS or (outcome == UNKNOWN and config.unlabelled_as_success):
            label[max(start, end + 1 - config.reward_steps) : end + 1] = 1
            spans.append(np.arange(start, end + 1))
        elif outcome == FAILURE:
            spans.append(np.arange(start, start + length - 1))
    return Transitions(np.concatenate(spans) if spans else np.zeros(0, np.int64), label)
