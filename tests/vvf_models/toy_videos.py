# SPDX-License-Identifier: Apache-2.0
"""Small videos whose frames carry their numbers, so that a test sees which ones were read."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

SIZE = (48, 64)


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A frame with its number, up to 255, as two shades of grey: left sixteens, right ones."""
    height, width = size
    frame = np.empty((height, width, 3), np.uint8)
    frame[:, : width // 2], frame[:, width // 2 :] = number // 16 * 16, number % 16 * 16
    return frame


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers of (T, h, w, 3) frames, scaled or cropped as they may be."""
    _, height, width, _ = frames.shape
    left, right = (
        np.rint(frames[:, height // 2, int(width * at)].mean(axis=1) / 16).astype(int)
        for at in (0.375, 0.625)
    )
    return (left * 16 + right).tolist()


def write_video(
    path: Path,
    frames: Sequence[np.ndarray] | int,
    fps: int = 30,
    *,
    codec: str = '',
    times: Sequence[int] | None = None,
    container: dict[str, str] | None = None,
    rotation: int = 0,
) -> Path:
    """Writes frames (or so many numbered ones); `times` are in units of 1 / fps."""
    codec = codec or ('libvpx-vp9' if path.suffix == '.webm' else 'libx264')
    fast = {'libvpx-vp9': {'deadline': 'realtime', 'cpu-used': '8'}, 'libsvtav1': {'preset': '12'}}
    if isinstance(frames, int):
        frames = [numbered(number) for number in range(frames)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w', options=container or {}) as file:
        stream = file.add_stream(codec, rate=fps, options={'g': '10', **fast.get(codec, {})})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'yuv420p'
        if rotation:
            stream.set_display_rotation(rotation)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
            frame.pts = number if times is None else times[number]
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
