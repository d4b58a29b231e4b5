# SPDX-License-Identifier: Apache-2.0
"""`vvf eval value`: one model or several, labelled or not, with whatever the data allow."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vvf.value_scenes import TASKS, write_distributional, write_episodes, write_icvf
from vvf.cli.main import main
from vvf.value_data import Data, rows_of, scene_of
from vvf.value_evaluation import Judging, evaluate_values
from vvf_models.data.npz import load_episode
from vvf_models.evaluation.value_metrics import value_metrics
from vvf_models.runtime import load_value


def run(tmp_path: Path, *arguments: Any) -> dict[str, Any]:
    """The numbers of a command that must succeed."""
    out = tmp_path / 'numbers.json'
    assert main(['eval', 'value', *map(str, arguments), '--json', str(out)]) == 0
    numbers: dict[str, Any] = json.loads(out.read_text('utf-8'))
    return numbers


def test_the_numbers_are_those_of_the_values_at_run_time(tmp_path: Path) -> None:
    data, model = write_episodes(tmp_path / 'data'), write_icvf(tmp_path / 'model')
    numbers = run(tmp_path, model, '--data', data)
    runtime = load_value(model)
    values, success, index = [], [], []
    for file in sorted(data.glob('*.npz')):
        episode = load_episode(file)
        runtime.set_instruction(episode.instruction)
        values.append(runtime.value(runtime.encode(episode.images, episode.state)).value)
        success.append(episode.success)
        index.append(episode.success_index)
    expected = value_metrics(values, success, index)
    for name in ('spearman_mean', 'spearman_low', 'auc_end', 'auc_end_high', 'kendall_tau'):
        assert numbers[name] == pytest.approx(expected[name], abs=1e-4), name
    design = 'episodes spearman_mean spearman_low spearman_high pearson_mean auc_end auc_75 auc_50'
    assert set(design.split()) | {'reversed_spearman_mean', 'kendall_tau'} <= set(numbers)
    assert numbers['reversed_spearman_mean'] is None  # each frame is judged alone
    assert numbers['goal'] == 'checkpoint'
    assert numbers['instructions'] == 2
    assert numbers['parameters'] > 0
    assert numbers['ms_per_frame_batch_1'] > 0
    assert 'milestones' not in numbers
    assert 'sarsa_error' not in numbers


def test_several_models_stand_side_by_side_with_the_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_episodes(tmp_path / 'data')
    models = [write_icvf(tmp_path / 'still'), write_distributional(tmp_path / 'reader')]
    numbers = run(
        tmp_path, *models, '--data', data, '--baseline', data, '--events', '--sarsa',
        '--smooth', 3, '--figure', tmp_path / 'new' / 'curves.png',
        '--report', tmp_path / 'page.html', '--gradcam', '--report-episodes', 4,
    )  # fmt: skip
    assert [m['checkpoint'] for m in numbers['models']] == ['still', 'reader']
    still, reader = numbers['models']
    assert reader['goal'] == 'instruction'
    assert reader['instructions'] == 2
    assert reader['training_minutes'] == 1.5
    assert (reader['seen_auc_end'], reader['held_out_auc_end']) == (0.9, 0.8)
    assert 'held_out_only' not in reader
    assert 'training_minutes' not in still
    assert still['milestones'] == 12
    assert still['errors'] == still['errors_stopped'] == 4
    assert reader['sarsa_unexplained'] >= 0
    assert numbers['episodes'] == 12
    assert numbers['baseline_spearman_mean'] > 0.5  # the state is where the dot is
    assert numbers['baseline_errors'] == 4
    assert numbers['left_out'] == []
    table = capsys.readouterr().out
    assert re.search(r'still +┃ +reader +┃ +proprioception only', table)
    assert 'Under other instructions (2 in all)' in table
    assert 'Errors noticed within a second' in table
    assert 'Reversed clips are left out' in table
    assert 'means over the last 3 frames' in table
    assert 'AUC at the end, stopped' in table
    assert (tmp_path / 'new' / 'curves.png').stat().st_size > 10_000
    page = (tmp_path / 'page.html').read_text('utf-8')
    assert page.count('<article class="card"') == 4


def test_without_labels_nothing_is_said_about_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_episodes(tmp_path / 'data', 4, success=None, success_index=None)
    numbers = run(tmp_path, write_icvf(tmp_path / 'model', state_dim=0), '--data', data)
    assert numbers['goal'] == 'own last frame'
    assert numbers['successes'] == numbers['failures'] == 0
    assert numbers['auc_end'] is None
    assert numbers['spearman_mean'] is not None
    table = ' '.join(capsys.readouterr().out.split())
    assert 'Order along episodes' in table
    assert 'Success told from failure' not in table
    assert 'Nobody labelled the outcome' in table
    assert 'by construction' in table


def test_smoothing_changes_the_values_and_is_recorded(tmp_path: Path) -> None:
    data, model = write_episodes(tmp_path / 'data', 6), write_icvf(tmp_path / 'model')
    plain = evaluate_values([model], [data], Judging(speed=False))
    mean = evaluate_values([model], [data], Judging(speed=False, smooth=4))
    before, after = plain.models[0].values[2], mean.models[0].values[2]
    assert after[3] == pytest.approx(before[:4].mean(), abs=1e-5)
    assert mean.models[0].numbers['smooth'] == 4


def test_a_balanced_choice_takes_as_many_of_each(tmp_path: Path) -> None:
    data, model = write_episodes(tmp_path / 'data'), write_icvf(tmp_path / 'model')
    scene = evaluate_values([model], [data], Judging(speed=False, balance=3)).scene
    assert sorted(map(bool, scene.success)) == [False] * 3 + [True] * 3
    assert scene.names[0] == 'toy_00'
    assert main(['eval', 'value', str(model), '--data', str(data), '--balance', '9']) == 2


def test_bad_episodes_are_named_and_left_out_only_if_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = write_episodes(tmp_path / 'data', 6), write_icvf(tmp_path / 'model')
    (data / 'toy_02.npz').write_bytes(b'no archive')
    assert main(['eval', 'value', str(model), '--data', str(data)]) == 2
    assert 'toy_02.npz' in capsys.readouterr().err
    numbers = run(tmp_path, model, '--data', data, '--skip-bad')
    assert numbers['episodes'] == 5
    assert len(numbers['left_out']) == 1
    assert 'toy_02.npz' in numbers['left_out'][0]
    assert capsys.readouterr().err.count('left out:') == 1
    # What is shown of an episode is that episode's, although numbers have moved.
    source = Data([data], skip_bad=lambda reason: None)
    store = source.store(['front'], 16, state=True)
    scene = scene_of(store, np.arange(store.n_episodes))
    assert scene.numbers == [0, 1, 3, 4, 5]
    assert scene.names[2] == source.episodes()[3].episode_id == 'toy_03'
    assert rows_of(store, scene).tolist() == [0, 1, 2, 3, 4]


def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_episodes(tmp_path / 'data', 4)
    model = write_icvf(tmp_path / 'model')
    bare = write_icvf(tmp_path / 'bare', goals=False)
    few = write_episodes(tmp_path / 'few', 3)
    stateless = write_episodes(tmp_path / 'stateless', 4, state=None)
    for arguments, part in (
        ([tmp_path / 'nowhere', '--data', data], 'there is no checkpoint folder'),
        ([model, '--data', tmp_path / 'nothing'], 'does not exist'),
        ([model, '--data', stateless], 'state'),
        ([model, '--data', data, '--baseline', stateless], 'state'),
        ([bare, '--data', data, '--goal', 'checkpoint'], 'holds no goals'),
        ([model, '--data', data, '--smooth', 0], '--smooth'),
        ([model, '--data', data, '--false-alarms', 2], '--false-alarms'),
        ([model, '--data', data, '--gradcam'], '--report'),
        ([model, '--data', few, '--sarsa'], '--sarsa'),
    ):
        assert main(['eval', 'value', *map(str, arguments)]) == 2, part
        error = capsys.readouterr().err
        assert part in error
        assert error.count('\n') == 1


def test_models_of_one_instruction_are_not_asked_about_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_episodes(tmp_path / 'data', 4, instruction=TASKS[0])
    numbers = run(tmp_path, write_distributional(tmp_path / 'reader'), '--data', data)
    assert numbers['instructions'] == 0
    assert 'instruction_auc' not in numbers
    assert 'all episodes have the same one' in capsys.readouterr().out
