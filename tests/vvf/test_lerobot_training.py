# SPDX-License-Identifier: Apache-2.0
"""`vvf train lerobot`: what LeRobot's trainer is told and given, and what is made of its save."""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.vvf.acted_bags import acted
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
    take_checkpoint(training, 'vvf train lerobot')
    spec = read_spec(tmp_path)
    assert (spec.told, spec.dt, spec.horizon) == (True, 0.2, 6)
    assert 'vvf train lerobot' in (tmp_path / 'card.md').read_text()


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['--steps', '1', '--policy', 'diffusion'], 'choose act'),
        (['--minutes', '1'], 'give --steps'),
        (['--steps', '1', '--lerobot-python', '/nowhere/python'], 'cannot be run'),
        (['--steps', '1', '--lerobot-python', 'EMPTY'], 'pip install lerobot'),
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
