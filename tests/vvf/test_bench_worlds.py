# SPDX-License-Identifier: Apache-2.0
"""`vvf bench worlds`: outcomes and speeds of the simulated tasks, and going on where it was."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from vvf.bench.world_runs import SeedJob, SeedResult, play_seed
from vvf.bench.worlds import markdown
from vvf.cli.main import main

QUICK = ['--tasks', 'pick_place', '--arms', 'wx250s', '--workers', '1']


def test_outcomes_and_speeds_of_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'new' / 'worlds.json'
    arguments = ['--episodes', '2', '--noises', '0', '--speed-episodes', '1', '--json', str(out)]
    assert main(['bench', 'worlds', *QUICK, *arguments]) == 0
    assert '| pick_place | wx250s | 100 % |' in capsys.readouterr().out
    told = json.loads(out.read_text())
    (row,) = told['rows']
    assert row['success'] == {'0': 1.0}
    assert row['failures'] == {'0': {}}
    assert 5 < row['median_steps'] < 60
    assert row['cameras'] == 2
    assert min(row['steps_per_s'], row['frames_per_s'], row['core_share']) > 0
    assert 50 < row['peak_mib'] < 4000
    assert [path.name for path in out.parent.iterdir()] == ['worlds.json']


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = [
        SeedResult('pick_place', 'wx250s', 0.5, 0, False, -1, 'dropped'),
        SeedResult('pick_place', 'wx250s', 0.5, 1, True, 21, ''),
        SeedResult('pick_place', 'wx250s', 0.5, 99, True, 5, ''),
        SeedResult('window_open', 'wx250s', 0.5, 0, True, 5, ''),
    ]
    out = tmp_path / 'worlds.json'
    partial = tmp_path / 'worlds.json.partial'
    partial.write_text(''.join(json.dumps(asdict(result)) + '\n' for result in known))
    arguments = ['--episodes', '2', '--noises', '0.5', '--speed-episodes', '0', '--json', str(out)]
    assert main(['bench', 'worlds', *QUICK, *arguments]) == 0
    assert '4 results of a run that was stopped' in capsys.readouterr().out
    (row,) = json.loads(out.read_text())['rows']
    assert row['success'] == {'0.5': 0.5}
    assert row['failures'] == {'0.5': {'dropped': 1}}
    assert (row['median_steps'], row['steps_per_s']) == (21, None)
    kept = [json.loads(line) for line in partial.read_text().splitlines()]
    assert kept == [asdict(result) for result in known[2:]], 'another run has yet to tell them'


def test_an_episode_is_the_same_whenever_it_is_played() -> None:
    job = SeedJob('pick_place', 'wx250s', 1.0, 4)
    first = play_seed(job)
    assert first == play_seed(job)
    assert first.job == job
    assert first.success == (first.steps > 0) == (not first.failure_kind)


def test_a_table_says_what_is_not_known() -> None:
    row = {
        'task': 'a', 'arm': 'b', 'success': {'0': 0.985, '1': 0.3}, 'median_steps': None,
        'steps_per_s': 1234.4, 'frames_per_s': None, 'cameras': 3, 'peak_mib': 200.2,
    }  # fmt: skip
    lines = markdown([row], [0.0, 1.0]).splitlines()
    assert lines[2] == '| a | b | 98 % | 30 % | - | 1234 | - | 3 | 200 |'
    assert len({line.count('|') for line in lines}) == 1


@pytest.mark.parametrize(
    ('arguments', 'word'),
    [
        (['--tasks', 'knitting'], 'knitting'),
        (['--episodes', '0'], '--episodes'),
        (['--noises', '1.5'], '--noises'),
    ],
)
def test_mistakes_are_said(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['bench', 'worlds', *arguments]) == 2
    assert word in capsys.readouterr().err
