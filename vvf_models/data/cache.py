# SPDX-License-Identifier: Apache-2.0
"""Where small frames are put while they are read: in memory, or in a folder for the next time."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
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
# Entries of a key of which a cache may have more than is wanted.
_WIDER = ('cameras', 'use_state')


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

    What different runs need lies in folders of their own beside each other, named by what they
    hold, so that runs that share a cache never overwrite each other's frames. One with more
    cameras, or with the state, serves a run that wants less, as long as nothing was left out of it:
    what was left out for the sake of a camera might be good without.

    Files get their names when they are whole, and the one that says what they hold comes last: an
    unfinished cache is never believed, and two processes that fill the same one do no harm.
    """

    def __init__(
        self,
        folder: Path,
        cameras: Sequence[str],
        size: int,
        key: Mapping[str, Any],
        *,
        use_state: bool,
    ):
        """Names the folder of all caches.

        Args:
            folder: Where they lie beside each other.
            cameras: Which are wanted.
            size: Of the frames, in pixels.
            key: Plain JSON values that tell the contents from any others'.
            use_state: Whether the contents were chosen by their state, too.
        """
        self._root = folder
        self._cameras = list(cameras)
        self._size = size
        self._key = {
            **key,
            'use_state': use_state,
            'cameras': sorted(cameras),
            'image_size': size,
            'layout': _LAYOUT,
        }
        text = json.dumps(self._key, sort_keys=True)
        self._folder = folder / f'{size}px_{hashlib.sha256(text.encode()).hexdigest()[:16]}'
        self._lengths: list[int] = []

    def read(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """The arrays and the texts that `write` was given, or None if there are no such."""
        for folder in self._candidates():
            try:
                meta = json.loads((folder / _META).read_text())
            except (OSError, ValueError):
                continue
            if not isinstance(meta, dict) or not self._serves(meta):
                continue
            with np.load(folder / _INDEX, allow_pickle=False) as index:
                arrays = {name: index[name] for name in index.files}
            self._folder = folder
            return arrays, meta['texts']
        return None

    def _candidates(self) -> Iterator[Path]:
        """The run's own folder, then the others; older versions filled the root itself."""
        yield self._folder
        yield self._root
        if self._root.is_dir():
            yield from sorted(path for path in self._root.iterdir() if path.is_dir())

    def _serves(self, meta: Mapping[str, Any]) -> bool:
        key = meta.get('key')
        if key == self._key:
            return True
        if not isinstance(key, dict) or not meta.get('complete'):
            return False
        more = set(key.get('cameras', ())).issuperset(self._key['cameras'])
        more &= key.get('use_state', False) >= self._key['use_state']
        return more and {**key, **{name: self._key[name] for name in _WIDER}} == self._key

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
        with suppress(OSError):  # it holds something
            self._folder.rmdir()

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

    def write(
        self, arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, Any], *, complete: bool
    ) -> None:
        """Ends the files and writes the index.

        Args:
            arrays: By name; no objects.
            texts: Lists of plain JSON values, by name.
            complete: Whether nothing was left out.
        """
        (self._folder / _META).unlink(missing_ok=True)
        for camera, file in self._files.items():
            file.close()
            self._part(f'{camera}.raw').replace(self._folder / f'{camera}.raw')
        with self._part(_INDEX).open('wb') as index:
            np.savez(index, allow_pickle=False, **arrays)
        self._part(_INDEX).replace(self._folder / _INDEX)
        meta = {'key': self._key, 'complete': complete, 'texts': dict(texts)}
        self._part(_META).write_text(json.dumps(meta))
        self._part(_META).replace(self._folder / _META)

    def _part(self, name: str) -> Path:
        return self._folder / f'{name}.{os.getpid()}.part'
