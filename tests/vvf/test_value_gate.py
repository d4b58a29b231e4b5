# SPDX-License-Identifier: Apache-2.0
"""The gate notices falls of the progress, once, and nothing else; a retreat leads back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vvf.errors import UserError
from vvf.value_gate import Fall, GateConfig, PoseMemory, ValueGate

STEP = 0.1  # s between two values


def falls(progress, **changes) -> list[Fall]:
    gate = ValueGate(GateConfig(**{'reaction': 'report', **changes}))
    found = [gate.see(i * STEP, p) for i, p in enumerate(progress)]
    return [fall for fall in found if fall is not None]


def test_a_rise_with_noise_is_no_fall() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        progress = np.linspace(0, 1, 80) + 0.05 * rng.standard_normal(80)
        assert not falls(progress)


def test_a_drop_is_noticed_within_a_second_and_once() -> None:
    progress = np.concatenate([np.linspace(0, 0.7, 40), np.full(30, 0.2)])
    (fall,) = falls(progress)
    assert 40 * STEP <= fall.stamp < 41 * STEP + 1.0
    assert fall.best == pytest.approx(0.7, abs=0.05)
    assert fall.progress == pytest.approx(0.2)
    assert fall.best_stamp < 40 * STEP


def test_a_second_drop_is_noticed_too() -> None:
    once = np.concatenate([np.linspace(0, 0.7, 40), np.full(20, 0.2)])
    assert len(falls(np.concatenate([once, once]))) == 2


def test_a_clock_that_adds_up_its_ticks_says_the_same_as_an_even_one() -> None:
    """With window and rest of whole steps, a frame lies just at each bound."""
    period, ticks, count = 0.2, 100, 300
    even = np.arange(count) * period
    added = np.insert(
        np.cumsum(np.full(ticks * (count - 1), period / ticks))[ticks - 1 :: ticks], 0, 0
    )
    assert 0 < np.abs(added - even).max() < 1e-9
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(20):
        progress = np.clip(0.5 + 0.15 * np.cumsum(rng.standard_normal(count)), 0, 1)
        on_clocks = []
        for stamps in (even, added, even - 1e-9 * (np.arange(count) % 2)):
            gate = ValueGate(GateConfig('report'))
            falls = [gate.see(*seen) is not None for seen in zip(stamps, progress, strict=True)]
            on_clocks.append(np.flatnonzero(falls).tolist())
        assert on_clocks[0] == on_clocks[1] == on_clocks[2]
        found += len(on_clocks[0])
    assert found > 20


def test_single_outliers_are_no_fall() -> None:
    progress = np.linspace(0, 0.6, 60)
    progress[20] = 0.0
    progress[40] = 1.0
    assert not falls(progress)


def test_a_slow_decline_is_left_to_the_window() -> None:
    slow = np.linspace(0.8, 0.0, 400)
    assert not falls(slow)
    assert falls(slow, window_s=20.0)


def test_what_is_not_finite_or_comes_late_is_passed_over() -> None:
    gate = ValueGate(GateConfig(reaction='report'))
    for i in range(10):
        gate.see(i * STEP, 0.9)
    assert all(gate.see(1.0 + i * STEP, float('nan')) is None for i in range(3))
    assert all(gate.see(0.2 + i * STEP, 0.0) is None for i in range(5))
    assert all(gate.see(1.0 + i * STEP, 0.9) is None for i in range(10))
    assert any(gate.see(2.0 + i * STEP, 0.0) is not None for i in range(3))


def test_a_clock_that_is_set_back_does_not_make_it_deaf() -> None:
    gate = ValueGate(GateConfig(reaction='report'))
    for i in range(10):
        gate.see(100 + i * STEP, 0.9)
    progress = [0.9] * 10 + [0.1] * 5
    found = [gate.see(40 + i * STEP, p) for i, p in enumerate(progress)]
    assert [fall is not None for fall in found].count(True) == 1
    poses = PoseMemory(3.0)
    poses.add(100.0, (0, 0, 0), (0, 0, 0, 1))
    for i in range(3):
        poses.add(40 + i, (0.1 * i, 0, 0), (0, 0, 0, 1))
    way = poses.way_back(40.0, [-0.05] * 6, [0.05] * 6)
    assert way is not None
    np.testing.assert_allclose(way.sum(0), [-0.2, 0, 0, 0, 0, 0], atol=1e-12)


def test_after_a_fall_it_rests() -> None:
    twice = [0.9] * 10 + [0.1] * 5 + [0.9] * 10 + [0.1] * 5
    assert len(falls(twice, rest_s=0.0)) == 2
    assert len(falls(twice, rest_s=3.0)) == 1


@pytest.mark.parametrize(('period', 'window'), [(0.2, 0.1), (0.2, 0.4), (0.1, 0.2), (1.0, 2.0)])
def test_a_window_of_few_values_still_notices_a_fall(period: float, window: float) -> None:
    gate = ValueGate(GateConfig('report', window_s=window))
    progress = [0.9] * 8 + [0.05] * 8
    found = [gate.see(i * period, p) for i, p in enumerate(progress)]
    (fall,) = [fall for fall in found if fall is not None]
    assert fall.stamp <= 10 * period


def test_a_new_episode_forgets_the_old_one() -> None:
    gate = ValueGate(GateConfig(reaction='report'))
    for i in range(20):
        gate.see(i * STEP, 0.95)
    gate.reset()
    assert all(gate.see(2.0 + i * STEP, 0.05) is None for i in range(20))


def test_switched_off_it_says_nothing() -> None:
    assert not falls([1.0] * 20 + [0.0] * 20, reaction='none')


@pytest.mark.parametrize('changes', [{'reaction': 'panic'}, {'drop': 0.0}, {'window_s': 0.0}])
def test_settings_that_make_no_sense(changes: dict) -> None:
    with pytest.raises(UserError, match='value gate'):
        GateConfig(**changes)


LOW, HIGH = (-0.05,) * 3 + (-0.6,) * 3, (0.05,) * 3 + (0.6,) * 3


def test_a_retreat_leads_back_within_the_bounds_of_a_step() -> None:
    memory = PoseMemory(10.0)
    rng = np.random.default_rng(1)
    poses = []
    for i in range(30):
        turn = Rotation.from_euler('zyx', [0.05 * i, 0.02 * i, 0.0])
        poses.append((rng.uniform(-0.2, 0.2, 3), turn))
        memory.add(i * STEP, poses[-1][0], turn.as_quat())
    back = memory.way_back(0.5, LOW, HIGH)
    assert back is not None
    assert (back >= np.array(LOW) - 1e-9).all()
    assert (back <= np.array(HIGH) + 1e-9).all()
    position, turn = poses[-1]
    for step in back:
        position = position + step[:3]
        turn = Rotation.from_rotvec(step[3:]) * turn
    np.testing.assert_allclose(position, poses[5][0], atol=1e-9)
    assert (turn * poses[5][1].inv()).magnitude() < 1e-9


def test_nothing_remembered_nowhere_to_go() -> None:
    memory = PoseMemory(1.0)
    assert memory.way_back(0.0, LOW, HIGH) is None
    memory.add(0.0, np.zeros(3), [0, 0, 0, 1])
    assert memory.way_back(0.0, LOW, HIGH) is None
    memory.add(1.0, [np.nan, 0, 0], [0, 0, 0, 1])
    assert memory.way_back(0.0, LOW, HIGH) is None
