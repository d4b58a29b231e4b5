# SPDX-License-Identifier: Apache-2.0
"""A joint move starts and ends at rest, keeps its limits, and all joints arrive together."""

from __future__ import annotations

import numpy as np
import pytest

from vvf.joint_move import JointMove

VELOCITY = np.array([1.0, 0.5, 2.0])
ACCELERATION = np.array([2.0, 4.0, 1.0])


@pytest.mark.parametrize('far', [1e-4, 0.05, 0.5, 3.0])
@pytest.mark.parametrize('seed', range(5))
def test_a_move_keeps_its_limits_and_rests_at_both_ends(far: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, goal = rng.uniform(-far, far, (2, 3))
    move = JointMove(start, goal, VELOCITY, ACCELERATION)
    step = move.duration / 2000
    q = np.array([move.at(k * step) for k in range(-2, 2003)])
    velocity = np.diff(q, axis=0) / step
    acceleration = np.diff(velocity, axis=0) / step
    assert (np.abs(velocity) <= VELOCITY * (1 + 1e-6)).all()
    assert (np.abs(acceleration) <= ACCELERATION * (1 + 1e-3)).all()
    assert not velocity[[0, -1]].any(), 'at rest before and after'
    np.testing.assert_allclose(velocity[[2, -3]], 0.0, atol=2 * step * ACCELERATION.max())
    np.testing.assert_allclose(q[0], start)
    np.testing.assert_allclose(q[-1], goal)


def test_one_joint_at_least_is_as_fast_as_it_may_be() -> None:
    move = JointMove(np.zeros(3), np.array([2.0, 0.1, 0.1]), VELOCITY, ACCELERATION)
    middle = move.duration / 2
    velocity = (move.at(middle + 0.01) - move.at(middle - 0.01)) / 0.02
    np.testing.assert_allclose(velocity, [1.0, 0.05, 0.05])
    assert move.duration == pytest.approx(2.0 / 1.0 + 1.0 / 2.0)


def test_all_joints_arrive_together() -> None:
    goal = np.array([1.0, -0.3, 0.7])
    move = JointMove(np.zeros(3), goal, VELOCITY, ACCELERATION)
    for part in np.linspace(0, 1, 7):
        done = move.at(part * move.duration) / goal
        np.testing.assert_allclose(done, done[0])


def test_no_way_takes_no_time() -> None:
    here = np.array([0.1, 0.2, 0.3])
    move = JointMove(here, here, VELOCITY, ACCELERATION)
    assert move.duration < 1e-3
    np.testing.assert_allclose(move.at(0.5 * move.duration), here)


@pytest.mark.parametrize(
    ('goal', 'velocity'), [([np.nan, 0, 0], VELOCITY), ([1, 1, 1], np.zeros(3))]
)
def test_a_move_that_cannot_be_is_refused(goal, velocity) -> None:
    with pytest.raises(ValueError, match='finite poses'):
        JointMove(np.zeros(3), goal, velocity, ACCELERATION)
