# SPDX-License-Identifier: Apache-2.0
"""`vvf vptr`: what it plans, that it runs through and goes on, and what it tells."""

import argparse
import importlib
import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from vvf.cli.main import main
from vvf.errors import UserError
from vvf.offline.config import SIZES, load_config
from vvf.offline.data import make
from vvf.offline.methods import DEFAULT_METHODS, METHODS
from vvf.offline.plan import make_plan
from vvf.offline.run import is_done, run_plan, run_step
from vvf.offline.table import Counts, counts, paper_numbers
from vvf.paths import config_path
from vvf.pool import run_jobs
from vvf.rollouts import wilson
from vvf.stored_results import StoredResult, read_results
from vvf.success_interval import LAYOUTS, layout_interval
from vvf_models.checkpoints import CONFIGS
from vvf_models.config import from_mapping
from vvf_models.data.augment import Augmentation


def planned(methods, seeds=(0,), size='small'):
    return make_plan(load_config(size), methods, seeds, Path('data'), Path('out'), 2)


def values(argv, option):
    """The words after each `option`, up to the next one."""
    found = []
    for place, word in enumerate(argv):
        if word == option:
            rest = [*argv[place + 1 :], '--']
            found.append(rest[: next(i for i, w in enumerate(rest) if w.startswith('--'))])
    return found


def test_phases_follow_each_other_and_what_is_shared_is_trained_once():
    plan = planned(['vptr', 'ptr', 'vptr_no_phase2'], seeds=(0, 1))
    names = [str(step.out) for step in plan.steps]
    assert names.count('out/seed_0/video_icvf') == 1
    assert len(names) == len(set(names)) == 5 + 2 * (1 + 2 + 3)
    order = [step.stage for step in plan.steps]
    assert order == sorted(order, key=('data', 'video', 'prior', 'target').index)
    steps = {str(step.out): step.argv for step in plan.steps}
    first, last = steps['out/seed_1/vptr/prior'], steps['out/seed_1/vptr/target']
    assert values(first, '--init-encoder') == [['out/seed_1/video_icvf']]
    assert values(first, '--data') == values(last, '--data') == [['data/prior']]
    sets = [f'data/{name}' for name in ('targets', 'containers', 'distractors')]
    assert values(last, '--task-data') == [sets]
    assert values(last, '--init') == [['out/seed_1/vptr/prior']]
    alone = steps['out/seed_0/vptr_no_phase2/target']
    assert values(alone, '--data') == [sets]
    assert values(alone, '--init-encoder') == [['out/seed_0/video_icvf']]
    assert '--init-encoder' not in steps['out/seed_0/ptr/prior']
    assert [trial.seed for trial in plan.trials].count(1) == 3 * 3 * 2
    assert {trial.candidates for trial in planned(['bc']).trials} == {1}


@pytest.mark.parametrize('size', ['small', 'full'])
def test_who_has_no_prior_data_gets_the_steps_and_the_cloning_of_both_phases(size):
    phases = load_config(size).phases
    alone, both = phases['cql_alone'], (phases['cql_prior'], phases['cql_target'])
    assert alone.steps == sum(phase.steps for phase in both)
    cloning = [phase.settings.get('cloning_steps', 0) for phase in (alone, *both)]
    assert cloning[0] == sum(cloning[1:])
    # The target's task is new in phase 3: who clones first does so there, too.
    assert (cloning[1] > 0) == (cloning[2] > 0)
    (step,) = (s for s in planned(['vptr_no_phase2'], size=size).steps if s.stage == 'target')
    assert values(step.argv, '--steps') == [[str(alone.steps)]]


def test_the_baseline_without_failures_is_tried_unasked():
    assert 'bc_successes' in DEFAULT_METHODS
    assert set(DEFAULT_METHODS) <= set(METHODS)


def built(step):
    """The configuration that a step's command makes; None where it trains nothing."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f'vvf.cli.{step.argv[0]}').add_parser(parser.add_subparsers())
    args = parser.parse_args(step.argv)
    if step.argv[0] != 'train':
        return None
    preset = yaml.safe_load(config_path('models', f'{args.config}.yaml').read_text('utf-8'))
    assert preset.pop('kind') == args.kind
    settings = dict(pair.split('=', 1) for pair in args.set)
    entries = preset | {key: yaml.safe_load(value) for key, value in settings.items()}
    return from_mapping(CONFIGS[args.kind], entries, 'here', partial=True)


@pytest.mark.parametrize('size', SIZES)
def test_every_command_of_every_size_can_be_parsed_and_its_configuration_built(size):
    for step in planned(list(METHODS), size=size).steps:
        assert (built(step) is None) == (step.stage == 'data')


@pytest.mark.parametrize('size', ['small', 'full'])
@pytest.mark.parametrize('stage', ['prior', 'target'])
def test_baselines_have_the_augmentation_batches_and_decay_of_cql(size, stage):
    names = [field.name for field in fields(Augmentation)]
    names += ['batch_size', 'weight_decay', 'mixing_ratio', 'latent_dim', 'hidden']
    plan = planned(['ptr', 'bc', 'bc_successes', 'vip_reward'], size=size)
    steps = [step for step in plan.steps if step.stage == stage]
    ptr, *others = (built(step) for step in steps)
    for other in others:
        assert [getattr(other, n) for n in names] == [getattr(ptr, n) for n in names]
    assert len({values(step.argv, '--steps')[0][0] for step in steps}) == 1


def test_all_phases_run_and_the_same_command_again_has_nothing_to_do(tmp_path, capsys, monkeypatch):
    out, asked = tmp_path / 'out', []

    def trying(function, jobs, workers):
        asked.extend(job.instruction for job in jobs)
        rollouts = sorted(run_jobs(function, jobs, workers), key=lambda rollout: rollout.seed)
        rollouts[0] = replace(rollouts[0], success=True)
        return reversed(rollouts)  # as several workers may be done

    monkeypatch.setattr('vvf.offline.run.run_jobs', trying)
    words = ['vptr', '--size', 'tiny', '--methods', 'vptr', '--seeds', '3', '--out', str(out)]
    assert main([*words, '--json', str(tmp_path / 'a.json')]) == 0
    result, best = sorted(read_results([out]), key=lambda stored: stored.condition)
    assert best.condition == 'scenario_1 best of 2'
    assert (result.method, result.condition, result.seed) == ('vptr', 'scenario_1', 3)
    assert asked == ['target'] * 4  # though the worlds ask for what is in the prior data
    assert (result.task, result.robot, result.episodes) == ('pick_place', 'wx250s', 2)
    assert result.seconds > 0
    assert result.numbers[LAYOUTS] == [1, 0]
    assert result.command.startswith('vvf vptr --size tiny --methods vptr --seeds 3')
    assert '--data' not in result.command
    numbers = json.loads((tmp_path / 'a.json').read_text('utf-8'))
    assert numbers['vptr']['scenario_1']['episodes'] == 2
    assert '24 of 48' in capsys.readouterr().out
    made = {path: path.stat().st_mtime_ns for path in out.rglob('*') if path.suffix != '.yaml'}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert main([*words, '--dry-run']) == 0
    assert '0 minutes of one core are left' in capsys.readouterr().out
    words[2] = 'small'
    for more in ([], ['--dry-run']):
        assert main([*words, *more]) == 2
        assert 'begun with other settings' in capsys.readouterr().err


def test_a_results_command_says_which_data_it_is_of(tmp_path, monkeypatch):
    said = []

    def noting(plan, config, workers, only, command):
        said.extend(command(trial) for trial in plan.trials)

    monkeypatch.setattr('vvf.offline.run.run_plan', noting)
    words = ['vptr', '--size', 'tiny', '--methods', 'bc', '--data', 'else where']
    assert main([*words, '--out', str(tmp_path)]) == 0
    assert [text.endswith(" --data 'else where'") for text in said] == [True] * 2


def test_a_training_that_was_stopped_stops_everything(monkeypatch, tmp_path):
    (step,) = (s for s in planned(['ptr']).steps if s.stage == 'target')
    monkeypatch.setattr('vvf.cli.train.run', lambda args: 0)  # as after Ctrl-C: nothing is written
    assert not is_done(step)
    with pytest.raises(KeyboardInterrupt):
        run_step(step)


def test_policies_are_not_tried_before_they_are_trained(tmp_path, capsys):
    words = ['vptr', '--size', 'tiny', '--methods', 'bc', '--only', 'evaluation']
    policy = tmp_path / 'seed_0/bc/target'
    for files in ((), ('config.yaml', '.resume/training.safetensors')):  # none, or stopped half-way
        for name in files:
            (policy / name).parent.mkdir(parents=True, exist_ok=True)
            (policy / name).touch()
        assert main([*words, '--seeds', '0', '--out', str(tmp_path)]) == 2
        assert 'is not trained yet' in capsys.readouterr().err
    assert not list(tmp_path.rglob('*.json'))


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'config': 'cqll'}, "no configuration 'cqll'"),
        ({'settings': {'no_such': 1}}, 'no_such'),
        ({'settings': {'alpha': -1.0}}, '"alpha"'),
    ],
)
def test_wrong_settings_of_a_later_phase_are_found_before_data_are_made(
    changes, says, tmp_path, capsys
):
    entries = yaml.safe_load(config_path('experiments', 'vptr_tiny.yaml').read_text('utf-8'))
    entries['phases']['cql_target'] |= changes
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(entries))
    words = ['vptr', '--size', str(tmp_path / 'mine.yaml'), '--methods', 'ptr']
    assert main([*words, '--out', str(tmp_path / 'out')]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_the_papers_numbers_are_those_of_its_totals():
    numbers = paper_numbers()
    assert (numbers['vptr', 'scenario_1'].successes, numbers['ptr', 'scenario_2'].trials) == (
        24,
        48,
    )
    assert ('bc', 'scenario_1') not in numbers
    assert counts([], 'bc', 'scenario_1') == Counts(0, 0, (), (0.0, 1.0))


def test_seeds_that_meet_the_same_layouts_count_for_what_they_add():
    easy = [1.0] * 12 + [0.0] * 8

    def interval(*seeds):
        some = [
            StoredResult('vptr', 'vptr', 'x', seed, '', '', 20, int(sum(row)), {LAYOUTS: row})
            for seed, row in enumerate(seeds)
        ]
        counted = counts(some, 'vptr', 'x')
        assert counted.by_seed == tuple(sum(row) for row in seeds)
        assert counted.interval == layout_interval(some)
        return counted.interval

    assert interval(easy) == pytest.approx(wilson(12, 20))
    assert interval(easy, easy) == pytest.approx(wilson(12, 20))  # the second adds nothing
    other = easy[::-1]  # four layouts succeed with both, all others with one
    between = interval(easy, [*easy[:6], *easy[14:], *easy[6:14]])
    assert wilson(12, 20)[0] < between[0] <= wilson(24, 40)[0]
    assert interval(easy, other) == pytest.approx(wilson(24, 40))  # never more than there are
    assert interval([1.0] * 20, [1.0] * 20) == pytest.approx(wilson(20, 20))
    old = [StoredResult('vptr', 'vptr', 'x', seed, '', '', 20, 12) for seed in (0, 1)]
    assert layout_interval(old) == pytest.approx(wilson(12, 20))


def test_sizes_that_are_none_are_named(tmp_path):
    with pytest.raises(UserError, match='tiny, small, full'):
        load_config('huge')
    entries = yaml.safe_load(config_path('experiments', 'vptr_tiny.yaml').read_text('utf-8'))
    del entries['phases']['vip']
    file = tmp_path / 'own.yaml'
    file.write_text(yaml.safe_dump(entries), 'utf-8')
    with pytest.raises(UserError, match='lacks vip'):
        load_config(str(file))


@pytest.mark.parametrize('entry', ['scenarios', 'target_sets'])
def test_scenarios_that_are_none_are_named_before_anything_is_trained(entry, tmp_path):
    entries = yaml.safe_load(config_path('experiments', 'vptr_tiny.yaml').read_text('utf-8'))
    entries[entry] = ['scenario_one']
    file = tmp_path / 'own.yaml'
    file.write_text(yaml.safe_dump(entries), 'utf-8')
    with pytest.raises(UserError, match="no scenario 'scenario_one'; use source, targets"):
        load_config(str(file))


def test_demonstrations_are_without_accidents_and_those_that_fail_are_replaced(tmp_path):
    (step,) = (s for s in planned(['bc']).steps if s.out.name == 'targets')
    assert values(step.argv, '--expert') == [['noisy']]
    assert values(step.argv, '--noise') == [['0']]
    argv = (*step.argv[: step.argv.index('--episodes')], '--episodes', '3', '--out', str(tmp_path))
    step = replace(step, argv=argv, out=tmp_path)
    assert step.successes_only
    asked = []

    def collecting(argv):
        seed, count = (int(values(argv, name)[0][0]) for name in ('--seed', '--episodes'))
        asked.append((seed - 100_000, count))
        for each in range(seed, seed + count):  # every second one fails
            file = tmp_path / f'episode_{each:07d}.npz'
            np.savez(file, success=each % 2 == 1)

    make(step, collecting)
    assert asked == [(0, 3), (3, 2), (5, 1)]
    kept = sorted(int(file.stem[-2:]) for file in tmp_path.glob('*.npz'))
    assert kept == [1, 3, 5]
    assert len(list((tmp_path / 'failed').iterdir())) == 3


def test_data_that_were_made_otherwise_are_refused(tmp_path):
    config = replace(load_config('tiny'), prior_episodes=1, clips=1)

    def steps(**changes):
        plan = make_plan(replace(config, **changes), ['vptr'], (0,), tmp_path, tmp_path / 'o', 1)
        return {step.out.name: step for step in plan.steps if step.stage == 'data'}

    for name in ('clips', 'prior'):
        run_step(steps()[name])
        assert is_done(steps()[name])
    for changes, words in (
        ({'noise': 0.5}, r'noise: 0\.0, wanted 0\.5'),
        ({'cameras': ('wrist',)}, 'cameras'),
        ({'arm': 'fr3'}, 'arm: wx250s'),
        ({'image_size': 24}, 'image_size: 16'),
    ):
        with pytest.raises(UserError, match=words):
            is_done(steps(**changes)['prior'])
    with pytest.raises(UserError, match='choose another --data'):
        is_done(steps(image_size=24)['clips'])
    (more,) = (tmp_path / 'prior').glob('*.npz')
    shutil.copy(more, more.with_name('episode_0099999.npz'))
    with pytest.raises(UserError, match='holds 2 episodes or clips, 1 are wanted'):
        is_done(steps()['prior'])
    (tmp_path / 'prior' / 'collect.json').unlink()
    with pytest.raises(UserError, match=r'no collect\.json'):
        run_plan(
            make_plan(config, ['ptr'], (0,), tmp_path, tmp_path, 1), config, 1, 'training', str
        )
