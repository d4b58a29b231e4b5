# SPDX-License-Identifier: Apache-2.0
"""`vvf collect` in its formats: the same episodes, and nothing done twice."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from vvf.cli.main import main
from vvf.data import open_data
from vvf.paths import config_path

SEEDS = ['--episodes', '2', '--seed', '40', '--workers', '1', '--image-size', '24']
WRONG = ['--expert', 'noisy', '--noise', '0', '--mistake', 'missed_grasp', '--interventions', '3']


def collect(out: Path, *more: str) -> int:
    return main(['collect', 'pick_place', '--out', str(out), *SEEDS, *WRONG, *more])


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    out = tmp_path_factory.mktemp('collected') / 'npz'
    assert collect(out) == 0
    return out


@pytest.mark.parametrize(
    ('kind', 'arm'), [('bags', 'wx250s'), ('lerobot', 'wx250s'), ('bags', 'fr3')]
)
def test_every_format_holds_the_same_episodes(archives, tmp_path, kind, arm):
    expected = archives
    if arm != 'wx250s':
        expected = tmp_path / 'npz'
        assert collect(expected, '--arm', arm) == 0
    out = tmp_path / kind
    assert collect(out, '--format', kind, '--arm', arm) == 0
    for archive, other in zip(open_data(expected), open_data(out), strict=True):
        assert archive.instruction == other.instruction
        assert archive.success == other.success
        assert archive.success_index == other.success_index
        assert archive.interventions.any()
        np.testing.assert_array_equal(archive.interventions, other.interventions)
        np.testing.assert_allclose(archive.state, other.state, atol=1e-6)
        np.testing.assert_array_equal(archive.actions, other.actions)
        told = [event for event in archive.events if event.kind]
        assert told == [event for event in other.events if event.kind]
        assert told[0].name == 'closed_empty'
    if kind == 'bags':
        for camera, frames in archive.images.items():
            np.testing.assert_array_equal(frames, other.images[camera])


def test_what_is_there_is_not_collected_again(archives, tmp_path, capsys):
    before = {file: file.stat().st_mtime_ns for file in archives.iterdir()}
    summary = tmp_path / 'summary.json'
    assert collect(archives, '--json', str(summary)) == 0
    assert 'are there already' in capsys.readouterr().out
    assert json.loads(summary.read_text())['episodes'] == 0
    after = {file: file.stat().st_mtime_ns for file in archives.glob('*.npz')}
    assert after.items() <= before.items()


def test_other_settings_are_not_mixed_in(archives, capsys):
    assert collect(archives, '--axes', 'textures') == 2
    assert 'other settings' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (['--mistake', 'sneeze'], 'sneeze'),
        (['--cameras', 'ceiling'], 'ceiling'),
        (['--axes', 'weather'], 'weather'),
        (['--scenario', 'mars'], 'mars'),
        (['--interventions', '-1'], '--interventions'),
    ],
)
def test_mistakes_of_the_user_are_one_sentence(tmp_path, capsys, more, words):
    assert collect(tmp_path / 'out', *more) == 2
    message = capsys.readouterr().err
    assert words in message
    assert 'Traceback' not in message
    assert not (tmp_path / 'out').exists()


def test_ray_gives_the_same_episodes(archives, tmp_path):
    assert collect(tmp_path / 'ray', '--engine', 'ray') == 0
    for file in sorted(archives.glob('*.npz')):
        with np.load(file) as here, np.load(tmp_path / 'ray' / file.name) as there:
            for key in here.files:
                np.testing.assert_array_equal(here[key], there[key])


def test_it_collects_at_the_rate_of_the_task(tmp_path, capsys):
    entries = yaml.safe_load(config_path('tasks', 'pick_place.yaml').read_text())
    entries['action']['rate_hz'] = 10
    task = tmp_path / 'quick.yaml'
    task.write_text(yaml.safe_dump(entries))
    how = ['--out', str(tmp_path / 'out'), '--episodes', '1', *SEEDS[2:]]
    assert main(['collect', str(task), *how]) == 0
    assert open_data(tmp_path / 'out')[0].rate_hz == pytest.approx(10.0)
    assert main(['collect', 'pick_place', *how]) == 2
    assert 'other settings' in capsys.readouterr().err
