# SPDX-License-Identifier: Apache-2.0
"""`vvf bench faults`: a broken rule is found, the same faults come again, two come for real."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vvf.bench import faults
from vvf.bench.faults_changes import CHANGES
from vvf.bench.faults_judge import (
    Heard,
    Trace,
    limit_violations,
    motion,
    stale_motion,
    time_to_hold,
)
from vvf.bench.faults_kinds import KINDS, Fault, Reaction, plan
from vvf.bench.faults_relay import STREAMS
from vvf.bench.faults_run import Result, rules_of
from vvf.bench.faults_table import markdown, summarise
from vvf.bench.notes import Notes
from vvf.cli.main import main

HOME = np.array([0.0, -0.6, 0.7, 0.0, 1.4, 0.0, 0.03])
RULES = rules_of()
TIMES = np.arange(0.0, 6.0, 0.02)


def sweep(until: float = 6.0, speed: float = 0.2) -> np.ndarray:
    """The waist turns to and fro until some time; (n, 7)."""
    joints = np.tile(HOME, (len(TIMES), 1))
    at = np.minimum(TIMES, until)
    joints[:, 0] = speed * np.abs((at + 1.0) % 2.0 - 1.0)
    return joints


def seen(joints: np.ndarray, quiet: dict[str, float] | None = None) -> Trace:
    """Data come ten times a second, of a stream in `quiet` only until that time."""
    heard = {}
    for name in ('action', 'value', 'recorder'):
        stamps = np.arange(-0.1, (quiet or {}).get(name, 6.0), 0.1)
        heard[name] = Heard(stamps + 0.02, stamps)
    return Trace(TIMES, joints, heard)


def judged(trace: Trace) -> list[str]:
    return limit_violations(trace, RULES.limits) + stale_motion(trace, RULES.ages)


def test_an_arm_that_obeys_breaks_no_rule() -> None:
    assert judged(seen(sweep())) == []
    assert judged(seen(sweep(until=3.0), {'action': 2.5})) == []


@pytest.mark.parametrize(
    ('joint', 'change', 'word'),
    [
        (3, lambda q: q + 3.2 * (TIMES > 2) * np.minimum(TIMES - 2, 1), 'forearm_roll was 0.0'),
        (0, lambda q: q + 0.4 * (TIMES > 2), 'waist moved 0.4'),
        (5, lambda q: q + 2.2 * np.clip(TIMES - 2, 0, 0.5) / 0.5, 'wrist_rotate moved'),
        (1, lambda q: q + 1.2 * np.clip(TIMES - 2, 0, 1), 'outside the workspace'),
        (4, lambda q: q + np.where(TIMES > 2, np.nan, 0.0), 'no number'),
    ],
)
def test_a_broken_limit_is_found(joint: int, change, word: str) -> None:
    joints = sweep()
    joints[:, joint] = change(joints[:, joint])
    found = limit_violations(seen(joints), RULES.limits)
    assert any(word in sentence for sentence in found), found


def test_a_trace_of_nothing_is_no_proof() -> None:
    empty = Trace(np.empty(0), np.empty((0, 7)), {})
    assert limit_violations(empty, RULES.limits)


@pytest.mark.parametrize(
    ('stream', 'word'), [('action', 'actions'), ('value', 'values'), ('recorder', 'recorder')]
)
def test_motion_on_old_data_is_found(stream: str, word: str) -> None:
    found = stale_motion(seen(sweep(), {stream: 2.0}), RULES.ages)
    assert any(word in sentence for sentence in found), found


def test_motion_on_old_images_is_found_though_actions_are_new() -> None:
    trace = seen(sweep())
    late = Heard(trace.heard['action'].arrived, trace.heard['action'].stamped - 1.5)
    found = stale_motion(replace(trace, heard={**trace.heard, 'action': late}), RULES.ages)
    assert found == ['the arm moved on images behind the actions 1.61 s old, 0.6 s are allowed']


def test_the_time_to_hold_is_that_of_the_last_motion() -> None:
    trace = seen(sweep(until=2.5))
    assert time_to_hold(trace, 2.0, 4.0) == pytest.approx(0.5, abs=0.06)
    assert time_to_hold(trace, 3.0, 4.0) == 0.0
    trembling = seen(sweep(until=0.0) + 0.002 * np.sin(40 * TIMES)[:, None])
    assert not motion(trembling).size
    with_a_gap = TIMES < 2
    cut = Trace(
        np.append(TIMES[with_a_gap], TIMES[TIMES > 4]),
        np.concatenate([sweep()[with_a_gap], sweep()[TIMES > 4]]),
        trace.heard,
    )
    moved = motion(cut)
    assert not ((moved > 2.1) & (moved < 3.9)).any(), 'nobody knows'


def test_of_a_seed_the_same_faults_come_each_kind_before_any_comes_twice() -> None:
    first = plan(2 * len(KINDS), 3)
    assert first == plan(2 * len(KINDS), 3)
    assert first[:5] == plan(5, 3)
    assert [f.kind for f in first] != [f.kind for f in plan(len(first), 4)]
    assert set(Counter(f.kind for f in first[: len(KINDS)]).values()) == {1}
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_every_fault_is_known_to_who_injects_it() -> None:
    for kind in KINDS:
        if kind.target in STREAMS and kind.group not in ('kill', 'restart', 'freeze'):
            assert kind.change in {*CHANGES, 'late', 'old ones again'}, kind.name
        if kind.reaction is Reaction.HOLDS:
            assert 0.3 < RULES.hold_within(kind.watched) < 3.0


def test_what_was_done_is_not_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'faults.json'
    kinds = [fault.kind for fault in plan(2, 5)]
    notes = Notes(out)
    for i, kind in enumerate(kinds):
        wrong = ['it moved'] * i
        result = Result(i, kind.name, kind.group, kind.reaction.value, 1.0, 0.4 + i)
        notes.add({**replace(result, violations=wrong).plain(), 'seed': 5})
    notes.add({'index': 0, 'seed': 6})  # of another campaign
    with out.with_name('faults.json.partial').open('a') as file:
        file.write('{"index": 1, "se')  # killed while it wrote
    table = tmp_path / 'faults.md'
    arguments = ['--faults', '2', '--seed', '5', '--json', str(out), '--table', str(table)]
    assert main(['bench', 'faults', *arguments]) == 1, 'a rule was broken'
    assert '3 results of a run that was stopped' in capsys.readouterr().out
    told = json.loads(out.read_text())
    assert (told['faults'], told['violations']) == (2, 1)
    assert {row['hold_s_worst'] for row in told['rows']} == {0.4, 1.4}
    left = out.with_name('faults.json.partial').read_text().splitlines()
    assert [json.loads(line) for line in left] == [{'index': 0, 'seed': 6}]
    assert kinds[1].name in table.read_text()


def test_a_table_says_how_long_and_how_often() -> None:
    results = [
        Result(i, 'drop: value lost', 'drop', 'holds', 1.2, hold, 0.5, {'stale_value': 1}).plain()
        for i, hold in enumerate((0.7, 0.9, None))
    ]
    lines = markdown(summarise(results)).splitlines()
    wanted = '| drop: value lost | holds | 0.80 | 0.90 | 1.20 | 0.50 | stale_value | 3 | 0 |'
    assert lines[2] == wanted
    assert len({line.count('|') for line in lines}) == 1


@pytest.mark.parametrize(
    ('option', 'word'), [(['--faults', '0'], '--faults'), (['--only', 'x!'], 'x!')]
)
def test_mistakes_are_said(
    option: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['bench', 'faults', *option]) == 2
    assert word in capsys.readouterr().err


def test_two_faults_in_a_real_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    kinds = {kind.name: kind for kind in KINDS}
    names = ('NaN: action NaN', 'disk: episode full')
    wanted = [Fault(i, kinds[name], 0.0, 1.4, i) for i, name in enumerate(names)]
    nan, full = faults.campaign(wanted, tmp_path, print)
    # How long it took says more of what else this machine does than of the arm.
    timed = ('it stood after', 'the arm moved on')
    broken = [v for result in (nan, full) for v in result['violations'] if not v.startswith(timed)]
    assert broken == []
    assert nan['counted']['non_finite'] > 3
    assert nan['complete']
    assert nan['recovered_s'] is not None
    assert full['counted']['stale_recorder'] == 1
    assert not full['complete']
    for result in (nan, full):
        assert result['hold_s'] is not None
        assert result['messages'] > 50
