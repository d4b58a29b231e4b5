# SPDX-License-Identifier: Apache-2.0
"""Value-overlay videos: one H.264 mp4 for an episode, at the episode's own pace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from vvf.bags.frames import header_stamp
from vvf.bags.reader import DecodeError, open_bag
from vvf.errors import UserError
from vvf.images import ImageError, to_rgb
from vvf.viz.bag_notes import camera_topics, take_notes
from vvf.viz.cards import EpisodeReport
from vvf.viz.data_episodes import frame_times
from vvf.viz.overlay import OverlayPainter
from vvf_models.data.episode import Episode

UInt8Array = npt.NDArray[np.uint8]
Moments = Iterator[tuple[float, dict[str, UInt8Array]]]

_CLOCK = 1000  # ticks of a video's time per second
_FASTEST = 30.0  # frames a second
_HOLD = 1.5  # seconds that the last picture stays
_FRAMES_HZ = 5.0  # pace of episodes whose rate nobody knows


@dataclass(frozen=True)
class Clip:
    """An episode to be made a video of.

    Attributes:
        episode: What is known of it.
        moments: Opens its frames: time and RGB images by camera, in order of time.
        mark: Changes when the video would; kept in the file.
    """

    episode: EpisodeReport
    moments: Callable[[], Moments]
    mark: str

    @property
    def file_name(self) -> str:
        """A name that every file system takes."""
        return re.sub(r'[^\w.-]+', '_', self.episode.name).strip('._') or 'episode'


def write_overlay(
    path: Path,
    clip: Clip,
    *,
    height: int = 360,
    alarm: float,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the video, complete or not at all.

    Args:
        path: The mp4; its folder is made.
        clip: The episode.
        height: Of each camera's image, pixels.
        alarm: Fall of progress that raises the alarm.
        progress: Told how many frames are written.

    Returns:
        How many frames.

    Raises:
        UserError: There is no frame in it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.stem}.partial.mp4')
    pace = 1.0 if clip.episode.unit == 's' else 1 / _FRAMES_HZ
    painter, count, tick, picture = None, 0, -1, None
    options = {'movflags': 'faststart+use_metadata_tags'}
    with av.open(str(draft), 'w', options=options) as file:
        file.metadata['comment'] = clip.mark
        stream = file.add_stream('libx264', rate=30, options={'crf': '22', 'preset': 'veryfast'})
        stream.pix_fmt = 'yuv420p'
        # No frame refers to a later one, so the video begins at 0.
        stream.codec_context.max_b_frames = 0
        stream.time_base = stream.codec_context.time_base = Fraction(1, _CLOCK)
        for t, images in clip.moments():
            at = round(t * pace * _CLOCK)
            if at - tick < _CLOCK / _FASTEST and count:
                continue
            if painter is None:
                shapes = {name: image.shape[:2] for name, image in images.items()}
                painter = OverlayPainter(clip.episode, shapes, height=height, alarm=alarm)
                stream.width, stream.height = 2 * painter.width, 2 * painter.height
            picture, tick = painter.draw(t, images), max(at, 0)
            _add(file, stream, picture, tick)
            count += 1
            progress(count)
        if picture is not None:
            _add(file, stream, picture, tick + round(_HOLD * _CLOCK))
            file.mux(stream.encode())
    if not count:
        draft.unlink()
        raise UserError(f'episode {clip.episode.name} has no frame to show: leave it out')
    draft.replace(path)
    return count


def _add(file: Any, stream: Any, picture: UInt8Array, tick: int) -> None:
    frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
    frame.pts, frame.time_base = tick, Fraction(1, _CLOCK)
    file.mux(stream.encode(frame))


def is_written(path: Path, mark: str) -> bool:
    """Whether a video of this very episode, made in this very way, is there already."""
    try:
        with av.open(str(path)) as file:
            return bool(file.metadata.get('comment') == mark)
    except (OSError, av.FFmpegError):
        return False


def bag_moments(path: Path, cameras: Sequence[str] = ()) -> Moments:
    """Frames of a bag: whenever the reference camera has one, with the newest of the others.

    Args:
        path: The bag.
        cameras: Names of those to show; all where it is empty.

    Raises:
        UserError: It has no such camera.
    """
    with open_bag(path) as reader:
        known = camera_topics(reader)
        missing = [name for name in cameras if name not in known]
        if missing:
            raise UserError(f'{path} has no camera {missing[0]}: there are {", ".join(known)}')
        start = take_notes(reader).start_ns
        topics = {known[name]: name for name in cameras or known}
        reference = next(iter(topics))
        newest: dict[str, UInt8Array] = {}
        for topic, kind, recorded, cdr in reader.messages(list(topics)):
            try:
                newest[topics[topic]] = to_rgb(reader.deserialize(cdr, kind))
            except (DecodeError, ImageError):
                continue
            # The first picture has all of them, since it says how large the video is.
            if topic == reference and len(newest) == len(topics):
                stamp = header_stamp(cdr, kind) or recorded
                yield (stamp - start) * 1e-9, {name: newest[name] for name in topics.values()}


def data_moments(episode: Episode, cameras: Sequence[str] = ()) -> Moments:
    """Frames of an episode of any data set; arguments and errors as of `bag_moments`."""
    missing = [name for name in cameras if name not in episode.images]
    if missing:
        raise UserError(
            f'episode {episode.episode_id} has no camera {missing[0]}: there are '
            f'{", ".join(episode.images)}'
        )
    shown: Mapping[str, UInt8Array] = {n: episode.images[n] for n in cameras or episode.images}
    for i, t in enumerate(frame_times(episode)[0]):
        yield float(t), {name: frames[i] for name, frames in shown.items()}


def choose(
    episodes: Sequence[EpisodeReport],
    wanted: Iterable[str] = (),
    outcomes: Iterable[str] = (),
    most: int = 0,
) -> list[int]:
    """Which episodes to show.

    Args:
        episodes: All of them.
        wanted: Ids, or numbers from 1 as on the page; all where it is empty.
        outcomes: Only these; all where it is empty.
        most: At most so many, those whose progress falls farthest; 0: all.

    Raises:
        UserError: There is no such episode, or none is left.
    """
    names = {episode.name: i for i, episode in enumerate(episodes)}
    chosen = []
    for word in wanted:
        if word in names:
            chosen.append(names[word])
        elif word.isdecimal() and 1 <= int(word) <= len(episodes):
            chosen.append(int(word) - 1)
        else:
            raise UserError(
                f'there is no episode {word}: give an id, or a number from 1 to {len(episodes)}'
            )
    chosen = list(dict.fromkeys(chosen)) or list(range(len(episodes)))
    allowed = set(outcomes)
    if allowed:
        chosen = [i for i in chosen if episodes[i].outcome in allowed]
    if not chosen:
        raise UserError('no episode is left: ask for others with --episodes or --outcome')
    if most:
        chosen = sorted(sorted(chosen, key=lambda i: -episodes[i].fall.size)[:most])
    return chosen
