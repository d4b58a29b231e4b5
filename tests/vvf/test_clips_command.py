# SPDX-License-Identifier: Apache-2.0
"""`vvf clips`: a folder of videos that the readers take and a value model learns from."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vvf.cli.clips import ClipJob, write_clip
from vvf.cli.main import main
from vvf.data import kind_of_data, open_data
from vvf_models.checkpoints import load_config
from vvf_models.data.options import ReadOptions
from vvf_sim.clips import ClipConfig, make_clip

CONFIG = ClipConfig(image_size=32, most=40)


@pytest.fixture(scope='module')
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first clips of a run that was stopped, and that run then finished."""
    folder = tmp_path_factory.mktemp('data') / 'clips'
    folder.mkdir()
    for seed in range(3):
        write_clip(ClipJob(seed, folder / f'clip_{seed:07d}.mp4', CONFIG))
    stamp = (folder / 'clip_0000001.mp4').stat().st_mtime_ns
    arguments = ['clips', '--out', str(folder), '--image-size', '32', '--frames', '10', '40']
    numbers = folder.parent / 'numbers.json'
    assert main([*arguments, '--episodes', '5', '--workers', '1', '--json', str(numbers)]) == 0
    assert json.loads(numbers.read_text())['clips'] == 2
    assert (folder / 'clip_0000001.mp4').stat().st_mtime_ns == stamp
    return folder


def test_the_reader_finds_frames_stamps_and_instruction(clips: Path) -> None:
    assert len(list(clips.glob('*.mp4'))) == 5
    episodes = open_data(clips, options=ReadOptions(crop=False))
    assert kind_of_data(clips) == kind_of_data(clips / 'clip_0000000.mp4')
    assert len(episodes) == 5
    for seed, episode in enumerate(episodes):
        episode.check()
        drawn = make_clip(seed, CONFIG)
        assert episode.instruction == drawn.instruction
        assert episode.images['video'].shape == drawn.frames.shape
        assert abs(episode.images['video'].astype(int) - drawn.frames).mean() < 6
        assert (episode.success, episode.actions, episode.state) == (None, None, None)
        assert episode.stamps[-1] == pytest.approx((len(drawn.frames) - 1) / 5)


def test_other_settings_are_refused(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['clips', '--out', str(clips), '--image-size', '64']) == 2
    assert 'other settings' in capsys.readouterr().err
    assert main(['clips', '--out', str(clips), '--episodes', '0']) == 2


def test_a_value_model_learns_from_them(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / 'value'
    arguments = ['--out', str(out), '--steps', '2', '--no-state', '--set', 'image_size=16']
    assert main(['train', 'icvf', '--data', str(clips), *arguments, '--set', 'batch_size=8']) == 0
    kind, config = load_config(out)
    assert (kind, config.cameras) == ('icvf', ('video',))


def test_a_sheet_has_a_row_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / 'new' / 'sheet.png'
    arguments = ['--episodes', '2', '--image-size', '32', '--frames', '10', '40']
    assert main(['clips', '--sheet', str(sheet), *arguments]) == 0
    picture = np.asarray(Image.open(sheet).convert('RGB'), int)
    assert picture.shape[:2] == (2 * (32 + 20), 2 * (8 * 17 - 1))
    second = make_clip(1, CONFIG).frames
    assert abs(picture[72:104, :32] - second[0]).mean() < 8
    assert abs(picture[72:104, -32:] - second[-1]).mean() < 8
    assert main(['clips', '--sheet', str(tmp_path / 'a.jpg'), *arguments]) == 2
    assert '.png' in capsys.readouterr().err
