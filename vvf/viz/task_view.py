# SPDX-License-Identifier: Apache-2.0
"""The scripted expert at a simulated task: a film strip, a video, or MuJoCo's own window."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.errors import UserError
from vvf.export.video import VideoWriter
from vvf.viz.canvas import GREEN, INK, ORANGE, SCALE, SOFT, Colour, Figure, shorten, text_width
from vvf.viz.film import save_few_colours
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.play import Played, StopPlaying, play_episode
from vvf_sim.worlds.ticks import TICK_S
from vvf_sim.worlds.world import World
from vvf_sim.worlds.world_config import WorldConfig

UInt8Array = npt.NDArray[np.uint8]

#: Ticks between pictures of a strip and of a video.
STRIP_TICKS, VIDEO_TICKS = 10, 2
_COLOURS: dict[str, Colour] = {'milestone': GREEN, 'error': ORANGE, '': SOFT}
_TEXT, _LINE = 6.5, 8
_SHOWN_S = 1.5  # how long a video says what happened


@dataclass(frozen=True)
class Scene:
    """What is to be seen: arguments of `play_episode`."""

    task: str
    seed: int
    config: WorldConfig
    expert: ExpertConfig

    @property
    def title(self) -> str:
        """Task, arm and seed."""
        return f'{self.task}, {self.config.arm}, seed {self.seed}'


@dataclass(frozen=True)
class Shot:
    """All cameras at a moment, in s since the reset."""

    time: float
    images: dict[str, UInt8Array]


def film(scene: Scene, ticks: int) -> tuple[Played, list[Shot]]:
    """The episode, with pictures each so many ticks of 20 ms."""
    shots: list[Shot] = []
    count = 0

    def on_tick(world: World[Any]) -> None:
        nonlocal count
        if count % ticks == 0:
            shots.append(Shot(world.time, world.images()))
        count += 1

    played = play_episode(scene.task, scene.seed, scene.config, scene.expert, on_tick)
    return played, shots


def outcome(played: Played) -> str:
    """How an episode ended, in words."""
    if played.success:
        return f'success after {played.success_step} steps'
    return f'failure: {played.failure_kind or "unfinished"}'


def write_strip(path: Path, scene: Scene, moments: int) -> Played:
    """Write moments of an episode side by side as a PNG, with what happened below them."""
    played, shots = film(scene, STRIP_TICKS)
    save_few_colours(draw_strip(scene, played, shots, moments), path)
    return played


def draw_strip(scene: Scene, played: Played, shots: Sequence[Shot], moments: int) -> UInt8Array:
    """The film strip (H, W, 3): a column a moment, a row a camera."""
    spots = chosen_moments(played, shots, moments)
    cameras = list(shots[0].images)
    size = shots[0].images[cameras[0]].shape[0]
    cell = size / SCALE
    said = [_happened(played, shots, a, b) for a, b in zip([-1, *spots[:-1]], spots, strict=True)]
    lines = max(1, *(len(words) for words in said))
    top, below = 12, 10 + _LINE * lines
    wide = round(len(spots) * (cell + 1) - 1)
    figure = Figure(wide, round(top + len(cameras) * (cell + 1) + below))
    title = f'{scene.title}: {played.instruction} ({outcome(played)})'
    figure.text(1, 8, shorten(title, wide - 2, 7.5), 7.5)
    for column, spot in enumerate(spots):
        left = round(column * (cell + 1))
        for row, camera in enumerate(cameras):
            y, x = round((top + row * (cell + 1)) * SCALE), left * SCALE
            figure.pixels[y : y + size, x : x + size] = shots[spot].images[camera]
        y = top + len(cameras) * (cell + 1) + 6
        figure.text(left + 1, y, f'{shots[spot].time:.1f} s', _TEXT, INK)
        for number, (word, colour) in enumerate(said[column], 1):
            figure.text(left + 1, y + _LINE * number, shorten(word, cell - 1, _TEXT), _TEXT, colour)
    return figure.image()


def chosen_moments(played: Played, shots: Sequence[Shot], moments: int) -> list[int]:
    """Which shots are shown: the first, the last, those after events, and some between them."""
    times = np.array([shot.time for shot in shots])
    last = len(shots) - 1
    due = np.searchsorted(times, [event.time for event in played.events]).clip(0, last)
    marked = np.unique(due[(due > 0) & (due < last)])
    room = max(0, moments - 2)
    if len(marked) > room:
        marked = marked[np.unique(np.linspace(0, len(marked) - 1, room).round().astype(int))]
    spots = sorted({0, last, *(int(spot) for spot in marked)})
    while len(spots) < min(moments, len(shots)):
        gaps = np.diff(spots)
        widest = int(gaps.argmax())
        spots.insert(widest + 1, spots[widest] + int(gaps[widest]) // 2)
    return spots


def _happened(
    played: Played, shots: Sequence[Shot], before: int, until: int
) -> list[tuple[str, Colour]]:
    """Words and colours of the events after one shot and up to another."""
    start = shots[before].time if before >= 0 else -1.0
    last = until == len(shots) - 1
    return [
        (_words(event.name, event.kind), _COLOURS[kind])
        for event, kind in zip(played.events, played.event_kinds, strict=True)
        if start < event.time and (event.time <= shots[until].time or last)
    ]


def _words(name: str, kind: str) -> str:
    return f'{name} {kind}'.strip().replace('_', ' ')


def write_film(path: Path, scene: Scene) -> Played:
    """Write an episode as a video in real time, with what happens below the cameras."""
    played, shots = film(scene, VIDEO_TICKS)
    heading = f'{scene.title}: {played.instruction}'
    with VideoWriter(path, round(1.0 / (VIDEO_TICKS * TICK_S)), 'h264') as video:
        for shot in shots:
            video.write(_captioned(heading, shot, played))
    return played


def _captioned(heading: str, shot: Shot, played: Played) -> UInt8Array:
    images = np.hstack(list(shot.images.values()))
    height, width = images.shape[:2]
    figure = Figure(-(-width // SCALE), -(-height // SCALE) + 34)
    figure.pixels[:height, :width] = images
    y = -(-height // SCALE)
    figure.text(4, y + 13, shorten(heading, width / SCALE - 50, 10), 10)
    stamp = f'{shot.time:.1f} s'
    figure.text(width / SCALE - 4 - text_width(stamp, 10), y + 13, stamp, 10, SOFT)
    x = 4.0
    for event, kind in zip(played.events, played.event_kinds, strict=True):
        if 0.0 <= shot.time - event.time < _SHOWN_S:
            words = _words(event.name, event.kind)
            figure.text(x, y + 27, words, 10, _COLOURS[kind])
            x += text_width(words, 10) + 10
    return figure.image()


def show_window(scene: Scene) -> Played:
    """Show an episode in MuJoCo's viewer in real time; return when it is closed.

    Raises:
        UserError: there is no screen, or the viewer's package is not installed.
    """
    files = 'write a file with --save FILE.mp4, or a film strip with --save FILE.png'
    if sys.platform == 'linux' and not {'DISPLAY', 'WAYLAND_DISPLAY'} & os.environ.keys():
        raise UserError(f'there is no screen here: {files}')
    try:
        import mujoco.viewer
    except ImportError as error:
        raise UserError(
            f"MuJoCo's viewer needs the package glfw, which is not here: {files}"
        ) from (error)
    window: Any = None
    began = 0.0

    def on_tick(world: World[Any]) -> None:
        nonlocal window, began
        if window is None:
            window = mujoco.viewer.launch_passive(world.model, world.data)
            began = time.monotonic()
        if not window.is_running():
            raise StopPlaying
        window.sync()
        time.sleep(max(0.0, began + world.time - time.monotonic()))

    played = play_episode(scene.task, scene.seed, scene.config, scene.expert, on_tick)
    while window.is_running():
        time.sleep(TICK_S)
    return played
