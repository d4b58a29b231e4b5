# SPDX-License-Identifier: Apache-2.0
"""Episodes as compressed numpy archives, one file per episode.

The keys are those that the simulator's collector writes: `images_<camera>` (T, H, W, 3) uint8,
`state` (T, D), `action` (T, A) (the clean label), `executed_action` (T, A) (with the noise that its
expert had), `stamps` (T,) in seconds, `success`, `success_index`; `instruction`, `target`,
`container` and `failure_kind` where known. Other sources may add `rewards` (T,) and `interventions`
(T,) bool.

Events are `event_names` (E,) and `event_indices` (E,), the first frame at or after each. Their
kinds are `event_kinds` (E,) ('milestone', 'error' or '') if there; otherwise the names say them,
with `event_targets` (E,) bool (whether it happened to the object that was asked for).
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.chain import LazyEpisodes, files_fingerprint
from vvf_models.data.episode import Episode, Event
from vvf_models.errors import UserError

_IMAGES = 'images_'

# What the simulator's events are for the object asked for, and for any other.
_KINDS = {
    'grasped': ('milestone', 'error'),
    'lifted': ('milestone', 'error'),
    'placed': ('milestone', 'error'),
    'success': ('milestone', 'milestone'),
    'closed_empty': ('error', 'error'),
    'slipped': ('error', ''),
    'dropped': ('error', ''),
    'set_down': ('error', ''),
}


def _array(archive: Any, key: str) -> NDArray[Any]:
    """One array of an archive."""
    while True:
        try:
            array: NDArray[Any] = archive[key]
            return array
        except SystemError:
            # numpy parses headers with `ast`, whose depth counter all threads share before
            # Python 3.13 (CPython issue 106905); nothing is wrong with the file.
            continue


def load_episode(path: Path | str, actions: str = 'clean') -> Episode:
    """Reads one episode.

    Args:
        path: The file.
        actions: 'clean' or 'executed', see `ReadOptions`; a file that holds only one kind gives it.

    Raises:
        UserError: The file is no such archive, lacks a key, or its arrays make no episode.
    """
    path = Path(path)
    try:
        # Pickled members are refused: such a file could run code.
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {key: _array(archive, key) for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        # numpy's own words advise to load it unsafely.
        why = f' ({error})' if isinstance(error, OSError) else ''
        raise UserError(f'{path} is not a readable episode{why}; record it anew.') from error
    images = {
        key.removeprefix(_IMAGES): value for key, value in arrays.items() if key.startswith(_IMAGES)
    }
    if not images:
        raise UserError(f'{path} holds no "{_IMAGES}<camera>" array; it is not an episode.')
    count = len(next(iter(images.values())))
    action = arrays.get('action')
    if actions == 'executed':
        action = arrays.get('executed_action', action)
    success = bool(arrays['success']) if 'success' in arrays else None
    episode = Episode(
        images=images,
        state=arrays['state'].astype(np.float32) if 'state' in arrays else None,
        actions=None if action is None else action.astype(np.float32),
        success=success,
        success_index=int(arrays.get('success_index', count - 1 if success else -1)),
        instruction=_instruction(arrays),
        episode_id=path.stem,
        stamps=arrays['stamps'].astype(np.float64)
        if 'stamps' in arrays
        else np.arange(count, dtype=float),
        failure_kind=str(arrays.get('failure_kind', '')),
        rewards=arrays['rewards'].astype(np.float32) if 'rewards' in arrays else None,
        interventions=arrays['interventions'].astype(bool) if 'interventions' in arrays else None,
    )
    try:
        episode.events = _events(arrays)
        episode.check()
    except ValueError as error:
        raise UserError(f'{path}: {error}; record it anew.') from error
    return episode


def _instruction(arrays: dict[str, Any]) -> str:
    if 'instruction' in arrays:
        return str(arrays['instruction'])
    if 'target' in arrays and 'container' in arrays:
        return f'put the {arrays["target"]} in the {arrays["container"]}'
    return ''


def _events(arrays: dict[str, Any]) -> tuple[Event, ...]:
    if 'event_names' not in arrays:
        return ()
    names = [str(name) for name in arrays['event_names']]
    frames = [int(frame) for frame in arrays.get('event_indices', ())]
    if 'event_kinds' in arrays:
        kinds = [str(kind) for kind in arrays['event_kinds']]
    else:
        # Files of before have no targets, but then no episode has events of two objects.
        wrong = str(arrays.get('failure_kind', '')) == 'wrong_object'
        targets = arrays.get('event_targets', [not wrong] * len(names))
        kinds = event_kinds(names, [bool(target) for target in targets])
    if not len(names) == len(frames) == len(kinds):
        raise ValueError('its events have names, indices and kinds of different lengths')
    return tuple(Event(*event) for event in zip(names, frames, kinds, strict=True))


def event_kinds(names: Sequence[str], targets: Sequence[bool]) -> list[str]:
    """Whether the events of a pick-and-place episode are milestones or errors, or neither.

    Taking the wrong object, or bringing it somewhere, is an error, and letting go of it neither.
    Neither is what follows a success, and a drop that ends at once in success: the object fell
    into the container.

    Args:
        names: As the simulator names events, in order.
        targets: Whether each happened to the object that was asked for.
    """
    kinds = []
    done = False
    for number, (name, target) in enumerate(zip(names, targets, strict=False)):
        fell_in = name == 'dropped' and list(names[number + 1 : number + 2]) == ['success']
        mine, other = _KINDS.get(name, ('', ''))
        kinds.append('' if done or fell_in else mine if target else other)
        done = done or name == 'success'
    return kinds


class NpzEpisodes(LazyEpisodes):
    """The episodes of a folder in the order of their names, read when asked for."""

    def __init__(self, folder: Path | str, actions: str = 'clean') -> None:
        """Lists the folder.

        Args:
            folder: Of the files.
            actions: As of `load_episode`.

        Raises:
            UserError: There is no .npz file in it.
        """
        self.actions = actions
        self.files = sorted(Path(folder).glob('*.npz'))
        if not self.files:
            raise UserError(f'{folder} holds no .npz episode; collect some or name another folder.')

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.files)

    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written anew, or its other actions are read."""
        files = files_fingerprint(self.files)
        return files if self.actions == 'clean' else f'{self.actions} {files}'

    def source(self, number: int) -> str:
        """The file."""
        return str(self.files[number])

    def read(self, number: int) -> Episode:
        """Reads a file.

        Raises:
            UserError: It is damaged or holds something else.
        """
        return load_episode(self.files[number], self.actions)


def load_episodes(folder: Path | str) -> NpzEpisodes:
    """The episodes of a folder, read lazily."""
    return NpzEpisodes(folder)
