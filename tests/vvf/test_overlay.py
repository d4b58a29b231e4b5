# SPDX-License-Identifier: Apache-2.0
"""Value-overlay videos: the right pictures at the right times, only those that were asked for."""

import json
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from tests.vvf.bag_factory import write_episode
from tests.vvf.value_scenes import write_episodes, write_icvf
from vvf.cli.main import main
from vvf.viz.canvas import BLUE, ORANGE, PURPLE
from vvf.viz.cards import EpisodeReport
from vvf.viz.overlay import RED, OverlayPainter, alarm_on
from vvf.viz.overlay_video import choose
from vvf.viz.parts import Mark
from vvf.viz.tracks import Track

Image = npt.NDArray[np.uint8]


def like(image: Image, colour: tuple[int, int, int], slack: int = 0) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(image.astype(int) - colour) <= slack).all(2))


def frames_of(path: Path) -> list[tuple[float, Image]]:
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec_context.name == 'h264'
        return [(float(f.time), f.to_ndarray(format='rgb24')) for f in file.decode(video=0)]


def falling() -> EpisodeReport:
    times = np.arange(21) / 5
    progress = np.concatenate([np.linspace(0, 0.8, 11), np.linspace(0.7, 0.2, 10)])
    tracks = [Track('live', times, progress), Track('relabelled', times, progress / 2)]
    marks = [Mark(1.0, 'grasped', 'milestone'), Mark(2.2, 'dropped', 'error')]
    return EpisodeReport(
        'e', 'failure', 4.0, 21, tracks, marks=marks, human=[(3.0, 4.0)], instruction='try'
    )


def test_a_picture_shows_what_was_known_at_its_time() -> None:
    painter = OverlayPainter(falling(), {'front': (40, 60), 'wrist': (40, 40)}, height=120)
    images = {
        'front': np.full((40, 60, 3), 200, np.uint8),
        'wrist': np.full((40, 40, 3), 9, np.uint8),
    }
    early, late, end = (painter.draw(t, images) for t in (0.4, 2.0, 4.0))
    assert early.shape == (2 * painter.height, 2 * painter.width, 3)
    assert like(early, (200, 200, 200)).sum() == 120 * 180
    assert like(early, (9, 9, 9)).sum() >= 120 * 120
    chart = slice(2 * painter._top, 2 * painter._bottom)
    ends = [np.nonzero(like(p[chart], ORANGE))[1].max() for p in (early, late, end)]
    assert ends[0] < ends[1] < ends[2]
    assert 0.4 < (ends[1] - 60) / (ends[2] - 60) < 0.6
    # The bar is as long as progress is, and red with the alarm, which a slow rise never raises.
    bar = 2 * painter._bar + 4
    whole = 2 * (painter.width - 14 - 30)
    assert like(late[bar : bar + 1], BLUE).sum() == pytest.approx(0.8 * whole, abs=4)
    assert not like(late[bar : bar + 60], RED).any()
    assert like(end[bar : bar + 1], RED).sum() == pytest.approx(0.2 * whole, abs=4)
    # The shade of an intervention begins where it does.
    mixed = tuple(round(0.16 * c + 0.84 * 255) for c in PURPLE)
    shaded = np.nonzero(like(end[chart], mixed, 1))[1]
    assert (shaded.min() - 60) / whole == pytest.approx(0.75, abs=0.02)
    assert not like(late[chart], mixed, 1).any()


def test_the_alarm_is_on_while_progress_lies_below_its_best() -> None:
    track = falling().tracks[0]
    on = alarm_on(track, 0.3)
    assert not on[:13].any()
    assert on[15:].all()
    assert not alarm_on(track, 0.7).any()


def test_bags_become_videos_at_their_own_pace(tmp_path: Path) -> None:
    write_episode(tmp_path / 'run' / 'a', live=True)
    write_episode(tmp_path / 'run' / 'b', live=True, outcome='failure')
    out, numbers = tmp_path / 'videos', tmp_path / 'n.json'
    command = ['overlay', str(tmp_path / 'run'), '--out', str(out), '--height', '64']
    assert main([*command, '--outcome', 'failure', '--json', str(numbers)]) == 0
    assert [p.name for p in out.iterdir()] == ['b.mp4']
    frames = frames_of(out / 'b.mp4')
    times = [t for t, _ in frames]
    # The wrist's first image comes after the shoulder's, and the last picture stays a while.
    assert times[:-1] == pytest.approx([0.1 * i for i in range(1, 12)], abs=0.002)
    assert times[-1] == pytest.approx(times[-2] + 1.5, abs=0.01)
    found = json.loads(numbers.read_text())
    assert (found['episodes'], found['frames'], found['kept']) == (1, 11, 0)
    # What is there is kept; what would look different is made anew.
    before = (out / 'b.mp4').stat().st_mtime_ns
    assert main([*command, '--json', str(numbers)]) == 0
    assert json.loads(numbers.read_text())['kept'] == 1
    assert (out / 'b.mp4').stat().st_mtime_ns == before
    narrow = [*command, '--episodes', 'b', '--cameras', 'wrist', '--json', str(numbers)]
    assert main(narrow) == 0
    assert json.loads(numbers.read_text())['kept'] == 0


def test_a_data_set_is_scored_and_filmed(tmp_path: Path) -> None:
    data, model = write_episodes(tmp_path / 'data', 3), write_icvf(tmp_path / 'v', state_dim=0)
    command = ['overlay', str(data), '--value', str(model), '--out', str(tmp_path / 'o')]
    assert main([*command, '--worst', '1', '--height', '64']) == 0
    (file,) = (tmp_path / 'o').glob('*.mp4')
    assert len(frames_of(file)) > 5


def test_episodes_are_chosen_by_id_number_outcome_and_fall() -> None:
    some = [EpisodeReport(f'e{i}', 'success' if i % 2 else 'failure', 1.0) for i in range(4)]
    some.append(falling())
    assert choose(some) == [0, 1, 2, 3, 4]
    assert choose(some, ['2', 'e0', 'e0']) == [1, 0]
    assert choose(some, outcomes=['failure']) == [0, 2, 4]
    assert choose(some, most=1) == [4]


def test_mistakes_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_episode(tmp_path / 'run' / 'a', live=True)
    write_episode(tmp_path / 'mute' / 'a')
    data = write_episodes(tmp_path / 'data', 1)
    for words, arguments in (
        ('there is no episode 7', ['run', '--episodes', '7']),
        ('no episode is left', ['run', '--outcome', 'failure']),
        ('has no camera elbow', ['run', '--cameras', 'elbow']),
        ('run `vvf relabel`', ['mute']),
        ('name a checkpoint', ['data']),
        ('leave --value out', ['run', '--value', 'x']),
        ('leave --values out', ['run', '--values', 'x']),
        ('vvf relabel', ['data', '--values', 'x']),
        ('does not exist', ['nowhere']),
        ('--height', ['run', '--height', '1']),
    ):
        path, *more = arguments
        assert main(['overlay', str(tmp_path / path), '--out', str(tmp_path / 'o'), *more]) == 2
        assert words in capsys.readouterr().err
    assert data.exists()
    assert not list((tmp_path / 'o').glob('*.mp4'))
