# SPDX-License-Identifier: Apache-2.0
"""Episodes as compressed numpy archives, one file per episode.

The keys are those that the simulator's collector writes: `images_<camera>` (T, H, W, 3) uint8,
`state` (T, D), `action` (T, A) (the clean label), `stamps` (T,) in seconds, `success`,
`success_index`; `instruction`, `target`, `container` and `failure_kind` where known.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from vvf_models.data.chain import LazyEpisodes, files_fingerprint
from vvf_models.data.episode import Episode
from vvf_models.errors import UserError

_IMAGES = 'images_'


def load_episode(path: Path | str) -> Episode:
    """Reads one episode.

    Raises:
        UserError: The file is no such archive, lacks a key, or its arrays make no episode.
    """
    path = Path(path)
    try:
        # Pickled members are refused: such a file could run code.
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f'{path} is not a readable episode ({error}); record it anew.') from error
    images = {
        key.removeprefix(_IMAGES): value for key, value in arrays.items() if key.startswith(_IMAGES)
    }
    if not images:
        raise UserError(f'{path} holds no "{_IMAGES}<camera>" array; it is not an episode.')
    count = len(next(iter(images.values())))
    success = bool(arrays['success']) if 'success' in arrays else None
    episode = Episode(
        images=images,
        state=arrays['state'].astype(np.float32) if 'state' in arrays else None,
        actions=arrays['action'].astype(np.float32) if 'action' in arrays else None,
        success=success,
        success_index=int(arrays.get('success_index', count - 1 if success else -1)),
        instruction=_instruction(arrays),
        episode_id=path.stem,
        stamps=arrays['stamps'].astype(np.float64)
        if 'stamps' in arrays
        else np.arange(count, dtype=float),
        failure_kind=str(arrays.get('failure_kind', '')),
    )
    try:
        episode.check()
    except ValueError as error:
        raise UserError(f'{path}: {error}; record it anew.') from error
    return episode


def _instruction(arrays: dict[str, Any]) -> str:
    if 'instruction' in arrays:
        return str(arrays['instruction'])
    if 'target' in arrays and 'container' in arrays:
        return f'put the {arrays["target"]} into the {arrays["container"]}'
    return ''


class NpzEpisodes(LazyEpisodes):
    """The episodes of a folder in the order of their names, read when asked for."""

    def __init__(self, folder: Path | str) -> None:
        """Lists the folder.

        Raises:
            UserError: There is no .npz file in it.
        """
        self.files = sorted(Path(folder).glob('*.npz'))
        if not self.files:
            raise UserError(f'{folder} holds no .npz episode; collect some or name another folder.')

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.files)

    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written anew."""
        return files_fingerprint(self.files)

    def source(self, number: int) -> str:
        """The file."""
        return str(self.files[number])

    def read(self, number: int) -> Episode:
        """Reads a file.

        Raises:
            UserError: It is damaged or holds something else.
        """
        return load_episode(self.files[number])


def load_episodes(folder: Path | str) -> NpzEpisodes:
    """The episodes of a folder, read lazily."""
    return NpzEpisodes(folder)
