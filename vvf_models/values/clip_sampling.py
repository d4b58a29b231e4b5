# SPDX-License-Identifier: Apache-2.0
"""Which frames VIP learns from: clips of episodes, and videos for temporal cycles.

A clip is four frames of one camera's stream: first, goal, and two neighbours in between. The first
is drawn from [0, T - 3], the goal from what follows it, the neighbours from between them, all
uniformly, as facebookresearch/vip does in vip/utils/data_loaders.py. The object-aware VIP draws
the first frame by another law on normalised time (its section 4.4 and figure 7): exponential, or
Beta(a, b).

The paper's "Exp(5)" makes *late* frames likelier: by its text the window moves only in the last
frames, and the law is to draw these. Its rate here is that of a density proportional to
exp(rate t) on [0, 1], so 5 draws late first frames and -5 early ones; the paper does not say how it
cuts the law off at the ends.

By the uniform law the neighbours are rarely early ones: their density is -log(1 - t), 0 at the
start of an episode, whose values are then what training says least about. A negative rate mends it.

What is added: with `p_task` the goal is a frame in which *another* episode of the same instruction
has succeeded, for a clip that leads to its own episode's success; see goal_sampling.py for why a
recorded goal needs it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.frames import SUCCESS, UNKNOWN, FrameStore

Indices = NDArray[np.int64]
Times = NDArray[np.float64]

LAWS = ('uniform', 'exponential', 'beta')


@dataclass(frozen=True)
class FirstFrame:
    """The law of a clip's first frame, on normalised time.

    Attributes:
        law: 'uniform', 'exponential' or 'beta'.
        rate: Of the exponential law; above 0 it favours late frames, below 0 early ones.
        alpha: Of the Beta law.
        beta: Of the Beta law.
    """

    law: str = 'uniform'
    rate: float = 5.0
    alpha: float = 2.0
    beta: float = 2.0

    def sample(self, rng: np.random.Generator, count: int) -> Times:
        """(count,) times in [0, 1).

        Raises:
            ValueError: There is no such law.
        """
        if self.law not in LAWS:
            raise ValueError(f'the law is one of {", ".join(LAWS)}, not "{self.law}"')
        if self.law == 'beta':
            return np.minimum(rng.beta(self.alpha, self.beta, count), np.nextafter(1, 0))
        part = rng.random(count)
        if self.law == 'uniform' or abs(self.rate) < 1e-6:
            return part
        # The inverse of the distribution function (exp(rate t) - 1) / (exp(rate) - 1).
        return np.asarray(np.log1p(part * math.expm1(self.rate)) / self.rate)


@dataclass
class Clips:
    """B clips, as rows of the store.

    Attributes:
        first: (B,) where the clip begins.
        goal: (B,) where it leads.
        here: (B,) a frame before the end of the clip.
        next: (B,) the frame after it.
        stream: (B,) which camera stream all four are seen through.
        task: (B,) whether the goal is of another episode.
    """

    first: Indices
    goal: Indices
    here: Indices
    next: Indices
    stream: Indices
    task: NDArray[np.bool_]


class ClipSampler:
    """Draws clips, and whole videos, from some episodes of a store."""

    def __init__(
        self,
        store: FrameStore,
        episodes: Indices,
        *,
        streams: int = 1,
        first: FirstFrame | None = None,
        p_task: float = 0.0,
    ) -> None:
        """Indexes the episodes.

        Args:
            store: The frames.
            episodes: Which episodes to draw from, each as often as any other.
            streams: How many camera streams each episode has; each is a video of its own.
            first: Law of the first frame.
            p_task: Probability of a goal of another episode, for episodes that succeeded.

        Raises:
            ValueError: No episode has two frames.
        """
        self.law = first or FirstFrame()
        self.streams = streams
        self.p_task = p_task
        self.starts, self.lengths = store.starts, store.lengths
        self.episodes = episodes[store.lengths[episodes] >= 2]
        if not len(self.episodes):
            raise ValueError('no transition: every episode has a single frame')
        done = np.where(store.outcome == SUCCESS, store.success_index, -1)
        self.done = done  # frame within the episode; below 1 there is no way to it
        numbers = {name: number for number, name in enumerate(dict.fromkeys(store.instructions))}
        self.task = np.array([numbers[name] for name in store.instructions])
        frames = store.frames_of(self.episodes)
        goals = frames[store.done[frames]]
        self.task_goals = _Pools(goals, self.task[store.episode_of[goals]], len(numbers))
        # Videos of the task being done: cycles through failures would align what is not alike.
        known = bool((store.outcome != UNKNOWN).any())
        self.videos = self.episodes[done[self.episodes] >= 1] if known else self.episodes
        self.video_pools = _Pools(self.videos, self.task[self.videos], len(numbers))

    def sample(self, rng: np.random.Generator, count: int) -> Clips:
        """Draws `count` clips."""
        episode = rng.choice(self.episodes, count)
        stream = rng.integers(0, self.streams, count)
        last = self.lengths[episode] - 1
        task = (rng.random(count) < self.p_task) & (self.done[episode] >= 1)
        last = np.where(task, self.done[episode], last)
        time = self.law.sample(rng, count)
        first = np.floor(time * np.maximum(last - 1, 1)).astype(np.int64)
        goal = np.where(task, last, first + 1 + _below(rng, last - first))
        here = first + _below(rng, goal - first)
        base = self.starts[episode]
        shown = base + goal
        shown[task] = self.task_goals.sample(rng, self.task[episode[task]])
        following = np.minimum(here + 1, goal)
        return Clips(base + first, shown, base + here, base + following, stream, task)

    def frames_per_video(self, wanted: int) -> int:
        """N of `sample_videos`: as many as wanted, or as the shortest video has.

        Zero where there is no video of the task being done.
        """
        if not len(self.videos):
            return 0
        return min(wanted, int(self._video_lengths(self.videos).min()))

    def sample_videos(
        self, rng: np.random.Generator, count: int, frames: int
    ) -> tuple[Indices, Indices, Times]:
        """Draws videos of one task being done, up to the success, and some frames of each.

        The task is that of a random video; the videos are pairs of an episode and a stream, all
        different if the task has so many.

        Returns:
            Rows of the store (count, N), streams (count,), and times (count, N) in [0, 1]; the
            frames of a video are in order, one drawn from each of N equal parts.
        """
        number = self.frames_per_video(frames)
        alike = self.video_pools.of(self.task[rng.choice(self.videos)])
        total = len(alike) * self.streams
        pairs = rng.choice(total, count, replace=total < count)
        episode, stream = alike[pairs // self.streams], pairs % self.streams
        length = self._video_lengths(episode)[:, None]
        edges = np.arange(number + 1) * length // number
        offset = edges[:, :-1] + _below(rng, np.diff(edges, axis=1))
        return self.starts[episode][:, None] + offset, stream, offset / (length - 1)

    def _video_lengths(self, episodes: Indices) -> Indices:
        done = self.done[episodes]
        return np.where(done >= 1, done + 1, self.lengths[episodes])


class _Pools:
    """Numbers by the task that they belong to."""

    def __init__(self, numbers: Indices, tasks: Indices, n_tasks: int) -> None:
        self.numbers = numbers[np.argsort(tasks, kind='stable')]
        self.sizes = np.bincount(tasks, minlength=n_tasks)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def of(self, task: int) -> Indices:
        return self.numbers[self.starts[task] : self.starts[task] + self.sizes[task]]

    def sample(self, rng: np.random.Generator, tasks: Indices) -> Indices:
        """One for each task, none of which may be without."""
        return np.asarray(self.numbers[self.starts[tasks] + _below(rng, self.sizes[tasks])])


def _below(rng: np.random.Generator, high: Indices) -> Indices:
    """Uniform over [0, high), each entry by its own bound, which is at least 1."""
    return np.floor(rng.random(high.shape) * high).astype(np.int64)
