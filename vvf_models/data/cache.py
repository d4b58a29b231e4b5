# SPDX-License-Identifier: Apache-2.0
"""Where small frames are put while they are read: in memory, or in a folder for the next time."""

import json
import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Images = dict[str, NDArray[np.uint8]]

_INDEX = 'index.npz'
_META = 'meta.json'
# Raised when what the folder holds changes, so that older ones are made anew.
_LAYOUT = 2


class FrameSink(Protocol):
    """Takes the frames of episode after episode."""

    def put(self, images: Images) -> None:
        """Takes an episode: per camera, (T, 3, S, S) uint8."""

    def keep(self, numbers: Sequence[int]) -> None:
        """Drops all episodes but these, which are in order."""


class MemoryFrames:
    """Frames in memory."""

    def __init__(self, cameras: Sequence[str]) -> None:
        """Begins with nothing."""
        self._parts: dict[str, list[NDArray[np.uint8]]] = {camera: [] for camera in cameras}

    def put(self, images: Images) -> None:
        """Takes an episode."""
        for camera, parts in self._parts.items():
            parts.append(images[camera])

    def keep(self, numbers: Sequence[int]) -> None:
        """Drops all episodes but these."""
        for camera, parts in self._parts.items():
            self._parts[camera] = [parts[number] for number in numbers]

    def images(self) -> Images:
        """All of them, once; per camera, (N, 3, S, S)."""
        return {camera: np.concatenate(self._parts.pop(camera)) for camera in list(self._parts)}


class CacheFolder:
    """Frames in files, one per camera, with an index of everything else.

    Files get their names when they are whole, and the one that says what they hold comes last: an
    unfinished cache is never believed, and two processes that fill the same one do no harm.
    """

    def __init__(self, folder: Path, cameras: Sequence[str], size: int, key: Mapping[str, Any]):
        """Names the folder; `key` (plain JSON values) tells its contents from any others'."""
        self._folder = folder
        self._cameras = list(cameras)
        self._size = size
        self._key = {**key, 'cameras': sorted(cameras), 'image_size': size, 'layout': _LAYOUT}
        self._lengths: list[int] = []

    def read(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """The arrays and the texts that `write` was given, or None if there are no such."""
        try:
            meta = json.loads((self._folder / _META).read_text())
        except (OSError, ValueError):
            return None
        if not isinstance(meta, dict) or meta.get('key') != self._key:
            return None
        with np.load(self._folder / _INDEX, allow_pickle=False) as index:
            arrays = {name: index[name] for name in index.files}
        return arrays, meta['texts']

    def images(self, count: int) -> Images:
        """Per camera, (count, 3, S, S) uint8, memory-mapped."""
        # Copy-on-write: torch wants arrays that it may write to, and nothing may change the file.
        shape = (count, 3, self._size, self._size)
        return {
            camera: np.memmap(self._folder / f'{camera}.raw', np.uint8, 'c', shape=shape)
            for camera in self._cameras
        }

    def __enter__(self) -> 'CacheFolder':
        """Opens the files to write to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lengths = []
        self._files = {camera: self._part(f'{camera}.raw').open('w+b') for camera in self._cameras}
        return self

    def __exit__(self, *_: object) -> None:
        """Closes them, and removes them if `write` was never called."""
        for camera, file in self._files.items():
            file.close()
            self._part(f'{camera}.raw').unlink(missing_ok=True)

    def put(self, images: Images) -> None:
        """Takes an episode."""
        for camera, file in self._files.items():
            file.write(images[camera].tobytes())
        self._lengths.append(len(images[self._cameras[0]]))

    def keep(self, numbers: Sequence[int]) -> None:
        """Drops all episodes but these, by moving them together."""
        per_frame = 3 * self._size**2
        starts = [0, *accumulate(length * per_frame for length in self._lengths)]
        for file in self._files.values():
            end = 0
            for number in numbers:
                file.seek(starts[number])
                data = file.read(starts[number + 1] - starts[number])
                file.seek(end)
                end += file.write(data)
            file.truncate(end)
        self._lengths = [self._lengths[number] for number in numbers]

    def write(self, arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, Any]) -> None:
        """Ends the files and writes the index.

        Args:
            arrays: By name; no objects.
            texts: Lists of plain JSON values, by name.
        """
        (self._folder / _META).unlink(missing_ok=True)
        for camera, file in self._files.items():
            file.close()
            self._part(f'{camera}.raw').replace(self._folder / f'{camera}.raw')
        with self._part(_INDEX).open('wb') as index:
            np.savez(index, allow_pickle=False, **arrays)
        self._part(_INDEX).replace(self._folder / _INDEX)
        self._part(_META).write_text(json.dumps({'key': self._key, 'texts': dict(texts)}))
        self._part(_META).replace(self._folder / _META)

    def _part(self, name: str) -> Path:
        return self._folder / f'{name}.{os.getpid()}.part'
