# SPDX-License-Identifier: Apache-2.0
"""What a user can get wrong is one sentence and exit code 2; what can be read is not lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.shared_data import shared_data
from vvf.paths import config_path, share

VALUE = share() / 'checkpoints' / 'icvf_pick_place'
POLICY = share() / 'checkpoints' / 'bc_pick_place'
BRIDGE = share() / 'checkpoints' / 'icvf_bridge'


def vvf(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'vvf', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert 'Traceback' not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize('content', [None, b'', b'hello, I am no bag\n' * 100])
def test_a_bag_that_is_not_a_bag(tmp_path: Path, content: bytes | None) -> None:
    bag = tmp_path / 'thing.mcap'
    if content is not None:
        bag.write_bytes(content)
    done = vvf('relabel', bag, '--value', VALUE, '--out', tmp_path / 'out')
    assert_one_sentence(done, 'thing.mcap')


def test_replaying_what_is_not_a_bag(tmp_path: Path) -> None:
    (tmp_path / 'folder').mkdir()
    assert_one_sentence(vvf('up', 'replay', '--bag', tmp_path / 'folder'), 'folder')


def test_a_truncated_bag_is_relabelled_as_far_as_it_goes(tmp_path: Path) -> None:
    bag = tmp_path / 'cut'
    shutil.copytree(shared_data('wx200_bag'), bag)
    bag.chmod(0o755)
    file = bag / 'mcap.mcap'
    file.chmod(0o644)
    with file.open('r+b') as stream:
        stream.truncate(file.stat().st_size // 2)
    numbers = tmp_path / 'n.json'
    done = vvf(
        'relabel', bag, '--value', BRIDGE, '--task', 'wx200_replay', '--out', tmp_path / 'out',
        '--json', numbers,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(numbers.read_text())
    assert 100 < result['frames_scored'] < 500
    assert result['frames_lost'] >= 100
    assert result['frames_scored'] + result['frames_lost'] == pytest.approx(601, abs=30)
    assert result['seconds_lost'] > 3
    assert 'lost' in done.stderr


@pytest.mark.parametrize(
    'arguments',
    [
        ('relabel', '{bag}', '--value', POLICY, '--task', 'wx200_replay', '--out', '{out}'),
        ('eval', 'policy', VALUE),
        ('eval', 'value', POLICY, '--data', '{out}'),
    ],
)
def test_a_checkpoint_of_another_kind(tmp_path: Path, arguments: tuple[object, ...]) -> None:
    places = {'bag': str(shared_data('wx200_bag')), 'out': str(tmp_path)}
    given = [str(a).format(**places) for a in arguments]
    assert_one_sentence(vvf(*given), 'bc' if POLICY in arguments else 'icvf')


def test_a_node_given_a_checkpoint_of_another_kind_ends_the_graph(tmp_path: Path) -> None:
    done = vvf(
        'up', 'pick_place', '--policy', VALUE, '--bag-dir', tmp_path, '--log-dir', tmp_path / 'log'
    )
    assert done.returncode == 2
    assert 'Traceback' not in done.stdout + done.stderr
    assert 'policy refused its settings' in done.stderr


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    assert_one_sentence(vvf('eval', 'policy', tmp_path), str(tmp_path.name))


def test_a_task_file_with_an_unknown_camera(tmp_path: Path) -> None:
    data = yaml.safe_load(config_path('tasks', 'pick_place.yaml').read_text())
    data['goal_images'] = {'wirst': 'goal.png'}
    file = tmp_path / 'task.yaml'
    file.write_text(yaml.safe_dump(data))
    assert_one_sentence(vvf('up', file), 'wirst', 'wrist', 'shoulder')


def test_unknown_names_are_told_with_the_known_ones() -> None:
    assert_one_sentence(vvf('up', 'make_coffee'), 'make_coffee', 'pick_place')
    assert_one_sentence(vvf('up', 'pick_place', '--robot', 'hal9000'), 'hal9000', 'wx250s')
    done = vvf('train', 'bc', '--data', '/nowhere/at/all', '--out', '/nowhere/out')
    assert_one_sentence(done, '/nowhere/at/all')


@pytest.mark.parametrize(
    ('arguments', 'word'),
    [
        (('collect', 'pick_place', '--out', '{file}/x', '--episodes', '1'), 'file'),
        (('up', 'shirt_folding', '--sim', 'false', '--rig', 'wx250s'), 'the rig has one arm'),
        (('collect', 'pick_place', '--out', '{out}', '--seed', '-5'), 'seed'),
        (('collect', 'pick_place', '--out', '{out}', '--noise', '.5'), 'noise'),
        (('up', 'pick_place', '--episodes', '-1'), 'episodes'),
        (('up', 'pick_place', '--bag', '{out}'), 'replay'),
        (('train', 'bc', '--data', '{out}', '--out', str(POLICY)), 'resume'),
    ],
)
def test_wrong_places_and_numbers(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    (tmp_path / 'file').write_text('a file where a folder is wanted')
    places = {'out': str(tmp_path), 'file': str(tmp_path / 'file')}
    assert_one_sentence(vvf(*[a.format(**places) for a in arguments]), word)


@pytest.mark.parametrize(
    ('arguments', 'word'),
    [
        (('--set', 'learning_rate=-1'), 'learning_rate'),
        (('--set', 'brightness=-1'), 'brightness'),
        (('--threads', '0'), 'threads'),
        (('--seed', '-1'), 'seed'),
    ],
)
def test_numbers_that_nothing_can_be_trained_with(
    tmp_path: Path, arguments: tuple[str, ...], word: str
) -> None:
    images = np.zeros((6, 16, 16, 3), np.uint8)
    np.savez(tmp_path / 'a.npz', images_front=images, action=np.zeros((6, 7)), success=True)
    train = ('train', 'cql', '--data', tmp_path, '--out', tmp_path / 'out', '--steps', 1)
    assert_one_sentence(vvf(*train, *arguments), word)


def test_bad_episodes_are_named_and_left_out_only_when_told(tmp_path: Path) -> None:
    data, out = tmp_path / 'data', tmp_path / 'out'
    data.mkdir()
    (data / 'a.npz').write_bytes(b'cut off')
    rng = np.random.default_rng(0)
    for name in ('b', 'c', 'd'):
        images = rng.integers(0, 255, (1 if name == 'd' else 6, 16, 16, 3), dtype=np.uint8)
        np.savez(data / f'{name}.npz', images_front=images)
    train = ('train', 'icvf', '--data', data, '--out', out, '--steps', 2, '--set', 'image_size=16')
    assert_one_sentence(vvf(*train), 'a.npz', '--skip-bad')
    done = vvf(*train, '--skip-bad')
    assert done.returncode == 0, done.stderr
    assert '2 episodes were left out' in done.stdout
    card = (out / 'card.md').read_text()
    assert 'a.npz' in card
    assert 'd.npz' in card
    assert '| episodes | 2 |' in card
