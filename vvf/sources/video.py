# SPDX-License-Identifier: Apache-2.0
"""Frames of a video file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vvf.errors import UserError
from vvf.sources.base import Frame


class VideoSource:
    """A video file through PyAV (OpenCV's wheel gives no frames of AV1 and says nothing).

    Attributes:
        damage: a sentence, once a place was met that cannot be read; what comes after it is lost.

    Raises:
        UserError: there is no such file, or it holds no video.
    """

    #: A recording is played now: when it was taken is of no use as a stamp.
    taken_s: float | None = None

    def __init__(self, path: str | Path, *, loop: bool = False) -> None:
        import av

        self._path, self._loop = Path(path), loop
        self.damage = ''
        if not self._path.is_file():
            raise UserError(f'video {path} does not exist; give the path of a video file.')
        try:
            self._container = av.open(str(self._path))
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            raise UserError(f'{path} holds no video that can be read.') from error
        self._frames: Iterator[Frame] = self._decode()

    def _decode(self, *, again: bool = False) -> Iterator[Frame]:
        import av

        count = 0
        try:
            if again:
                self._container.seek(0)
            for frame in self._container.decode(self._stream):
                yield np.asarray(frame.to_ndarray(format='rgb24'), np.uint8)
                count += 1
        except av.FFmpegError:
            self.damage = f'{self._path.name} is damaged: it can be read for {count} frames only'

    @property
    def rate_hz(self) -> float:
        """The file's frame rate."""
        return float(self._stream.average_rate or 0.0)

    def read(self) -> Frame | None:
        """The next frame; `None` at the end or where the file is damaged, unless it is looped."""
        frame = next(self._frames, None)
        if frame is None and self._loop:
            self._frames = self._decode(again=True)
            frame = next(self._frames, None)
        return frame

    def close(self) -> None:
        """Close the file."""
        self._container.close()
