# SPDX-License-Identifier: Apache-2.0
"""Which states, goals and intents an ICVF learns from.

The procedure is `GCSDataset` of dibyaghosh/icvf_release: a goal is a random frame, a frame drawn
uniformly from now to the end of the episode, or the current frame; an intent is drawn alike, and
the goal equals the intent half of the time. One thing is added: with `p_task` the goal (or the
intent) is a frame in which *another* episode of the same instruction has succeeded, and it counts
as reached in every frame in which that task is done. Without it, another layout's final frame is
just an unreachable frame, and the value of a live scene against a recorded goal image means
nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.frames import SUCCESS, UNKNOWN, FrameStore

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
    intent_same_trajectory: bool = False  # no intent is a random frame
    max_distance: int = 0  # steps to a goal of the same trajectory at most; 0: any
    goal_shift: int = 0  # frames by which goals are moved once it is known whether they are reached


@dataclass
class Transitions:
    """B transitions.

    Attributes:
        current: (B,) frames.
        next: (B,) the frames one step on, or `n_step` steps; the last frame follows itself.
        goal: (B,) frames.
        intent: (B,) frames.
        goal_reached: (B,) whether the goal is reached before `next`; for one step: already.
        intent_reached: (B,) the same for the intent.
        goal_steps: (B,) steps until the goal is reached, or until `next` if it is not.
        intent_steps: (B,) the same for the intent.
    """

    current: Indices
    next: Indices
    goal: Indices
    intent: Indices
    goal_reached: NDArray[np.bool_]
    intent_reached: NDArray[np.bool_]
    goal_steps: Indices
    intent_steps: Indices


class GoalSampler:
    """Draws transitions with goals and intents from some episodes of a store."""

    def __init__(
        self,
        store: FrameStore,
        episodes: Indices,
        probabilities: GoalProbabilities,
        n_step: int = 1,
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
        self.n_step = n_step
        self.frames = store.frames_of(episodes)
        self.last = store.last
        self.done = store.done
        first_done = np.where(store.outcome == SUCCESS, store.success_index, -1)
        self.first_done = np.where(first_done >= 0, store.starts + first_done, store.n_frames)[
            store.episode_of
        ]
        names = {name: number for number, name in enumerate(dict.fromkeys(store.instructions))}
        self.task = np.array([names[name] for name in store.instructions])[store.episode_of]
        self.labelled = (store.outcome != UNKNOWN)[store.episode_of]
        # A clip that nobody labelled goes on after its last frame, so that frame has no successor;
        # a labelled episode rests in it: a failure that ended is never going to arrive.
        goes_on = ~self.labelled & (np.arange(store.n_frames) == self.last)
        self.starts = self.frames[~goes_on[self.frames]]
        goals = self.frames[self.done[self.frames]]
        self.task_goals = [goals[self.task[goals] == number] for number in range(len(names))]
        if not len(self.starts):
            raise ValueError('no transition: every episode has a single frame')

    def sample(self, rng: np.random.Generator, batch: int) -> Transitions:
        """Draws `batch` transitions."""
        current = rng.choice(self.starts, batch)
        intent = self.sample_goals(
            rng, current, same_trajectory=self.probabilities.intent_same_trajectory
        )
        goal = np.where(
            rng.random(batch) < self.probabilities.same_goal,
            intent,
            self.sample_goals(rng, current),
        )
        following = np.minimum(current + self.n_step, self.last[current])
        taken = np.where(self.labelled[current], self.n_step, following - current)
        goal_steps = self.steps_until(current, goal)
        intent_steps = self.steps_until(current, intent)
        return Transitions(
            current=current,
            next=following,
            goal=self._shown(goal),
            intent=self._shown(intent),
            goal_reached=goal_steps < taken,
            intent_reached=intent_steps < taken,
            goal_steps=np.minimum(goal_steps, taken),
            intent_steps=np.minimum(intent_steps, taken),
        )

    def _shown(self, goals: Indices) -> Indices:
        """The authors' `curr_goal_shift`: the frame shown for a goal, once rewards are known."""
        return np.clip(goals + self.probabilities.goal_shift, 0, len(self.last) - 1)

    def sample_goals(
        self, rng: np.random.Generator, current: Indices, *, same_trajectory: bool = False
    ) -> Indices:
        """A goal for each current frame; with `same_trajectory` never a random one."""
        chances, batch = self.probabilities, len(current)
        goals = rng.choice(self.frames, batch)
        share = 1.0 if same_trajectory else chances.trajectory / max(1 - chances.current, 1e-9)
        part = rng.random(batch)
        last = self.last[current]
        if chances.max_distance:
            last = np.minimum(last, current + chances.max_distance)
        ahead = np.round(current * part + last * (1 - part)).astype(np.int64)
        goals = np.where(rng.random(batch) < share, ahead, goals)
        goals = np.where(rng.random(batch) < chances.current, current, goals)
        if chances.task > 0:
            chosen = rng.random(batch) < chances.task
            part = rng.random(batch)
            for number, pool in enumerate(self.task_goals):
                here = chosen & (self.task[current] == number)
                if len(pool):
                    goals[here] = pool[(part[here] * len(pool)).astype(np.int64)]
        return goals

    def steps_until(self, current: Indices, goal: Indices) -> Indices:
        """Steps until the episode of each current frame is at the goal; a huge number if never.

        A goal is reached in its own frame. One in which the task is done is also reached in every
        frame in which the task is done (the original knows no labels): with task goals, of any
        episode of the instruction; without them, of the goal's own episode only, where what
        follows a success is all the goal.
        """
        never = np.iinfo(np.int64).max
        same = self.last[current] == self.last[goal]
        steps = np.where(same & (goal >= current), goal - current, never)
        alike = self.task[current] == self.task[goal]
        counts = self.done[goal] & (alike if self.probabilities.task else same)
        first = self.first_done[current]
        succeeds = counts & (first <= self.last[current])
        until_done = np.where(succeeds, np.maximum(first - current, 0), never)
        return np.asarray(np.minimum(steps, until_done))
