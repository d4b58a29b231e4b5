# SPDX-License-Identifier: Apache-2.0
"""Which states, goals and intents an ICVF learns from.

The procedure is `GCSDataset` of dibyaghosh/icvf_release: a goal is a random frame, a frame drawn
uniformly from now to the end of the episode, or the current frame; an intent is drawn alike, and
the goal equals the intent half of the time. One thing is added: with `p_task` the goal (or the
intent) is a frame in which *another* episode has succeeded, and it counts as reached in every
frame in which the task is done. Without it, another layout's final frame is just an unreachable
frame, and the value of a live scene against a recorded goal image means nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.frames import UNKNOWN, FrameStore

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class GoalProbabilities:
    """How goals are drawn.

    The first three sum to 1 and share what `task` leaves; `same_goal` is P(goal := intent).
    """

    random: float = 0.3
    trajectory: float = 0.5
    current: float = 0.2
    same_goal: float = 0.5
    task: float = 0.0


@dataclass
class Transitions:
    """B transitions: frame numbers, and whether the goal and the intent are reached already."""

    current: Indices
    next: Indices
    goal: Indices
    intent: Indices
    goal_reached: NDArray[np.bool_]
    intent_reached: NDArray[np.bool_]


class GoalSampler:
    """Draws transitions with goals and intents from some episodes of a store."""

    def __init__(
        self, store: FrameStore, episodes: Indices, probabilities: GoalProbabilities
    ) -> None:
        """Indexes the frames.

        Raises:
            ValueError: The probabilities of random, trajectory and current do not sum to 1, or
                there is no frame to start a transition from.
        """
        chances = probabilities
        if abs(chances.random + chances.trajectory + chances.current - 1) > 1e-6:
            raise ValueError('p_random, p_trajectory and p_current must sum to 1')
        self.probabilities = probabilities
        self.frames = store.frames_of(episodes)
        self.last = store.last
        self.done = store.done
        # A clip that nobody labelled goes on after its last frame, so that frame has no successor;
        # a labelled episode rests in it: a failure that ended is never going to arrive.
        goes_on = (store.outcome == UNKNOWN)[store.episode_of] & (
            np.arange(store.n_frames) == self.last
        )
        self.starts = self.frames[~goes_on[self.frames]]
        self.task_goals = self.frames[self.done[self.frames]]
        if not len(self.starts):
            raise ValueError('no transition: every episode has a single frame')

    def sample(self, rng: np.random.Generator, batch: int) -> Transitions:
        """Draws `batch` transitions."""
        current = rng.choice(self.starts, batch)
        intent = self.sample_goals(rng, current)
        goal = np.where(
            rng.random(batch) < self.probabilities.same_goal,
            intent,
            self.sample_goals(rng, current),
        )
        return Transitions(
            current=current,
            next=np.minimum(current + 1, self.last[current]),
            goal=goal,
            intent=intent,
            goal_reached=self.reached(current, goal),
            intent_reached=self.reached(current, intent),
        )

    def sample_goals(self, rng: np.random.Generator, current: Indices) -> Indices:
        """A goal for each current frame."""
        chances, batch = self.probabilities, len(current)
        goals = rng.choice(self.frames, batch)
        share = chances.trajectory / max(1 - chances.current, 1e-9)
        part = rng.random(batch)
        ahead = np.round(current * part + self.last[current] * (1 - part)).astype(np.int64)
        goals = np.where(rng.random(batch) < share, ahead, goals)
        goals = np.where(rng.random(batch) < chances.current, current, goals)
        if chances.task > 0 and len(self.task_goals):
            task = rng.choice(self.task_goals, batch)
            goals = np.where(rng.random(batch) < chances.task, task, goals)
        return goals

    def reached(self, current: Indices, goal: Indices) -> NDArray[np.bool_]:
        """Whether a goal is reached: it is the current frame, or the task is done in both.

        Without task goals "done in both" holds within one episode only, as in the original, but
        for the frames after a success, all of which are the goal.
        """
        both = self.done[current] & self.done[goal]
        if self.probabilities.task == 0:
            both &= self.last[current] == self.last[goal]
        return np.asarray((current == goal) | both)
