# SPDX-License-Identifier: Apache-2.0
"""Pictures of an episode with its value: cameras above, the curve growing below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vvf.viz.canvas import (
    COLOURS,
    GREEN,
    GREY,
    INK,
    LINE,
    PURPLE,
    SOFT,
    Colour,
    Figure,
    shorten,
    text_width,
)
from vvf.viz.cards import EpisodeReport
from vvf.viz.parts import Mark, moment, tick
from vvf.viz.tracks import Numbers, Track
from vvf_models.evaluation.alarms import AlarmRules, falls

UInt8Array = npt.NDArray[np.uint8]

RED: Colour = (189, 58, 52)
OUTCOMES = {'success': GREEN, 'failure': RED}
#: A fall of progress by more than this below the best of the last two seconds raises the alarm.
ALARM_FALL = 0.2

# Units of the canvas, two pixels each.
_MARGIN, _HEAD, _GAP, _BAR, _CHART, _FOOT = 14, 34, 5, 30, 118, 22
_NARROWEST = 320
_LEFT = 30  # of the chart, for its numbers
_MOST_LEVELS = 3  # of labels of events


class OverlayPainter:
    """Draws the frames of one episode.

    Args:
        episode: What is known of it.
        cameras: Height and width of each camera's images, in the order in which they are shown.
        height: Of the images in the picture, in pixels.
        alarm: Fall of the first curve that raises the alarm, as of `ALARM_FALL`.
    """

    def __init__(
        self,
        episode: EpisodeReport,
        cameras: Mapping[str, tuple[int, int]],
        *,
        height: int = 360,
        alarm: float = ALARM_FALL,
    ) -> None:
        self.episode = episode
        self.tracks = [track for track in episode.tracks if track]
        self.span = max([episode.seconds, 0.1, *(float(t.times[-1]) for t in self.tracks)])
        self._tall = height // 2
        self._wide = {c: max(1, round(w * self._tall / h)) for c, (h, w) in cameras.items()}
        images = sum(self._wide.values()) + _GAP * (len(self._wide) - 1)
        self.width = max(_NARROWEST, images + 2 * _MARGIN)
        self._first = (self.width - images) // 2
        self._bar = _HEAD + self._tall + 14
        self._top = self._bar + _BAR + 12
        self._bottom = self._top + _CHART
        self.height = self._bottom + _FOOT
        self._alarms = [alarm_on(track, alarm) for track in self.tracks[:1]]
        self._base = self._background()

    def draw(self, t: float, images: Mapping[str, UInt8Array]) -> UInt8Array:
        """The picture at a time.

        Args:
            t: In the unit of the episode.
            images: RGB by camera.

        Returns:
            (H, W, 3) uint8 RGB; both sides are even.
        """
        figure = Figure(self.width, self.height)
        figure.pixels[:] = self._base
        self._place(figure, images)
        for begin, end in self.episode.human:
            if begin <= t:
                self._shade(figure, begin, min(end, t))
        self._events(figure, t)
        for number, track in reversed(list(enumerate(self.tracks))):
            self._curve(figure, track, t, COLOURS[number % len(COLOURS)])
        x = self._x(t)
        figure.polyline(_points([(x, self._top), (x, self._bottom)]), SOFT, 0.5)
        self._progress(figure, t)
        return figure.image()

    def _background(self) -> UInt8Array:
        """What never changes: heading, axes and scale."""
        figure, episode = Figure(self.width, self.height), self.episode
        colour = OUTCOMES.get(episode.outcome, GREY)
        right = self.width - _MARGIN
        figure.text(right, 22, episode.outcome, 13.0, colour, 'rs')
        room = right - _MARGIN - 80
        figure.text(_MARGIN, 16, shorten(episode.name, room, 12.0), 12.0, INK)
        figure.text(_MARGIN, 28, shorten(episode.instruction, room, 10.0), 10.0, SOFT)
        for level in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = self._y(level)
            figure.polyline(_points([(_LEFT, y), (right, y)]), LINE, 0.5)
            if level in (0.0, 0.5, 1.0):
                figure.text(_LEFT - 5, y, f'{level:g}', 9.0, SOFT, 'rm')
        if episode.threshold is not None:
            y = self._y(episode.threshold)
            for x in np.arange(_LEFT, right, 7.0):
                figure.polyline(_points([(x, y), (min(x + 4, right), y)]), (138, 109, 59), 0.5)
        step = tick(self.span)
        for i in range(int(self.span / step + 1e-9) + 1):
            words = f'{i * step:g} {episode.unit}'
            figure.text(self._x(i * step), self._bottom + 12, words, 9.0, SOFT, 'ms')
        return figure.image()

    def _place(self, figure: Figure, images: Mapping[str, UInt8Array]) -> None:
        left = self._first
        for camera, wide in self._wide.items():
            if camera in images:
                size = (2 * wide, 2 * self._tall)
                shrinks = images[camera].shape[0] > size[1]
                how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
                figure.pixels[2 * _HEAD : 2 * _HEAD + size[1], 2 * left : 2 * left + size[0]] = (
                    cv2.resize(images[camera], size, interpolation=how)
                )
            left += wide + _GAP

    def _shade(self, figure: Figure, begin: float, end: float) -> None:
        left, right = self._x(begin), max(self._x(end), self._x(begin) + 1)
        figure.polygon(_box(left, self._top, right, self._bottom), PURPLE, 0.16)
        figure.text(left + 3, self._bottom - 4, 'by hand', 9.0, PURPLE)

    def _events(self, figure: Figure, t: float) -> None:
        past = [mark for mark in self.episode.marks if mark.t <= t]
        for number, mark in enumerate(past):
            x, colour = self._x(mark.t), _colour(mark)
            figure.polyline(_points([(x, self._top), (x, self._bottom)]), colour, 0.5, 0.7)
            y = self._top + 9 + 11 * (number % _MOST_LEVELS)
            near_the_end = x > self.width * 0.75
            figure.text(
                x + (-3 if near_the_end else 3), y, shorten(mark.label, 90, 9.0), 9.0, colour,
                'rs' if near_the_end else 'ls',
            )  # fmt: skip

    def _curve(self, figure: Figure, track: Track, t: float, colour: Colour) -> None:
        seen = (track.times <= t + 1e-6) & np.isfinite(track.progress)
        if not seen.any():
            return
        xs = np.array([self._x(time) for time in track.times[seen]])
        ys = np.array([self._y(level) for level in track.progress[seen].clip(0, 1)])
        points = np.stack([xs, ys], 1)
        if len(points) > 1:
            figure.polyline(points, colour, 1.5)
        figure.polygon(_disc(points[-1], 3.0), colour)

    def _progress(self, figure: Figure, t: float) -> None:
        """The bar, its number, the time, and the alarm."""
        y, right = self._bar, float(self.width - _MARGIN)
        track = self.tracks[0] if self.tracks else None
        now = _latest(track, t) if track else float('nan')
        alarm = any(_at(self.tracks[0].times, on, t) for on in self._alarms)
        figure.polygon(_box(_LEFT, y, right, y + 7), LINE)
        if np.isfinite(now) and now > 0:
            end = _LEFT + min(now, 1.0) * (right - _LEFT)
            figure.polygon(_box(_LEFT, y, end, y + 7), RED if alarm else COLOURS[0])
        figure.text(_LEFT, y + 21, moment(t, self.episode.unit), 11.0, INK)
        if alarm:
            figure.text((_LEFT + right) / 2, y + 21, 'progress is falling', 11.0, RED, 'ms')
        for number, other in reversed(list(enumerate(self.tracks))):
            level = _latest(other, t)
            name = other.name if len(self.tracks) > 1 else 'progress'
            words = f'{name} {level:.2f}' if np.isfinite(level) else f'{name} -'
            colour = COLOURS[number % len(COLOURS)] if len(self.tracks) > 1 else INK
            figure.text(right, y + 21, words, 11.0, colour, 'rs')
            right -= text_width(words, 11.0) + 12

    def _x(self, t: float) -> float:
        share = min(max(t / self.span, 0.0), 1.0)
        return _LEFT + share * (self.width - _MARGIN - _LEFT)

    def _y(self, level: float) -> float:
        return self._bottom - level * (self._bottom - self._top)


def alarm_on(track: Track, fall: float) -> npt.NDArray[np.bool_]:
    """At which samples progress lies by more than a fall below the best of the last seconds.

    The rule of `vvf eval value --events`, on progress.
    """
    gaps = np.diff(track.times)
    rate = 1 / float(np.median(gaps)) if len(gaps) and np.median(gaps) > 0 else 1.0
    memory = max(1, round(AlarmRules().memory_s * rate))
    return np.asarray(falls(np.nan_to_num(track.progress), memory) > fall)


def _at(times: Numbers, flags: npt.NDArray[np.bool_], t: float) -> bool:
    spot = int(np.searchsorted(times, t + 1e-6, side='right')) - 1
    return spot >= 0 and bool(flags[spot])


def _latest(track: Track, t: float) -> float:
    seen = track.progress[(track.times <= t + 1e-6) & np.isfinite(track.progress)]
    return float(seen[-1]) if len(seen) else float('nan')


def _colour(mark: Mark) -> Colour:
    return {'milestone': GREEN, 'error': RED}.get(mark.kind, SOFT)


def _points(corners: Sequence[tuple[float, float]]) -> Numbers:
    return np.array(corners, np.float64)


def _box(left: float, top: float, right: float, bottom: float) -> Numbers:
    return _points([(left, top), (right, top), (right, bottom), (left, bottom)])


def _disc(centre: Numbers, radius: float) -> Numbers:
    angles = np.linspace(0, 2 * np.pi, 20)
    return np.asarray(centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1))
