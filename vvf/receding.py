# SPDX-License-Identifier: Apache-2.0
"""Receding horizon: some steps of each chunk are executed, the next chunk is computed meanwhile.

A chunk's first step belongs to the moment of its observation. While the policy computes, steps of
the last chunk go on being executed, so as many steps of the new one are over when it comes: they
are cut, and what follows is led into from the old chunk (`vvf.chunk_blend`). Steps are counted, not
timed: where the arm had to hold, nothing was executed and nothing is cut, or a part of the way
would be missing. (Black et al., arXiv 2506.07339, alg. 1; the delay is measured likewise.) No step
is executed later than a chunk lasts after what it was computed from was seen, no chunk begun when
that is longer ago than a bound, and none goes on after a gap in the observations: by then the world
is another one.

No ROS and no clock in here: the caller brings observations at the action rate (`tick`), asks what
the policy should compute (`ask`) and hands over what it answered (`answer`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf.chunk_blend import Rows, blend

_REMEMBERED = 5  # inferences whose time is remembered
_MARGIN = 1.1  # an inference may take so much longer than those
_PROMPT = 0.5  # of a step: an inference this short is waited for, if each chunk gives one step

#: After a longer gap between two observations, in steps, nothing goes on of what was planned.
GAP = 2.5


@dataclass(frozen=True)
class Ask:
    """What the policy should compute.

    Attributes:
        observation: what was given to `tick`.
        previous: (K, A) what is executed, or planned, from that observation on.
        frozen: how many of these will have been executed when the answer comes.
    """

    observation: Any
    previous: Rows
    frozen: int
    slot: int
    seen_at: float
    generation: int


@dataclass(frozen=True)
class _Tick:
    observation: Any
    slot: int
    now: float


class RecedingHorizon:
    """Decides which step is executed next, and when the next chunk is asked for.

    Times are seconds of a steady clock.

    Args:
        execute: steps of each chunk that are executed; more where an inference takes longer.
        horizon: steps of a chunk.
        blend: steps over which a chunk takes over from the last one, at most `execute` - 1.
        dt: duration of a step, s.
        grippers: (A,) which numbers of a step are grippers.
        max_age: of the observation that a chunk was computed from, when its first step is executed,
            s. An inference that takes longer gives nothing to execute.

    Attributes:
        late: steps at which there was nothing to execute, as the policy still computed.
        dropped: chunks that came when all of their steps were over, or what was seen too old.
        chunks: chunks that were executed, or a part of them.
        busy: whether the policy computes.
    """

    def __init__(
        self,
        execute: int,
        horizon: int,
        blend: int,
        dt: float,
        grippers: NDArray[np.bool_],
        max_age: float = math.inf,
    ) -> None:
        self._execute, self._horizon = min(execute, horizon), horizon
        self._blend, self._dt, self._grippers = blend, dt, grippers
        self._max_age = max_age
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self._generation = 0
        self.late = self.dropped = self.chunks = 0
        self.busy = False
        self.reset()

    def reset(self) -> None:
        """Forget what was planned, and what the policy computes now: the world has changed."""
        self._generation += 1
        self._slot = 0  # the step that is executed next
        self._plan: Rows = np.zeros((0, len(self._grippers)), np.float32)
        self._plan_slot = 0  # the step that its first row belongs to
        self._until = 0  # the first step that it is not executed in any more
        self._over = math.inf  # the time at which all of it is too old
        self._next: tuple[Rows, Ask] | None = None
        self._newest: _Tick | None = None
        self._waiting = False
        self._asked: float | None = None  # when that was seen which was asked about last

    @property
    def delay(self) -> int:
        """Steps that are executed while the policy computes."""
        # The second longest time: one hiccup must not make the policy plan farther ahead.
        times = sorted(self._took)[-2:]
        steps = _MARGIN * (times[0] if times else 0.0) / self._dt
        if self._execute == 1 and steps < _PROMPT:
            return 0
        return min(max(1, math.ceil(steps)), self._horizon - 1)

    def tick(self, observation: Any, now: float) -> Rows | None:
        """Take an observation; a step is due.

        Returns:
            (N, A) what is executed from now on, its first row in this step; None where there is
            nothing yet: `answer` gives it then.
        """
        if self._newest is not None and now - self._newest.now > GAP * self._dt:
            self.reset()
        self._newest = _Tick(observation, self._slot, now)
        rows = self._step(now)
        self._waiting = rows is None
        if self._waiting and self.busy:
            self.late += 1
        return rows

    def ask(self) -> Ask | None:
        """What the policy should compute now; None while it does, or need not yet.

        It is asked once about each observation: a second answer would keep it from the next one.
        """
        tick = self._newest
        if self.busy or tick is None or self._next is not None or tick.now == self._asked:
            return None
        if self._until - tick.slot > self.delay:
            return None
        self.busy, self._asked = True, tick.now
        previous = self._plan[tick.slot - self._plan_slot :]
        frozen = min(self.delay, max(0, self._until - tick.slot))
        return Ask(tick.observation, previous, frozen, tick.slot, tick.now, self._generation)

    def answer(self, ask: Ask, chunk: Rows | None, seconds: float, now: float) -> Rows | None:
        """Take what the policy answered.

        Args:
            ask: the question.
            chunk: (H, A); None if it could not answer.
            seconds: how long it computed.
            now: time, s.

        Returns:
            As of `tick`, where a step has been waited for, and the question's observation is the
            newest: to another one belongs the next step.
        """
        self.busy = False
        self._took.append(seconds)
        if ask.generation != self._generation or chunk is None:
            return None
        if self._too_late(chunk, ask, now) or self._slot - ask.slot >= len(chunk):
            self.dropped += 1
            return None
        self._next = chunk, ask
        newest = self._newest is not None and self._newest.now == ask.seen_at
        return self._step(now) if self._waiting and newest else None

    def _end(self, chunk: Rows, ask: Ask) -> float:
        """The time at which a chunk is over."""
        return ask.seen_at + len(chunk) * self._dt

    def _too_late(self, chunk: Rows, ask: Ask, now: float) -> bool:
        """Whether a chunk may not be begun any more."""
        return now > min(self._end(chunk, ask), ask.seen_at + self._max_age)

    def _step(self, now: float) -> Rows | None:
        if now > self._over:
            self._plan, self._plan_slot = self._plan[:0], self._slot
            self._until, self._over = self._slot, math.inf
        if self._next is not None and self._too_late(*self._next, now):
            self._next = None
            self.dropped += 1
        if self._slot >= self._until:
            self._take_over()
        if self._slot >= self._until:
            return None
        rows = self._plan[self._slot - self._plan_slot :]
        self._slot += 1
        self._waiting = False
        return rows

    def _take_over(self) -> None:
        """The next chunk, if there is one, from the step that is due."""
        if self._next is None:
            return
        chunk, ask = self._next
        self._next = None
        fresh = chunk[self._slot - ask.slot :]
        count = min(max(self._execute, self.delay), len(fresh))
        left = self._plan[self._slot - self._plan_slot :]
        self._plan = blend(left, fresh, min(self._blend, count - 1), self._grippers)
        self._plan_slot = self._slot
        self._until = self._slot + count
        self._over = self._end(chunk, ask)
        self.chunks += 1
