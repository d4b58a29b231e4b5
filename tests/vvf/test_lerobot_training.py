# SPDX-License-Identifier: Apache-2.0
"""`vvf train lerobot`: what LeRobot's trainer is told and given, and what is made of its save."""

import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.vvf.acted_bags import acted
from tests.vvf_models.toy_lerobot import LENGTHS, write_dataset
from vvf.cli.main import main
from vvf.errors import UserError
from vvf.lerobot_training import (
    LerobotTraining,
    settings_of,
    take_checkpoint,
    trainer_command,
    write_indicator,
)
from vvf_models.data.open import open_episodes
from vvf_models.policies.lerobot import read_spec


def how(out: Path, **changes: object) -> LerobotTraining:
    made = LerobotTraining('act', out, 'python', 100, 7, {'policy.chunk_size': '6'}, told=True)
    return replace(made, **changes)


def texts(root: Path) -> list[str]:
    known = pq.read_table(root / 'meta' / 'tasks.parquet').to_pydict()
    of = dict(zip(known['task_index'], known['task'], strict=True))
    rows = pq.read_table(root / 'data' / 'chunk-000' / 'file-000.parquet')
    return [of[n] for n in rows['task_index'].to_pylist()]


def fails_to_train(python: Path) -> Path:
    """A Python that has LeRobot, as it says."""
    python.write_text('#!/bin/sh\n[ "$1" = -c ]\n')
    python.chmod(0o755)
    return python


def test_each_frame_says_whether_its_action_improves(tmp_path: Path) -> None:
    bags, root = tmp_path / 'bags', tmp_path / 'data'
    acted(bags / 'fold', 60)
    assert main(['export', 'lerobot', str(bags), '--out', str(root)]) == 0
    before = texts(root)
    improving = np.arange(len(before)) % 3 == 0
    counts = write_indicator(root, improving, 0, 0.3)
    after = texts(root)
    assert Counter(after) == counts
    lines = [text.removeprefix('do fold').strip() for text in after]
    assert set(lines) == {'Advantage: positive', 'Advantage: negative', ''}
    for line, improves in zip(lines, improving, strict=True):
        assert line in ('', f'Advantage: {"positive" if improves else "negative"}')
    assert 0.1 < lines.count('') / len(lines) < 0.5
    assert json.loads((root / 'meta' / 'info.json').read_text())['total_tasks'] == 3
    assert len(open_episodes(root)) == 1, 'it is a data set still'
    with pytest.raises(UserError, match='frames'):
        write_indicator(root, improving[1:], 0)


def test_what_was_stopped_between_its_files_is_written_anew(tmp_path: Path, monkeypatch) -> None:
    bags, root = tmp_path / 'bags', tmp_path / 'data'
    acted(bags / 'fold', 60)
    assert main(['export', 'lerobot', str(bags), '--out', str(root)]) == 0
    whole = shutil.copytree(root, tmp_path / 'whole')
    improving = np.arange(len(texts(root))) % 3 == 0
    counts = write_indicator(whole, improving, 0)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr('vvf.lerobot_training.write_tasks', stopped)
        with pytest.raises(KeyboardInterrupt):
            write_indicator(root, improving, 0)
    assert write_indicator(root, improving, 0) == counts
    assert texts(root) == texts(whole)


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (['--seed', '5'], 'another --seed (0, now 5)'),
        (['--policy', 'smolvla'], 'another --policy (act, now smolvla)'),
        (['--set', 'batch_size=2'], 'another --set'),
        (['--demonstrations', 'BAGS'], 'another --demonstrations'),
        (['--cameras', 'front'], 'another --cameras'),
        (['--value', 'checkpoints/icvf_pick_place'], 'another --value'),
        (['--steps', '9'], 'LeRobot could not train'),
    ],
)
def test_a_run_goes_on_as_it_began(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags, out = tmp_path / 'bags', tmp_path / 'out'
    acted(bags / 'fold', 12)
    python = fails_to_train(tmp_path / 'python')
    command = ['train', 'lerobot', '--out', str(out), '--steps', '4']
    command += ['--lerobot-python', str(python), '--data']
    assert main([*command, str(tmp_path / 'nowhere')]) == 2, 'which binds nobody'
    command += [str(bags)]
    assert main(command) == 2
    assert 'LeRobot could not train' in capsys.readouterr().err
    again = [str(bags) if word == 'BAGS' else word for word in words]
    assert main([*command, '--resume', *again]) == 2
    assert says in capsys.readouterr().err
    (out / '.lerobot' / 'asked.json').unlink()
    assert main([*command, '--resume']) == 2
    assert 'does not say what it was asked for' in capsys.readouterr().err


def test_every_frame_of_a_fast_data_set_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast, out = write_dataset(tmp_path / 'fast', video=False), tmp_path / 'out'
    train = ['train', 'icvf', '--data', str(fast), '--steps', '1', '--no-state', '--fps', '0']
    train += ['--set', 'image_size=16', '--set', 'batch_size=4', '--set', 'held_out_fraction=0']
    assert main([*train, '--out', str(tmp_path / 'value')]) == 0
    python = fails_to_train(tmp_path / 'python')
    command = ['train', 'lerobot', '--out', str(out), '--steps', '4', '--data', str(fast)]
    command += ['--lerobot-python', str(python), '--value', str(tmp_path / 'value')]
    assert main(command) == 2
    assert 'LeRobot could not train' in capsys.readouterr().err
    assert len(texts(out / '.lerobot' / 'data')) == sum(LENGTHS)


def test_the_trainer_is_told_where_the_data_are_and_what_the_user_sets(tmp_path: Path) -> None:
    command = trainer_command(how(tmp_path))
    assert command[:3] == ['python', '-m', 'lerobot.scripts.lerobot_train']
    options = dict(word.removeprefix('--').split('=') for word in command[3:])
    assert options['dataset.root'] == str(tmp_path / '.lerobot' / 'data')
    assert options['policy.type'] == 'act'
    assert options['policy.chunk_size'] == '6'
    assert (options['steps'], options['seed']) == ('100', '7')
    assert options['policy.push_to_hub'] == options['wandb.enable'] == 'false', 'nothing leaves'
    tuned = trainer_command(how(tmp_path, settings={'policy.path': 'folder'}))
    assert '--policy.path=folder' in tuned
    assert '--policy.type=act' not in tuned, 'LeRobot takes one of the two'
    assert settings_of(['--a.b=c=d']) == {'a.b': 'c=d'}
    with pytest.raises(UserError, match='KEY=VALUE'):
        settings_of(['batch_size'])


def test_what_was_saved_is_gone_on_from_and_becomes_a_checkpoint(tmp_path: Path) -> None:
    training = how(tmp_path)
    saved = training.run / 'checkpoints' / '000020' / 'pretrained_model'
    saved.mkdir(parents=True)
    (saved.parents[1] / 'last').symlink_to('000020')
    config = {
        'type': 'act',
        'input_features': {'observation.images.front': {'shape': [3, 32, 32]}},
        'output_features': {'action': {'shape': [7]}},
        'chunk_size': 6,
    }
    for name, text in {'config.json': json.dumps(config), 'train_config.json': '{}'}.items():
        (saved / name).write_text(text)
    (training.data / 'meta').mkdir(parents=True)
    (training.data / 'meta' / 'info.json').write_text('{"fps": 5}')
    assert '--resume=true' in trainer_command(training)
    take_checkpoint(training, 'vvf train lerobot', False)
    spec = read_spec(tmp_path)
    assert (spec.told, spec.dt, spec.horizon) == (True, 0.2, 6)
    assert spec.displacements is False
    assert 'vvf train lerobot' in (tmp_path / 'card.md').read_text()


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['--steps', '1', '--policy', 'diffusion'], 'choose act'),
        (['--minutes', '1'], 'give --steps'),
        (['--steps', '1', '--lerobot-python', '/nowhere/python'], 'cannot be run'),
        (['--steps', '1', '--lerobot-python', 'EMPTY'], 'pip install lerobot'),
        (['--steps', '1', '--set', 'output_dir=x'], 'vvf says that itself'),
        (['--steps', '1', '--set=--seed=3'], 'vvf says that itself'),
    ],
)
def test_what_is_missing_is_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys
) -> None:
    # A Python that has nothing installed: the one below the environment's, without its packages.
    empty = tmp_path / 'python'
    empty.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    empty.chmod(0o755)
    words = [str(empty) if word == 'EMPTY' else word for word in words]
    out = ['--data', str(tmp_path), '--out', str(tmp_path / 'out')]
    assert main(['train', 'lerobot', *out, *words]) == 2
    assert sentence in capsys.readouterr().err
