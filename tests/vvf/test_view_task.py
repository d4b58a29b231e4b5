# SPDX-License-Identifier: Apache-2.0
"""`vvf view TASK`: the film strip and the video of a simulated task."""

import json
import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from PIL import Image

from vvf.cli.main import main
from vvf.viz.task_view import STRIP_TICKS, Scene, chosen_moments, film, show_window
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.mj import mujoco
from vvf_sim.registry import task_entry


def scene(task: str = 'pick_place', expert: ExpertConfig | None = None, **config: object) -> Scene:
    entry = task_entry(task)
    return Scene(
        task, 3, entry.make_config(**{'image_size': 16, **config}), expert or ExpertConfig()
    )


def test_a_strip_has_a_column_a_moment_and_a_row_a_camera(tmp_path: Path) -> None:
    out, numbers = tmp_path / 'new' / 'strip.png', tmp_path / 'n.json'
    arguments = ['view', 'pick_place', '--arm', 'fr3', '--save', str(out), '--json', str(numbers)]
    assert main([*arguments, '--moments', '5', '--image-size', '32', '--axes', 'textures']) == 0
    picture = np.asarray(Image.open(out).convert('RGB'))
    assert picture.shape[1] == 2 * (5 * 17 - 1)
    assert picture.shape[0] > 2 * (12 + 2 * 17)
    told = json.loads(numbers.read_text())
    assert told['success'] is True
    assert told['failure_kind'] == ''
    assert told['events'][-1]['name'] == 'success'
    assert told['success_step'] <= told['steps'] < 60


def test_the_picture_at_a_place_of_the_strip_is_the_camera_there(tmp_path: Path) -> None:
    out = tmp_path / 'strip.png'
    arguments = ['--seed', '3', '--moments', '4', '--image-size', '16', '--save', str(out)]
    assert main(['view', 'pick_place', *arguments]) == 0
    picture = np.asarray(Image.open(out).convert('RGB'), int)
    played, shots = film(scene(), STRIP_TICKS)
    spots = chosen_moments(played, shots, 4)
    for row, camera in enumerate(('shoulder', 'wrist')):
        for column, spot in enumerate(spots):
            y, x = 24 + row * 18, column * 18
            shown = picture[y : y + 16, x : x + 16]
            assert abs(shown - shots[spot].images[camera]).mean() < 6


@pytest.mark.parametrize('moments', [2, 4, 8])
def test_moments_begin_and_end_with_the_episode_and_follow_events(moments: int) -> None:
    played, shots = film(scene(expert=ExpertConfig().with_mistake('dropped')), STRIP_TICKS)
    spots = chosen_moments(played, shots, moments)
    assert len(spots) == moments
    assert spots == sorted(set(spots))
    assert (spots[0], spots[-1]) == (0, len(shots) - 1)
    if moments == 8:
        times = [shots[spot].time for spot in spots]
        for event in played.events:
            assert any(0 <= time - event.time <= 0.2001 for time in times)
    assert len(chosen_moments(played, shots, 1000)) == len(shots)


def test_a_video_is_in_real_time_and_says_what_goes_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, numbers = tmp_path / 'a.mp4', tmp_path / 'n.json'
    arguments = ['--mistake', 'dropped', '--seed', '3', '--image-size', '32', '--save', str(out)]
    assert main(['view', 'pick_place', *arguments, '--json', str(numbers)]) == 0
    assert 'failure: dropped' in capsys.readouterr().out
    told = json.loads(numbers.read_text())
    assert told['failure_kind'] == 'dropped'
    assert next(e['name'] for e in told['events'] if e['kind'] == 'error') == 'dropped'
    with av.open(str(out)) as video:
        frames = list(video.decode(video=0))
        assert float(video.streams.video[0].average_rate) == 25
    assert len(frames) == told['steps'] * 5 + 1
    assert (frames[0].width, frames[0].height) == (64, 32 + 68)


def test_a_window_that_is_closed_ends_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    class Window:
        """What MuJoCo's passive viewer looks like from outside; a real one needs a screen."""

        open_for, synced = 4, 0

        def is_running(self) -> bool:
            return self.synced < self.open_for

        def sync(self) -> None:
            self.synced += 1

    window, module = Window(), ModuleType('mujoco.viewer')
    module.launch_passive = lambda model, data: window  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'mujoco.viewer', module)
    monkeypatch.setattr(mujoco, 'viewer', module, raising=False)
    monkeypatch.setenv('DISPLAY', ':0')
    played = show_window(scene())
    assert window.synced == 4
    assert not played.success


def test_mistakes_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, word in (
        (['pick_plaice'], 'neither a bag nor a simulated task'),
        (['pick_place', '--save', 'a.rrd'], '.mp4 or .png'),
        (['pick_place', '--save', 'a.png', '--mistake', 'sneezed'], 'sneezed'),
        (['pick_place', '--save', 'a.png', '--axes', 'weather'], 'weather'),
        (['pick_place', '--save', 'a.png', '--moments', '1'], '--moments'),
        (['pick_place', '--save', 'a.png', '--noise', '2'], 'noise'),
    ):
        assert main(['view', *arguments]) == 2
        assert word in capsys.readouterr().err
    for screen in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(screen, raising=False)
    assert main(['view', 'pick_place']) == 2
    assert '--save FILE.mp4' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
