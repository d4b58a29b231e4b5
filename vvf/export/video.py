# SPDX-License-Identifier: Apache-2.0
"""Writes the frames of a camera into a video, as they come."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from vvf.errors import UserError

#: Encoder and default quality by the codec's name.
CODECS: Mapping[str, tuple[str, int]] = {'h264': ('libx264', 18), 'av1': ('libsvtav1', 25)}
_OPTIONS = {
    # Every second frame can be decoded by itself, as LeRobot does, for random access.
    'libx264': {'g': '2', 'bf': '0', 'preset': 'veryfast'},
    'libsvtav1': {'g': '2', 'preset': '10'},
}


# Below it, colour at half the resolution, which most players want, loses small things.
_FEW_PIXELS = 200


class VideoWriter:
    """An mp4 at a constant rate; use it as a context manager.

    Without an error the file appears complete when it is closed, and else not at all.

    Args:
        path: The file.
        fps: Frames a second.
        codec: One of CODECS.
        crf: Quality, lower is better; None for the codec's default.
    """

    def __init__(self, path: Path, fps: int, codec: str, crf: int | None = None) -> None:
        self.path, self.fps, self.codec = path, fps, codec
        self.count = 0
        self.shape: tuple[int, ...] = ()
        self.pixel_format = ''
        self._draft = path.with_name(f'.{path.name}.partial')
        self._encoder, quality = CODECS[codec]
        self._crf = quality if crf is None else crf
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container: Any = None

    def write(self, image: npt.NDArray[np.uint8]) -> None:
        """Append an RGB image (H, W, 3).

        Raises:
            UserError: Its size is not that of the first one.
        """
        if self._container is None:
            self._open(image.shape)
        if image.shape != self.shape:
            raise UserError(
                f'frame {self.count} is {image.shape[1]}x{image.shape[0]}, but the first one '
                f'{self.shape[1]}x{self.shape[0]}: one size is needed, choose --image-size'
            )
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')
        frame.pts, frame.time_base = self.count, Fraction(1, self.fps)
        self._container.mux(self._stream.encode(frame))
        self.count += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._container is None:
            return
        if kind is None:
            self._container.mux(self._stream.encode())
        self._container.close()
        if kind is None:
            self._draft.replace(self.path)
        else:
            self._draft.unlink(missing_ok=True)

    def _open(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        even = shape[0] % 2 == shape[1] % 2 == 0
        if self._encoder == 'libsvtav1' and not even:
            raise UserError(f'AV1 needs even sides, not {shape[1]}x{shape[0]}: choose --codec h264')
        halved = even and (min(shape[:2]) >= _FEW_PIXELS or self._encoder == 'libsvtav1')
        self.pixel_format = 'yuv420p' if halved else 'yuv444p'
        self._container = av.open(str(self._draft), 'w', format='mp4')
        self._stream = self._container.add_stream(self._encoder, rate=self.fps)
        self._stream.height, self._stream.width = shape[:2]
        self._stream.pix_fmt = self.pixel_format
        self._stream.options = {**_OPTIONS[self._encoder], 'crf': str(self._crf)}
