# SPDX-License-Identifier: Apache-2.0
"""Frames and stamps out of one video file, through PyAV, from any place in it.

OpenCV's wheel gives no frames of an AV1 file and says nothing; PyAV reads AV1, H.264, H.265, VP8
and VP9, in mp4, webm, mkv and mov.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vvf_models.data.views import Stretch
from vvf_models.errors import UserError

SUFFIXES = ('.mp4', '.webm', '.mkv', '.mov', '.m4v')

# A video may end this much before its header says: rounded durations, a sound track that is longer.
_SHORTER_S = 0.5
_FASTEST_HZ = 480.0


@dataclass(frozen=True)
class VideoFacts:
    """What a file's header says.

    Attributes:
        seconds: From the first frame to the end of the last one.
        rate_hz: Frames a second, on average.
    """

    seconds: float
    rate_hz: float


def is_video(path: Path) -> bool:
    """Whether the name is that of a video that can be read."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith('.')


def video_facts(path: Path) -> VideoFacts:
    """Reads the header; where that knows no duration, all packets, but decodes nothing.

    Raises:
        UserError: The file is no video that can be read.
    """
    with _opened(path) as container:
        return _facts(path, container)


def read_video(
    path: Path,
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    *,
    fps: float = 0.0,
    start: float = 0.0,
    end: float = math.inf,
) -> Stretch:
    """Decodes the frames of a stretch, from the keyframe before it.

    Args:
        path: The file.
        prepare: Makes of a frame, (H, W, 3) uint8 RGB and upright, what is kept; only called for
            frames that are wanted.
        fps: How many frames a second are wanted: the nearest one to each multiple of 1 / fps.
            0, or more than the file has: all of them.
        start: Beginning of the stretch in seconds; frames up to half a frame earlier belong to it.
        end: Its end, exclusive, in the same way.

    Raises:
        UserError: The file is no video that can be read, is damaged, or stops before the end of
            the stretch.
    """
    images, taken = [], []
    with _opened(path) as container:
        facts = _facts(path, container)
        every = not 0 < fps < facts.rate_hz
        half = 0.5 / facts.rate_hz
        stream = _stream(container)
        first = (stream.start_time or 0) * stream.time_base
        if start > 0:
            wanted = int((first + start - half) / stream.time_base)
            container.seek(max(0, wanted), stream=stream, backward=True)
        count, last_slot, reached = 0, -1, 0.0
        for number, frame in enumerate(_decoded(path, container)):
            stamp = float(frame.pts * stream.time_base - first)
            if stamp + half >= end:
                reached = end
                break
            count, reached = number + 1, stamp + 2 * half
            slot = number if every else math.floor((stamp + half) * fps + 1e-6)
            if stamp + half < start or slot <= last_slot:
                continue
            if frame.is_corrupt:
                raise UserError(f'{path} is damaged at {stamp:.2f} s; replace or remove it.')
            images.append(prepare(_upright(frame)))
            taken.append((stamp, slot, number))
            last_slot = slot
        # A file that was cut off just ends, without any error from the decoder.
        due = min(end, facts.seconds)
        if reached < due - max(_SHORTER_S, 4 * half):
            raise UserError(
                f'{path} stops after {reached:.1f} of {due:.1f} s: it was cut off; replace or '
                'remove it.'
            )
    table = np.array(taken, np.float64).reshape(-1, 3)
    slots, numbers = table[:, 1].astype(np.int64), table[:, 2].astype(np.int64)
    return Stretch(images, table[:, 0], slots, numbers, count)


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f'{path} does not exist; give the path of a video.')
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise UserError(f'{path} is no video that can be read; replace or remove it.') from error
    stream = _stream(container)
    # A file without its index has no streams, or some of unknown size.
    if stream is None or not stream.width or not stream.codec_context:
        container.close()
        raise UserError(f'{path} holds no picture that can be read; replace or remove it.')
    stream.thread_type = 'AUTO'
    return container


def _stream(container: Any) -> Any:
    """The film, not a cover picture; None if there is none."""
    return container.streams.best('video')


def _facts(path: Path, container: Any) -> VideoFacts:
    stream = _stream(container)
    begin = float((stream.start_time or 0) * stream.time_base)
    seconds = 0.0
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif 'DURATION' in stream.metadata:  # Matroska: when it ends; the container may have sound
        seconds = _clock(stream.metadata['DURATION']) - begin
    elif container.duration:
        seconds = container.duration / av.time_base - begin
    rate = float(stream.average_rate or 0)
    # Some recorders leave out the duration, or say 1000 frames a second for "when they come".
    if seconds <= 0 or not 0 < rate <= _FASTEST_HZ:
        seconds, rate = _measured(path)
    return VideoFacts(seconds, rate)


def _measured(path: Path) -> tuple[float, float]:
    try:
        with av.open(str(path)) as container:
            stream = _stream(container)
            stamps = [p.pts for p in container.demux(stream) if p.pts is not None]
            span = float((max(stamps) - min(stamps)) * stream.time_base) if stamps else 0.0
    except av.FFmpegError as error:
        raise UserError(f'{path} is damaged; replace or remove it.') from error
    if span <= 0:
        return 1.0, 1.0  # a still picture: a video of one frame
    gap = span / (len(stamps) - 1)
    return span + gap, 1 / gap


def _clock(text: str) -> float:
    try:
        hours, minutes, seconds = (float(part) for part in text.split(':'))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds


def _decoded(path: Path, container: Any) -> Iterator[Any]:
    try:
        for frame in container.decode(_stream(container)):
            if frame.pts is None:
                raise UserError(f'{path} holds frames without stamps; convert it to mp4.')
            yield frame
    except av.FFmpegError as error:
        raise UserError(f'{path} is damaged or cut off; replace or remove it.') from error


def _upright(frame: Any) -> NDArray[np.uint8]:
    image = frame.to_ndarray(format='rgb24')
    turns = round(frame.rotation / 90) % 4  # a phone's video lies on its side, and says so
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else np.asarray(image, np.uint8)
