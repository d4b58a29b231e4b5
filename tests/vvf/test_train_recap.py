# SPDX-License-Identifier: Apache-2.0
"""`vvf train recap`: which actions count as improvement, told by a value model."""

import re
import shutil

import numpy as np
import pytest

from tests.vvf_models.toy import small_icvf, toy_episode, toy_store
from vvf.cli.main import main
from vvf_models.runtime import load_policy
from vvf_models.training import train

SMALL = ('image_size=16', 'width=8', 'hidden=[16]', 'batch_size=16', 'evaluate_every=2')


@pytest.fixture(scope='module')
def here(tmp_path_factory):
    """A value model, and folders of rollouts and of demonstrations."""
    root = tmp_path_factory.mktemp('recap')
    train('icvf', toy_store(12), small_icvf(), root / 'value', steps=20, progress=False)
    rng = np.random.default_rng(0)
    for folder, episodes in (('rollouts', 8), ('shown', 3)):
        (root / folder).mkdir()
        for n in range(episodes):
            np.savez(
                root / folder / f'{n}.npz',
                images_front=rng.integers(0, 255, (20, 32, 32, 3), np.uint8),
                state=rng.normal(size=(20, 3)).astype(np.float32),
                action=rng.uniform(-0.1, 0.1, (20, 7)).astype(np.float32),
                success=folder == 'shown' or n % 2 == 0,
                instruction='close the box',
            )
    return root


def command(here, out, *more):
    settings = [word for entry in SMALL for word in ('--set', entry)]
    data = ['--data', str(here / 'rollouts')]
    return main(['train', 'recap', *data, '--steps', '2', *settings, '--out', str(out), *more])


def test_a_value_says_which_actions_improve(here, tmp_path, capsys):
    value = ['--value', str(here / 'value')]
    shown = ['--demonstrations', str(here / 'shown'), '--positive-ratio', '0.4', '--n-steps', '3']
    assert command(here, tmp_path / 'cut', *value, *shown) == 0
    cut = capsys.readouterr().out
    assert 40 <= float(re.search(r'([\d.]+)% of the frames of --data', cut)[1]) < 46
    assert '60 frames of humans and demonstrations besides' in cut
    # Of failures that are over, the last frames are judged by that.
    assert command(here, tmp_path / 'over', *value, *shown, '--over') == 0
    over = capsys.readouterr().out
    limits = [re.search(r'"close the box": an advantage of (\S+)', t)[1] for t in (cut, over)]
    assert limits[0] != limits[1]
    policy = load_policy(tmp_path / 'cut')
    policy.set_instruction('close the box')
    seen = {'front': np.zeros((32, 32, 3), np.uint8)}
    chunk = policy.act(seen, np.zeros(3, np.float32))
    assert chunk.shape == (6, 7)
    assert np.isfinite(chunk).all()


def test_an_episode_that_the_value_cannot_see_is_named(here, tmp_path, capsys):
    cameras = ('front', 'wrist')
    episodes = [toy_episode(seed, cameras=cameras) for seed in range(12)]
    config = small_icvf(cameras=cameras)
    train('icvf', episodes, config, tmp_path / 'value', steps=2, progress=False)
    data = shutil.copytree(here / 'rollouts', tmp_path / 'data')
    for n, file in enumerate(sorted(data.iterdir())):
        if n != 5:
            arrays = dict(np.load(file))
            np.savez(file, images_wrist=arrays['images_front'], **arrays)
    settings = [word for entry in SMALL for word in ('--set', entry)]
    words = ['--data', str(data), '--cameras', 'front', '--skip-bad', '--steps', '1', *settings]
    words += ['--value', str(tmp_path / 'value'), '--out', str(tmp_path / 'out')]
    assert main(['train', 'recap', *words]) == 2
    assert 'do not see the same episodes (first of all number 5' in capsys.readouterr().err


def test_who_is_to_be_told_needs_a_value(here, tmp_path, capsys):
    assert command(here, tmp_path / 'none') == 2
    assert 'give a value model with --value' in capsys.readouterr().err
    assert command(here, tmp_path / 'none', '--set', 'indicator_dropout=1') == 0
