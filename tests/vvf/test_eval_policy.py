# SPDX-License-Identifier: Apache-2.0
"""`vvf eval policy`: what is counted, two policies on the same seeds, and going on where it was."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest
import yaml
from scipy.stats import binom

import vvf.pool
from vvf.cli import eval_policy
from vvf.cli.main import main
from vvf.paths import config_path
from vvf.provenance import checkpoint_id
from vvf.rollouts import Rollout
from vvf.rollouts.store import RolloutStore, from_line, to_line
from vvf.rollouts.summary import compare, in_words, summary
from vvf.stored_results import read_results
from vvf.success_interval import LAYOUTS
from vvf.task import load_task

POLICY = Path('checkpoints/bc_pick_place')

ROLLOUTS = [
    Rollout(0, True, 20, '', ('grasped', 'lifted', 'success'), (), 0, 0),
    Rollout(1, True, 30, '', ('grasped', 'grasped', 'success'), ('dropped',), 1, 6, (2.0, 5.0)),
    Rollout(2, False, 50, 'dropped', ('grasped',), ('dropped', 'dropped'), disturbed_at=1.4),
    Rollout(3, False, 50, 'timeout'),
]


def test_numbers_of_a_policy() -> None:
    numbers = summary(ROLLOUTS, rate_hz=5.0)
    assert numbers['successes_per_hour'] == pytest.approx(2 / (150 / 5 / 3600))
    assert numbers['steps_mean'] == 37.5
    assert numbers['failures'] == {'dropped': 1, 'timeout': 1}
    assert numbers['milestones'] == {'grasped': 0.75, 'lifted': 0.25, 'success': 0.5}
    assert numbers['milestones_mean']['grasped'] == 1.0
    assert numbers['errors'] == {'dropped': 0.5}
    assert (numbers['interventions'], numbers['successes_alone']) == (1, 1)
    assert numbers['human_share'] == pytest.approx(6 / 150)
    assert (numbers['falls'], numbers['episodes_with_falls'], numbers['disturbed']) == (2, 1, 1)
    slower = summary(ROLLOUTS, rate_hz=5.0, reset_s=15.0)
    assert slower['successes_per_hour'] == pytest.approx(2 / (90 / 3600))
    text = '\n'.join(in_words({'policy': 'p', **numbers}))
    assert 'p: 2 of 4 succeed' in text
    assert 'grasped 75% (1.0 each)' in text


def paired(both: int, first: int, second: int, neither: int) -> tuple[list[Rollout], ...]:
    outcomes = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    return tuple(
        [Rollout(seed, bool(pair[i]), 1, '') for seed, pair in enumerate(outcomes)] for i in (0, 1)
    )


def test_two_policies_are_compared_where_they_differ() -> None:
    first, second = paired(10, 2, 9, 4)
    found = compare(first, second)
    assert (found.episodes, found.only_first, found.only_second) == (25, 2, 9)
    assert found.difference == pytest.approx(7 / 25)
    # McNemar's exact test: twice the binomial tail of the rarer kind.
    assert found.p_value == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    # Agresti and Min: half an episode more in each cell.
    n = 27
    half = 1.96 * math.sqrt((9.5 + 2.5) - (9.5 - 2.5) ** 2 / n) / n
    assert (found.low, found.high) == pytest.approx((7 / n - half, 7 / n + half))


def test_only_seeds_that_both_have_count_and_equals_are_equal() -> None:
    first, _ = paired(3, 2, 0, 1)
    found = compare(first, first[:4])
    assert (found.episodes, found.difference, found.p_value) == (4, 0.0, 1.0)
    assert found.low < 0 < found.high


def test_a_line_gives_the_rollout_back() -> None:
    for rollout in ROLLOUTS:
        back = from_line(to_line(dataclasses.replace(rollout, path=Path('a/b.npz'))))
        assert back is not None
        assert math.isnan(back.disturbed_at) == math.isnan(rollout.disturbed_at)
        assert dataclasses.replace(back, path=None, disturbed_at=0.0) == dataclasses.replace(
            rollout, disturbed_at=0.0
        )
    assert from_line(to_line(ROLLOUTS[0])[:-9]) is None
    assert from_line(to_line(ROLLOUTS[0]).encode()[:-9] + b'\xff') is None


def test_what_is_kept_is_not_run_again(tmp_path: Path) -> None:
    """One real episode; what comes after it finds it, and is told of others by what was kept."""
    out, numbers = tmp_path / 'out', tmp_path / 'numbers.json'
    twin = shutil.copytree(POLICY, tmp_path / 'twin')
    common = ['--image-size', '32', '--seed', '700001', '--workers', '1', '--out', str(out)]
    common += ['--json', str(numbers)]
    assert main(['eval', 'policy', str(POLICY), '--episodes', '1', *common]) == 0
    first = json.loads(numbers.read_text())
    assert first['episodes'] == 1
    (series,) = out.glob('*.jsonl')
    line = series.read_text()
    other = {**json.loads(line), 'success': False, 'failure_kind': 'flood', 'seed': 700002}
    series.write_text(line + json.dumps(other) + '\n')
    shutil.copy(series, out / series.name.replace(POLICY.name, 'twin'))
    assert main(['eval', 'policy', str(POLICY), str(twin), '--episodes', '2', *common]) == 0
    found = json.loads(numbers.read_text())
    one, two = (found['policies'][name] for name in (POLICY.name, 'twin'))
    assert {**one, 'policy': 'twin'} == two
    assert one['failures']['flood'] == 1
    assert found['comparison']['difference'] == 0.0
    assert [(r.method, r.episodes, r.robot) for r in read_results([out])] == [
        (POLICY.name, 2, 'wx250s'),
        ('twin', 2, 'wx250s'),
    ]
    stored = read_results([out])[0]
    assert stored.condition == 'held_out, image size 32, seed 700001'
    assert stored.numbers[LAYOUTS] == [float(json.loads(line)['success']), 0.0]


def condition(*words: str) -> str:
    parser = argparse.ArgumentParser()
    eval_policy.add_arguments(parser)
    args = parser.parse_args([str(POLICY), *words])
    task = load_task(args.task)
    return eval_policy._condition(args, task, eval_policy._job(args, task, POLICY))


def test_a_seed_that_is_too_large_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['eval', 'policy', str(POLICY), '--seed', '99999999999999999999']) == 2
    assert '--seed and the layouts after it must be below' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ('', 'held_out'),
        ('--setting held_out --distractors 2 --targets carrot', 'held_out'),
        ('--episodes 9 --workers 3 --task pick_place --arm fr3', 'held_out'),
        # As it was said before all options were.
        ('--axes lighting --disturb slip --gate stop --interventions 4 --stalled 9',
         'held_out, axes lighting, slip, gate stop, interventions 4, stalled 9'),
        ('--scenario 2', 'scenario_2'),
        ('--scenario 2 --setting train', 'scenario_2, setting train'),
        ('--targets banana corn --containers plate --distractors 0',
         'held_out, targets banana corn, containers plate, distractors 0'),
        ('--renderer ray --image-size 64 --cameras wrist',
         'held_out, cameras wrist, image size 64, renderer ray'),
        ('--gate stop --gate-drop 0.1 --gate-window 1.5',
         'held_out, gate stop, drop 0.1, window 1.5 s'),
        ('--value checkpoints/icvf_pick_place', 'held_out, value checkpoints/icvf_pick_place'),
        ('--execute 3 --guidance 1.5 --temperature 0 --candidates 8 --seed 5 --reset-s 20',
         'held_out, execute 3, guidance 1.5, temperature 0.0, best of 8, seed 5, reset 20 s'),
    ],
)  # fmt: skip
def test_a_result_names_all_that_is_not_as_usual(words: str, said: str) -> None:
    assert condition(*words.split()) == said


def task_at(folder: Path, rate_hz: float) -> str:
    """Pick-and-place with another rate of actions."""
    entries = yaml.safe_load(config_path('tasks', 'pick_place.yaml').read_text())
    entries['action']['rate_hz'] = rate_hz
    file = folder / 'quick.yaml'
    file.write_text(yaml.safe_dump(entries))
    return str(file)


def test_hours_are_those_of_the_simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight actions a second are simulated as one in 0.12 s."""
    monkeypatch.setattr(
        vvf.pool, 'run_jobs', lambda _, jobs, *how: (Rollout(j.seed, True, 30, '') for j in jobs)
    )
    numbers = tmp_path / 'numbers.json'
    command = ['eval', 'policy', str(POLICY), '--task', task_at(tmp_path, 8.0), '--episodes', '2']
    assert main([*command, '--json', str(numbers)]) == 0
    found = json.loads(numbers.read_text())
    assert found['successes_per_hour'] == pytest.approx(3600 / (30 * 0.12))


@pytest.mark.parametrize(
    ('rate_hz', 'says'), [(10.0, 'gives a step every 0.2 s'), (30.0, 'cannot be simulated')]
)
def test_another_pace_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rate_hz: float, says: str
) -> None:
    how = ['--episodes', '1', '--workers', '1', '--image-size', '32']
    assert main(['eval', 'policy', str(POLICY), '--task', task_at(tmp_path, rate_hz), *how]) == 2
    assert says in capsys.readouterr().err


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    RolloutStore(tmp_path, {'a': (1, 2), 'b': 4})  # keeps nothing, and so binds nobody
    RolloutStore(tmp_path, {'a': (1, 2), 'b': None})._keep('p', ROLLOUTS[0])
    RolloutStore(tmp_path, {'a': (1, 2), 'b': None})._keep('p', ROLLOUTS[1])
    with pytest.raises(Exception, match=r'other settings \(b\)'):
        RolloutStore(tmp_path, {'a': (1, 2), 'b': 3})


def test_a_policy_that_is_configured_otherwise_is_another_one(tmp_path: Path) -> None:
    policy = tmp_path / 'policy'
    shutil.copytree(POLICY, policy)
    before = checkpoint_id(str(policy))
    assert before.startswith('policy@')
    (policy / 'card.md').write_text('for people')
    assert checkpoint_id(str(policy)) == before
    entries = yaml.safe_load((policy / 'config.yaml').read_text())
    (policy / 'config.yaml').write_text(yaml.safe_dump(entries | {'action_scale': [0.1, 0.3]}))
    assert checkpoint_id(str(policy)) != before


@pytest.mark.parametrize('command', [['eval', 'policy', str(POLICY)], ['bench', 'gate']])
@pytest.mark.parametrize(
    ('settings', 'out', 'says'),
    [
        (None, 'settings.json', 'settings.json cannot hold episodes (File exists)'),
        (None, 'settings.json/deeper', 'cannot hold episodes (Not a directory)'),
        ('{"a": ', '.', 'settings.json is damaged'),
        ('[1, 2]', '.', 'settings.json is damaged'),
    ],
)
def test_a_folder_that_can_keep_nothing_is_one_sentence(
    command: list[str],
    settings: str | None,
    out: str,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'settings.json').write_text(settings or '{}')
    assert main([*command, '--out', str(tmp_path / out)]) == 2
    assert says in capsys.readouterr().err


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    store = RolloutStore(tmp_path, {})
    store._keep('p', ROLLOUTS[0])
    with (tmp_path / 'p.jsonl').open('a') as stream:
        stream.write(to_line(ROLLOUTS[1])[:20])
    store._keep('p', ROLLOUTS[2])
    assert list(store.done('p')) == [0, 2]


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (['nowhere'], 'no checkpoint folder'),
        ([str(POLICY), str(POLICY)], 'named twice'),
        ([str(POLICY), '--episodes', '0'], 'at least 1'),
        ([str(POLICY), '--scenario', '9'], "no scenario 'scenario_9'"),
        ([str(POLICY), '--gate', 'stop', '--gate-drop', '2'], 'value gate'),
        (['checkpoints/icvf_pick_place'], 'is no policy'),
        ([str(POLICY), '--task', 'wx200_replay'], 'no sim'),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['eval', 'policy', *words]) == 2
    assert says in capsys.readouterr().err
