# SPDX-License-Identifier: Apache-2.0
"""Receding horizon without ROS: which step is executed when, what is late, and the seams."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from vvf.chunk_blend import blend
from vvf.receding import Ask, RecedingHorizon

DT = 0.2
MOVES_AND_GRIP = np.array([False, True])


def numbered(ask: Ask, horizon: int) -> np.ndarray:
    """A chunk whose steps are numbered from that of its observation on; the gripper is open."""
    steps = ask.observation + np.arange(horizon)
    return np.stack([steps, np.ones(horizon)], 1).astype(np.float32)


class Loop:
    """Ticks, and a policy that answers so many ticks after it was asked.

    Args:
        takes: Seconds of each inference, of which the last is repeated.
        chunk: What is answered to a question.
    """

    def __init__(
        self,
        horizon: RecedingHorizon,
        takes: list[float],
        chunk: Callable[[Ask], np.ndarray] = lambda ask: numbered(ask, 8),
    ) -> None:
        self.plan, self._takes, self._chunk = horizon, deque(takes), chunk
        self._due: tuple[float, float, Ask] | None = None
        self.executed: list[np.ndarray | None] = []
        self.asks: list[Ask] = []

    def run(self, ticks: int) -> Loop:
        for number in range(ticks):
            self._until(number * DT)
            # The observation is the number of steps that were executed before it.
            done = sum(step is not None for step in self.executed)
            rows = self.plan.tick(done, number * DT)
            self.executed.append(None if rows is None else rows[0])
            self._ask(number * DT)
        return self

    def _until(self, now: float) -> None:
        while self._due is not None and self._due[0] < now - 1e-9:
            at, seconds, ask = self._due
            self._due = None
            rows = self.plan.answer(ask, self._chunk(ask), seconds, at)
            if rows is not None:
                assert self.executed[-1] is None
                self.executed[-1] = rows[0]
            self._ask(at)

    def _ask(self, now: float) -> None:
        ask = self.plan.ask()
        if ask is not None:
            self.asks.append(ask)
            takes = self._takes.popleft() if len(self._takes) > 1 else self._takes[0]
            self._due = now + takes, takes, ask

    def waited(self, since: int = 0) -> list[int]:
        """The ticks in which nothing was executed."""
        return [n for n, step in enumerate(self.executed) if step is None and n >= since]

    @property
    def steps(self) -> list[int]:
        """The numbers of the steps that were executed."""
        return [int(step[0]) for step in self.executed if step is not None]


def made(execute: int, horizon: int = 8, blend: int = 0) -> RecedingHorizon:
    return RecedingHorizon(execute, horizon, blend, DT, MOVES_AND_GRIP)


def test_a_quick_policy_that_gives_one_step_answers_each_observation() -> None:
    loop = Loop(made(1), [0.02]).run(10)
    assert [ask.frozen for ask in loop.asks] == [0] * 10
    assert loop.steps == list(range(9)), 'the tenth is still computed'
    assert loop.plan.late == 0


@pytest.mark.parametrize('takes', [0.02, 0.09, 0.15, 0.3])
def test_it_is_asked_once_about_each_observation(takes: float) -> None:
    loop = Loop(made(1), [takes]).run(40)
    seen = [ask.seen_at for ask in loop.asks]
    assert len(seen) == len(set(seen))
    if takes < DT:
        assert loop.plan.late == 0
        assert not loop.waited(3)[:-1], 'only the last is still computed'


@pytest.mark.parametrize('takes', [0.02, 0.15, 0.3, 0.5])
def test_the_next_chunk_is_computed_while_the_present_one_runs(takes: float) -> None:
    loop = Loop(made(4), [takes]).run(40)
    settled = loop.waited(10)
    assert not settled, 'no step waits once the time of an inference is known'
    assert loop.steps == list(range(len(loop.steps))), 'every step once, in its order'
    assert loop.plan.delay == np.ceil(1.1 * takes / DT)
    last = loop.asks[-2]
    assert last.frozen == loop.plan.delay
    # What it is told is under way are the steps from its observation on.
    assert last.previous[: last.frozen, 0].tolist() == [
        last.observation + i for i in range(last.frozen)
    ]


def test_one_step_of_each_chunk_becomes_as_many_as_an_inference_lasts() -> None:
    loop = Loop(made(1), [0.3]).run(40)
    assert not loop.waited(12)
    assert loop.steps == list(range(len(loop.steps)))


def test_what_is_late_is_counted_and_nothing_of_the_way_is_lost() -> None:
    loop = Loop(made(4), [0.02, 0.02, 0.5, 0.02]).run(20)
    assert loop.plan.late == 2, 'asked one step before the end, it took two and a half'
    assert loop.waited() == [8, 9], 'the answer came when neither was the newest sight any more'
    assert loop.steps == list(range(18))


def test_a_chunk_all_of_whose_steps_are_over_is_dropped() -> None:
    loop = Loop(made(4), [0.02, 8 * DT + 0.05, 0.02]).run(30)
    assert loop.plan.dropped == 1
    assert loop.plan.late >= 7
    assert loop.steps == list(range(len(loop.steps))), 'the next one starts from a newer sight'
    assert loop.executed[-2] is not None


def test_one_hiccup_does_not_make_it_plan_farther_ahead() -> None:
    loop = Loop(made(1), [0.02, 0.02, 0.9, 0.02]).run(30)
    assert loop.plan.delay == 0
    assert loop.executed[-2] is not None


def test_after_a_reset_nothing_that_was_planned_or_asked_for_is_executed() -> None:
    plan = made(4)
    plan.tick(0, 0.0)
    ask = plan.ask()
    assert plan.ask() is None, 'one inference at a time'
    plan.reset()
    assert plan.answer(ask, numbered(ask, 8), 0.1, 0.1) is None
    assert plan.tick(100, 0.2) is None
    again = plan.ask()
    assert again.observation == 100
    assert not len(again.previous)
    assert plan.answer(again, numbered(again, 8), 0.1, 0.3)[0, 0] == 100


def test_the_last_step_of_a_chunk_is_its_own_however_long_blending_lasts() -> None:
    """Blended over more steps than are executed, no chunk would ever be followed."""

    def constant(ask: Ask) -> np.ndarray:
        return np.stack([np.full(8, len(loop.asks), np.float32), np.ones(8, np.float32)], 1)

    loop = Loop(made(3, blend=8), [0.02], constant)
    executed = [step for step in loop.run(20).executed if step is not None]
    assert [float(step[0]) for step in executed[2::3]] == [1, 2, 3, 4, 5, 6]
    assert float(executed[3][0]) == pytest.approx(1 + 1 / 3)


def test_only_what_is_left_of_a_plan_is_said_to_be_under_way() -> None:
    plan = made(4)
    plan.tick(0, 0.0)
    first = plan.ask()
    assert plan.answer(first, numbered(first, 8), 0.5, 0.1) is not None
    assert plan.delay == 3
    plan.tick(1, DT)
    plan.tick(2, 2 * DT)  # asked late: one more step is left after this one
    ask = plan.ask()
    assert ask.observation == 2
    assert ask.frozen == 2
    plan.reset()
    plan.tick(9, 0.6)
    assert plan.ask() is None, 'an inference is under way'
    plan.answer(ask, numbered(ask, 8), 0.5, 0.65)
    again = plan.ask()
    assert (again.frozen, len(again.previous)) == (0, 0), 'nothing is executed meanwhile'


def test_a_policy_that_cannot_answer_is_asked_again() -> None:
    plan = made(2)
    plan.tick(0, 0.0)
    assert plan.answer(plan.ask(), None, 0.1, 0.1) is None
    assert plan.ask() is None, 'but not about the same sight over and over'
    plan.tick(0, 0.2)
    ask = plan.ask()
    assert plan.answer(ask, numbered(ask, 8), 0.1, 0.3) is not None


def test_after_a_gap_nothing_goes_on_of_what_was_planned_before() -> None:
    plan = made(4, blend=3)
    plan.tick(0, 0.0)
    plan.answer(plan.ask(), numbered(Ask(0, None, 0, 0, 0.0, 0), 8), 0.02, 0.02)
    assert plan.tick(1, DT)[0, 0] == 1
    assert plan.tick(100, 4.0) is None, 'the plan was for what was seen seconds ago'
    ask = plan.ask()
    assert not len(ask.previous)
    fresh = plan.answer(ask, numbered(ask, 8), 0.02, 4.02)
    assert fresh[:, 0].tolist() == list(range(100, 108)), 'and it is led into from nothing'


def test_an_answer_to_a_sight_from_before_a_gap_counts_no_more() -> None:
    plan = made(4)
    plan.tick(0, 0.0)
    ask = plan.ask()
    assert plan.tick(100, 0.6) is None
    assert plan.answer(ask, numbered(ask, 8), 0.65, 0.65) is None
    assert plan.tick(101, 0.8) is None
    assert plan.ask().observation == 101


def test_no_step_is_executed_after_the_time_of_its_chunk() -> None:
    """Observations at less than the rate: the steps take longer than was planned."""
    plan = made(8, horizon=8)
    now, executed = 0.0, []
    plan.tick(0, now)
    ask = plan.ask()
    executed.append(plan.answer(ask, numbered(ask, 8), 0.02, 0.02))
    for _ in range(10):
        now += 2 * DT
        executed.append(plan.tick(0, now))
    assert [rows is not None for rows in executed] == [True] * 5 + [False] * 6


def test_a_chunk_that_waits_for_its_turn_grows_too_old() -> None:
    plan = made(4)
    plan.tick(0, 0.0)
    first = plan.ask()
    plan.answer(first, numbered(first, 8), 0.02, 0.02)
    for number in (1, 2, 3):
        plan.tick(number, number * DT)
    second = plan.ask()
    assert second.seen_at == pytest.approx(3 * DT)
    short = numbered(second, 2)
    assert plan.answer(second, short, 0.02, 3 * DT + 0.02) is None, 'its turn is the next step'
    assert plan.tick(4, 5.4 * DT) is None
    assert plan.dropped == 1


def test_no_chunk_begins_from_a_sight_that_is_too_old() -> None:
    def loop(takes: float) -> Loop:
        horizon = RecedingHorizon(1, 50, 0, DT, MOVES_AND_GRIP, max_age=0.5)
        return Loop(horizon, [takes], lambda ask: numbered(ask, 50)).run(40)

    quick, slow = loop(0.35), loop(0.55)
    assert quick.plan.dropped == 0
    assert not quick.waited(3)
    assert slow.steps == []
    assert slow.plan.dropped == len(slow.asks) - 1 > 3, 'it is asked again, each time'


def test_what_was_waited_for_belongs_to_the_newest_sight() -> None:
    plan = made(1)
    plan.tick(0, 0.0)
    ask = plan.ask()
    assert plan.tick(0, DT) is None
    assert plan.answer(ask, numbered(ask, 8), 0.39, 0.39) is None, 'its sight is an old one'
    assert plan.tick(0, 2 * DT)[0, 0] == 0, 'nothing of it has been executed yet'
    assert plan.late == 1


def test_a_chunk_takes_over_in_equal_parts_and_with_its_own_gripper() -> None:
    old = np.array([[4.0, 1.0]] * 3, np.float32)
    new = np.array([[0.0, 0.0]] * 6, np.float32)
    led = blend(old, new, 3, MOVES_AND_GRIP)
    assert led[:, 0].tolist() == [3, 2, 1, 0, 0, 0]
    assert not led[:, 1].any()
    assert blend(old[:0], new, 3, MOVES_AND_GRIP).tolist() == new.tolist()
    assert blend(old, new, 0, MOVES_AND_GRIP).tolist() == new.tolist()


@pytest.mark.parametrize('positions', [False, True], ids=['displacements', 'joint positions'])
def test_there_is_no_jump_at_a_seam(positions: bool) -> None:
    """A policy that errs by a constant in each chunk: its jumps are spread over blend + 1 steps."""
    rng = np.random.default_rng(0)
    error, blended = 0.01, 3

    def chunk(ask: Ask) -> np.ndarray:
        time = ask.observation + np.arange(12)
        way = 0.02 * np.sin(0.15 * time) if not positions else 0.15 * np.cos(0.15 * time)
        move = way + rng.uniform(-error, error)
        return np.stack([move, np.ones(12)], 1).astype(np.float32)

    def changes(blended: int) -> np.ndarray:
        loop = Loop(made(5, 12, blended), [0.15], chunk).run(1000)
        assert loop.plan.chunks > 190
        executed = np.array([step[0] for step in loop.executed[5:-1]])
        return np.abs(np.diff(executed))

    within = (0.02 if not positions else 0.15) * 0.15  # of the way itself, per step
    # Errors of two chunks differ by 2 x error at most, and a chunk that was led into ends as its
    # own: of each difference a change holds one part in blend + 1.
    assert changes(blended).max() <= within + 2 * error / (blended + 1) + 1e-6
    assert changes(0).max() > 1.7 * error, 'which is not so without'
