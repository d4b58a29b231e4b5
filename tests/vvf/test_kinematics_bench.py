# SPDX-License-Identifier: Apache-2.0
"""`vvf bench kinematics`: what it counts, and beside what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vvf.bench import kinematics
from vvf.cli.main import main


def test_all_poses_are_solved_and_the_usual_ways_stand_beside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'kinematics.json'
    arguments = ['--arms', 'wx250s', '--poses', '6', '--json', str(out)]
    assert main(['bench', 'kinematics', *arguments]) == 0
    assert '| wx250s | home | vvf | 100.0 % |' in capsys.readouterr().out
    told = json.loads(out.read_text())
    rows = {(row['guess'], row['method']): row for row in told['rows']}
    assert len(rows) == 2 * len(kinematics.SOLVERS)
    for guess in ('home', 'random'):
        own = rows[guess, 'vvf']
        assert (own['solved'], own['within_limits'], own['times_slower']) == (6, 6, 1.0)
        assert own['worst_position_mm'] < 1e-2
        assert own['worst_rotation_deg'] < 1e-2
        for method in kinematics.SOLVERS:
            assert rows[guess, method]['solved'] <= 6


def test_what_is_missed_counts_as_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinematics.SOLVERS, 'lazy', lambda arm, pose, guess: guess)
    row = kinematics.measure('fr3', 'lazy', 'home', 4, 0)
    assert (row['solved'], row['within_limits'], row['success']) == (0, 4, 0.0)
    assert row['worst_position_mm'] > 100

    monkeypatch.setitem(kinematics.SOLVERS, 'wild', lambda arm, pose, guess: guess + 9.0)
    assert kinematics.measure('fr3', 'wild', 'random', 4, 0)['within_limits'] == 0


def test_no_poses_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['bench', 'kinematics', '--poses', '0']) == 2
    assert '--poses' in capsys.readouterr().err
