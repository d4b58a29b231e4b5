# SPDX-License-Identifier: Apache-2.0
"""`vvf bench gate`: what counts as noticed and as false, which bound is chosen, what is told."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vvf.pool
from vvf.bench.gate_judge import Judged, best_bound, falls_of, judge
from vvf.cli.main import main
from vvf.rollouts import Rollout, RolloutJob
from vvf.stored_results import read_results
from vvf.value_gate import GateConfig

PERIOD = 0.2
AT = 10  # index of the frame in which what is disturbed begins to show


def rollout(seed: int, depth: float = 0.0, late: int = 0, **entries: Any) -> Rollout:
    """Progress that rises, and falls by `depth`, so many frames after the disturbance."""
    progress = np.linspace(0.2, 0.8, 30)
    progress[AT + late :] -= depth
    known = {'success': True, 'steps': 30, 'failure_kind': '', 'progress': tuple(progress)}
    return Rollout(seed, **{**known, **entries})


def test_a_fall_counts_if_it_follows_within_a_second() -> None:
    gate, stamp = GateConfig('report', 0.25), (AT - 1) * PERIOD
    disturbed = [
        rollout(0, 0.4, disturbed_at=stamp),
        rollout(1, 0.4, late=3, disturbed_at=stamp),
        rollout(2, 0.4, late=5, disturbed_at=stamp),  # noticed too late
        rollout(3, 0.1, disturbed_at=stamp),  # too small a fall
        rollout(4, 0.4, disturbed_at=stamp + 2.0),  # falls before it is disturbed
        rollout(5, 0.4),  # never disturbed
    ]
    clean = [
        rollout(6),
        rollout(7, 0.4),  # a false alarm
        rollout(8, 0.4, errors=('dropped',)),  # the policy's own error
        rollout(9, 0.4, success=False),
    ]
    found = judge(disturbed, clean, gate, PERIOD)
    assert (found.disturbed, found.noticed) == (5, 2)
    assert (found.clean, found.false_alarms) == (2, 1)
    assert found.share == pytest.approx(0.4)
    assert found.false_per_100 == pytest.approx(50.0)
    # Two of three values have to be low, and the first is one frame after the disturbance.
    assert falls_of(disturbed[0], gate, PERIOD) == pytest.approx([(AT + 1) * PERIOD])
    assert found.delay_s == pytest.approx(np.mean([2 * PERIOD, 5 * PERIOD]))


def test_a_fall_in_the_very_frame_of_the_disturbance_is_none_of_its() -> None:
    gate = GateConfig('report', 0.25)
    # The physics' clock, which adds up its ticks, is behind by rounding, or ahead.
    for off in (-1e-12, 0.0, 1e-12):
        same = rollout(0, 0.4, disturbed_at=(AT + 1) * PERIOD + off)
        assert judge([same], [], gate, PERIOD).noticed == 0
        before = rollout(0, 0.4, disturbed_at=AT * PERIOD + off)
        assert judge([before], [], gate, PERIOD).noticed == 1
        whole = rollout(0, 0.4, late=3, disturbed_at=(AT - 1) * PERIOD + off)
        assert judge([whole], [], gate, PERIOD).noticed == 1, 'a second later'


def test_nothing_to_judge_is_no_number() -> None:
    found = judge([], [], GateConfig('report'), PERIOD)
    assert math.isnan(found.share)
    assert math.isnan(found.false_per_100)
    assert math.isnan(found.delay_s)


def bound(drop: float, noticed: int, false_alarms: int) -> Judged:
    return Judged(drop, 100, noticed, 0.0, 1.0, 0.4, 100, false_alarms)


def test_the_bound_that_notices_most_with_few_false_alarms() -> None:
    swept = [bound(0.1, 99, 20), bound(0.2, 90, 5), bound(0.25, 90, 3), bound(0.3, 80, 0)]
    assert best_bound(swept, 5.0).drop == 0.25
    assert best_bound(swept, 30.0).drop == 0.1
    assert best_bound(swept[:2], 1.0).drop == 0.2


class Fake:
    """Rollouts by the book, instead of those of other processes; counts them."""

    def __init__(self) -> None:
        self.jobs: list[RolloutJob] = []

    def __call__(self, function: Any, jobs: Any, workers: int, engine: str) -> Iterator[Rollout]:
        for job in jobs:
            self.jobs.append(job)
            stamp = math.nan if job.disturbance is None else (AT - 1) * PERIOD
            # Slips are noticed, pushes are not; whoever stops has not succeeded.
            depth = 0.3 if job.disturbance and job.disturbance.kind == 'slip' else 0.0
            falls = (2.2,) if depth and job.gate.reaction != 'none' else ()
            yield rollout(
                job.seed,
                depth,
                success=not falls,
                disturbed_at=stamp,
                falls=falls,
                takeovers=len(falls),
                human_steps=3 * len(falls),
            )


def test_the_command_tells_what_was_run_and_runs_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    monkeypatch.setattr(vvf.pool, 'run_jobs', fake)
    out, numbers = tmp_path / 'out', tmp_path / 'gate.json'
    command = ['bench', 'gate', '--episodes', '8', '--clean', '5', '--reactions', 'stop', 'human']
    command += ['--drops', '0.1', '0.2', '0.5', '--out', str(out), '--json', str(numbers)]
    assert main(command) == 0
    text = capsys.readouterr().out
    # Each drop counts less what the progress gains in two steps.
    assert '| 0.2 (chosen) | 0.50 | 0.0 |' in text
    assert '| slip | 4 of 4 (' in text
    assert '| push | 0 of 4 (' in text
    assert '| stop | 0 of 4, 30.0 | 4 of 4, 30.0 | 5 of 5, 30.0 | 10% / 0% / 0% |' in text
    # Twice thirteen were watched, and of the rest only the four with falls run, for each reaction.
    assert len(fake.jobs) == 2 * 13 + 2 * 4
    watched = [job.seed for job in fake.jobs if job.gate.reaction == 'none']
    assert len(set(watched)) == 26
    assert {job.gate.drop for job in fake.jobs if job.gate.reaction == 'stop'} == {0.2}
    found = json.loads(numbers.read_text())
    assert found['drop'] == 0.2
    assert found['told']['both']['noticed'] == 4
    (stopped,) = (r for r in found['reactions'] if (r['reaction'], r['kind']) == ('stop', 'slip'))
    assert stopped['against_none']['only_first'] == 4
    results = {(r.method, r.condition): r for r in read_results([out])}
    assert len(results) == 9
    assert results['none', 'slip'].numbers['gate_share'] == 1.0
    assert results['stop', 'slip'].successes == 0
    took = {key: result.seconds for key, result in results.items()}
    assert all(seconds >= 0 for seconds in took.values())

    assert main(command) == 0
    assert len(fake.jobs) == 34
    again = {(r.method, r.condition): r.seconds for r in read_results([out])}
    assert again == took
    assert capsys.readouterr().out.splitlines()[-1] == text.splitlines()[-1]
