# SPDX-License-Identifier: Apache-2.0
"""RECAP's loop: what begins from what, what is compared with what, and that it goes on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.vvf_models.toy import small_icvf, toy_store
from vvf.cli.main import main
from vvf.errors import UserError
from vvf.paths import config_path
from vvf.recap import acting, learning, loop
from vvf.recap.config import METHODS, SIZES, load_loop_config
from vvf.recap.given import check_given
from vvf.recap.learning import batches, roles
from vvf.recap.plan import make_plan
from vvf.recap.results import paired, success_numbers
from vvf.recap.run import Run
from vvf.recap.stages import Demonstrating, Indicating, RollingOut, Training
from vvf.rollouts import Rollout, wilson
from vvf.stored_results import read_results
from vvf_models.data.npz import load_episode
from vvf_models.errors import UserError as ModelError
from vvf_models.training import train
from vvf_sim.registry import task_entry

TASK = 'pick_place'


def run_of(out, *settings, methods=METHODS, iterations=2, size='small', **changes):
    world = task_entry(TASK).make_config(image_size=32)
    run = Run(
        task=TASK,
        world=TASK,
        out=out,
        config=load_loop_config(size, settings),
        methods=methods,
        iterations=iterations,
        seeds=(0,),
        train_world=world,
        eval_world=replace(world, setting='held_out'),
        max_steps=15,
        execute=3,
        rate_hz=5.0,
        command='vvf recap',
    )
    return replace(run, **changes)


def stages_of(plan, kind):
    return [stage for wave in plan.waves for stage in wave.stages if isinstance(stage, kind)]


def test_everything_that_is_simulated_has_the_rate_of_the_run():
    plan = make_plan(run_of(Path('out'), rate_hz=10.0))
    acting = [job for stage in stages_of(plan, RollingOut) for job in stage.jobs]
    shown = [job for stage in stages_of(plan, Demonstrating) for job in stage.jobs]
    assert {job.rate_hz for job in acting} == {job.control_hz for job in shown} == {10.0}


@pytest.mark.parametrize('size', SIZES)
def test_every_size_plans_all_methods(size):
    plan = make_plan(run_of(Path('out'), size=size))
    assert len(stages_of(plan, Indicating)) >= 6
    folders = [stage.folder for wave in plan.waves for stage in wave.stages]
    assert len(folders) == len(set(folders)), 'what is shared is made once'
    assert len(plan.evaluations) == 2 * len(METHODS)


def test_nothing_goes_on_from_the_last_iterate():
    plan = make_plan(run_of(Path('out')))
    for stage in stages_of(plan, Training):
        name = stage.folder.name
        if name in ('imitation', 'policy_1', 'policy_2'):
            assert stage.init == Path('out/seed_0/shared/policy_pretrained')
            assert stage.steps == plan.run.config.policy.finetune_steps
        elif name in ('value_1', 'value_2'):
            assert stage.init == stage.folder.parent / 'value_pretrained'
        else:
            assert stage.init is None


def test_methods_begin_from_the_same_policy_and_rollouts_and_then_use_their_own():
    plan = make_plan(run_of(Path('out')))
    first = {plan.rollouts[0, method, 1].folder for method in METHODS}
    assert first == {Path('out/seed_0/shared/rollouts_1')}
    assert {job.policy.name for job in plan.rollouts[0, 'viva', 1].jobs} == {'imitation'}
    second = plan.rollouts[0, 'viva', 2]
    assert {job.policy for job in second.jobs} == {Path('out/seed_0/viva/policy_1')}
    data = [source.path for source in plan.trainings[0, 'viva', 2].data]
    assert data == [*first, second.folder, Path('out/demonstrations')]
    alone = make_plan(run_of(Path('out'), 'shared_pretraining=false'))
    assert alone.imitation[0, 'viva'].folder != alone.imitation[0, 'none'].folder
    ratios = {stage.positive_ratio for stage in stages_of(alone, Indicating)}
    assert ratios == {0.3, 0.4}


def test_no_scene_is_seen_twice():
    plan = make_plan(run_of(Path('out'), seeds=(0, 1)))
    learned, judged = set(), set()
    for stage in stages_of(plan, RollingOut):
        seeds = {job.seed for job in stage.jobs}
        if stage.jobs[0].record is None:
            judged.add(frozenset(seeds))
        else:
            learned |= seeds
    (same,) = judged
    assert not same & learned
    shown = {job.seed for stage in plan.waves[0].stages for job in stage.jobs}
    assert not shown & (same | learned)
    of_seeds = [{j.seed for j in plan.rollouts[seed, 'none', 1].jobs} for seed in (0, 1)]
    assert not of_seeds[0] & of_seeds[1]


def test_rollouts_are_drawn_with_noise_and_policies_judged_with_their_own():
    plan = make_plan(run_of(Path('out'), 'temperature=0.7', 'corrected=3', 'patience=5'))
    jobs = [job for stage in stages_of(plan, RollingOut) for job in stage.jobs]
    learned = [job for job in jobs if job.record is not None]
    assert {job.temperature for job in learned} == {0.7}
    assert {job.patience for job in learned} == {0, 5}
    assert {job.temperature for job in jobs if job.record is None} == {None}


def test_what_a_configuration_lacks_is_one_sentence(tmp_path):
    assert load_loop_config('tiny', ['policy.finetune_steps=9']).policy.finetune_steps == 9
    with pytest.raises(UserError, match='no size'):
        load_loop_config('huge')
    with pytest.raises(ModelError, match='unknown key "rollouts"'):
        load_loop_config('tiny', ['rollouts=9'])
    with pytest.raises(UserError, match='between 0 and 1'):
        load_loop_config('tiny', ['positive_ratio=40'])
    # What models do not know is said before anything is collected for them.
    for setting, said in (
        ('policy.settings.guidanc=2', 'unknown key "guidanc"'),
        ('values.viva.settings.layers=0', 'layers'),
        ('values.distributional.config=nothing', 'no configuration'),
    ):
        with pytest.raises((UserError, ModelError), match=said):
            make_plan(run_of(tmp_path / 'out', setting))
    assert not (tmp_path / 'out').exists()
    file = tmp_path / 'mine.yaml'
    file.write_text('demonstrations: 3\n')
    with pytest.raises(UserError, match='"policy" and "values"'):
        load_loop_config(str(file))


def test_each_iterations_rollouts_are_a_batch(tmp_path, monkeypatch):
    run = run_of(tmp_path)
    indicating = stages_of(make_plan(run), Indicating)
    data = next(stage.data for stage in indicating if stage.folder.name == 'indicators_2')
    monkeypatch.setattr(learning, '_counted', lambda sources: [(s, 2) for s in sources])
    assert roles(data) == ['rollouts'] * 4 + ['demonstrations'] * 2
    assert batches(data)[:4] == ['iteration 1'] * 2 + ['iteration 2'] * 2


def rollouts(outcomes, steps=20):
    return [Rollout(n, bool(won), steps, '' if won else 'lost') for n, won in enumerate(outcomes)]


def test_gains_are_counted_in_pairs():
    before, after = rollouts([1, 0, 0, 1, 0, 0, 0, 0]), rollouts([1, 1, 1, 0, 1, 0, 0, 0])
    gain = paired(before, after)
    assert gain['points_gained'] == pytest.approx(25)
    assert (gain['seeds_won'], gain['seeds_lost']) == (3, 1)
    assert gain['points_low'] < 25 < gain['points_high']
    # As many points either way where nothing differs, and fewer the more episodes say so.
    tied, longer = paired(before, before), paired(rollouts([1] * 99), rollouts([1] * 99))
    assert tied['points_low'] == pytest.approx(-tied['points_high'])
    assert tied['points_low'] < -10 < longer['points_low'] < 0
    with pytest.raises(ValueError, match='other seeds'):
        paired(before, after[1:])
    numbers = success_numbers(after, 5.0)
    # Eight episodes of 20 steps at 5 Hz are 32 s.
    assert numbers['successes_per_hour'] == pytest.approx(4 / (32 / 3600))
    assert (numbers['wilson_low'], numbers['wilson_high']) == wilson(4, 8)


@pytest.fixture
def here(monkeypatch):
    """Episodes in this process: starting others takes longer than the episodes."""
    monkeypatch.setattr(acting, 'run_jobs', lambda f, jobs, workers, engine: map(f, jobs))


SMALLEST = ('demonstrations=2', 'prior=2', 'autonomous=1', 'corrected=1', 'eval_episodes=1')


def test_the_loop_runs_is_stopped_and_goes_on(tmp_path, here, monkeypatch, capsys):
    methods = ('icvf', 'filtered')
    run = run_of(tmp_path / 'out', *SMALLEST, methods=methods, iterations=1, size='tiny')
    plan = make_plan(run)
    done = []
    learn = loop.learn

    def stopped(job):
        if job.stage.title == 'filtered: policy 1' and not stopped.before:
            stopped.before = True
            raise KeyboardInterrupt
        done.append(job.stage.title)
        return learn(job)

    stopped.before = False
    monkeypatch.setattr(loop, 'learn', stopped)
    with pytest.raises(KeyboardInterrupt):
        loop.execute(plan, 1)
    before = list(done)
    results = loop.execute(plan, 1)
    assert done[len(before) :] == ['filtered: policy 1'], 'nothing is done twice'
    said = capsys.readouterr().out
    assert 'frames are positive by ">="' in said
    assert said.index('icvf: indicators 1') < said.index('policies, fine-tuned')

    # Pre-training knows demonstrations as positive, and of prior data nothing.
    card = (tmp_path / 'out/seed_0/shared/policy_pretrained/card.md').read_text()
    assert 'nobody said' in card
    indicators = tmp_path / 'out/seed_0/icvf/indicators_1'
    assert (indicators / 'diagnosis.png').is_file()
    policy = tmp_path / 'out/seed_0/icvf/policy_1'
    found = json.loads((policy / 'done.json').read_text())
    with np.load(indicators / 'indicators.npz') as arrays:
        positive = arrays['improving']
    assert found['frames'] <= len(positive)
    filtered = json.loads((tmp_path / 'out/seed_0/filtered/policy_1/done.json').read_text())
    assert filtered['metrics']['steps'] == found['metrics']['steps']
    assert filtered['epochs'] >= found['epochs']

    stored = read_results([tmp_path / 'out'])
    assert sorted(stored, key=str) == sorted(results, key=str)
    assert {(r.method, r.condition) for r in stored} == {
        ('imitation', 'pick_place iteration 0'),
        ('icvf', 'pick_place iteration 1'),
        ('filtered', 'pick_place iteration 1'),
    }
    assert all(r.episodes == 1 for r in stored)
    # What a policy did is there to learn from.
    for job in plan.rollouts[0, 'filtered', 1].jobs:
        assert len(load_episode(job.record)) > 1
    other = make_plan(replace(run, config=replace(run.config, patience=9)))
    with pytest.raises(UserError, match='holds a run with another "config"'):
        loop.execute(other, 1)
    # The same task's file, edited: its evaluations are not those of before.
    darker = replace(run.eval_world, axes=('lighting',))
    for name, value in (
        ('max_steps', 16),
        ('execute', 2),
        ('rate_hz', 4.0),
        ('eval_world', darker),
    ):
        with pytest.raises(UserError, match=f'another "{name}"'):
            loop.execute(make_plan(replace(run, **{name: value})), 1)


def test_a_users_files_beside_a_run_stay_and_a_damaged_record_is_one_sentence(tmp_path, capsys):
    out = tmp_path / 'out'
    theirs = out / 'frames' / 'theirs.png'
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    run = run_of(out, methods=('none',), iterations=1)
    plan = replace(make_plan(run), waves=[], imitation={}, evaluations={})
    loop.execute(plan, 1)
    assert theirs.is_file()
    words = ['recap', TASK, '--size', 'tiny', '--dry-run', '--out', str(out)]
    assert main(words) == 2
    assert 'holds a run with another' in capsys.readouterr().err
    (out / 'recap.json').write_text('')
    assert main(words) == 2
    assert 'recap.json is damaged' in capsys.readouterr().err
    with pytest.raises(UserError, match='is damaged'):
        loop.execute(plan, 1)


def test_data_of_another_scene_are_refused_before_anything_is_learned(tmp_path):
    def given(name, camera='wrist', state=16, action=7, rate=5.0):
        (tmp_path / name).mkdir()
        np.savez(
            tmp_path / name / '0.npz',
            **{f'images_{camera}': np.zeros((12, 32, 32, 3), np.uint8)},
            state=np.zeros((12, state), np.float32),
            action=np.zeros((12, action), np.float32),
            stamps=np.arange(12) / rate,
            success=True,
        )
        return tmp_path / name

    def check(folder, role='demonstrations'):
        check_given(run_of(tmp_path / 'out', **{role: folder}))

    check(given('good'))
    for changes, says in (
        ({'camera': 'front'}, "was seen by camera 'front'; this scene shows shoulder, wrist"),
        ({'state': 3}, 'has a state of 3 numbers'),
        ({'action': 14}, 'has 14 numbers where an action of this task and arm has 7'),
        ({'rate': 30.0}, 'has 30 frames a second'),
    ):
        folder = given(next(iter(changes)), **changes)
        for role in ('demonstrations', 'prior'):
            with pytest.raises(UserError, match=says):
                check(folder, role)
    run = run_of(tmp_path / 'out', demonstrations=tmp_path / 'camera')
    with pytest.raises(UserError, match='was seen by camera'):
        loop.execute(make_plan(run), 1)
    assert not (tmp_path / 'out').exists()


def test_a_training_that_was_written_and_not_marked_is_marked_with_all_its_numbers(tmp_path):
    run = run_of(tmp_path / 'out', *SMALLEST, methods=('none',), iterations=1, size='tiny')
    plan = make_plan(run)
    acting.demonstrate(stages_of(plan, Demonstrating), 1, 'local')
    policy = next(stage for stage in stages_of(plan, Training) if stage.kind == 'recap')
    learning.learn(learning.Learning(policy))
    numbers = policy.numbers()
    assert numbers['frames'] > 0
    assert numbers['epochs'] > 0
    (policy.folder / 'done.json').unlink()
    learning.learn(learning.Learning(policy))
    assert policy.numbers() == numbers


def test_a_plan_and_a_diagnosis_by_the_command_line(tmp_path, capsys):
    out = str(tmp_path / 'out')
    assert main(['recap', TASK, '--compare', 'viva', 'none', '--dry-run', '--out', out]) == 0
    said = capsys.readouterr().out
    assert 'shared: imitation policy' in said
    assert 'minutes on' in said
    assert not (tmp_path / 'out').exists()
    assert main(['recap']) == 2
    for words, says in (
        ('--positive-ratio 0.9', 'are for --diagnose'),
        ('--n-steps 50', '--set n_steps=10'),
        ('--over', '--set open_failures=false'),
        ('--value viva --compare none', 'leave out --value and --policy'),
        ('--value viva --policy filtered', 'heeds no value'),
    ):
        assert main(['recap', TASK, '--dry-run', '--out', out, *words.split()]) == 2
        assert says in capsys.readouterr().err
    assert main(['recap', TASK, '--demonstrations', str(tmp_path)]) == 2
    capsys.readouterr()
    entries = yaml.safe_load(config_path('tasks', f'{TASK}.yaml').read_text())
    entries['action']['rate_hz'] = 30
    (tmp_path / 'quick.yaml').write_text(yaml.safe_dump(entries))
    assert main(['recap', str(tmp_path / 'quick.yaml'), '--dry-run', '--out', out]) == 2
    assert '30 actions a second cannot be simulated' in capsys.readouterr().err

    train('icvf', toy_store(12), small_icvf(), tmp_path / 'value', steps=5, progress=False)
    data = tmp_path / 'data'
    data.mkdir()
    for n in range(6):
        np.savez(
            data / f'{n}.npz',
            images_front=np.random.default_rng(n).integers(0, 255, (12, 32, 32, 3), np.uint8),
            state=np.zeros((12, 3), np.float32),
            action=np.zeros((12, 7), np.float32),
            success=n % 2 == 0,
        )
    where = ['--data', str(data), '--out', out, '--json', str(tmp_path / 'seen.json')]
    assert main(['recap', '--diagnose', str(tmp_path / 'value'), *where]) == 0
    assert 'warning: There are 3 successes and 3 failures' in capsys.readouterr().out
    seen = json.loads((tmp_path / 'seen.json').read_text())
    assert seen['episodes'] == 6
    assert (tmp_path / 'out' / 'diagnosis.png').is_file()
