# SPDX-License-Identifier: Apache-2.0
"""All frames of a data set at the model's size: decoded once, then only gathered.

Sequential decoding is a hundred times slower than indexing an array, and every frame is used in
many batches; so training never touches the episodes' files again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.chain import fingerprint
from vvf_models.data.episode import Episode
from vvf_models.data.images import resize_images
from vvf_models.errors import UserError

FAILURE, UNKNOWN, SUCCESS = -1, 0, 1


@dataclass
class FrameStore:
    """N frames of E episodes, episode after episode.

    Attributes:
        images: Per camera, (N, 3, S, S) uint8 (memory-mapped if opened from a cache).
        state: (N, D) float32, or None if an episode has none.
        actions: (N, A) float32, or None if an episode has none.
        starts: (E,) int64, first frame of each episode.
        lengths: (E,) int64, frames of each episode.
        outcome: (E,) int8, SUCCESS, FAILURE or UNKNOWN.
        success_index: (E,) int64, frame within the episode, -1 where the task is never done.
        episode_ids: One name per episode.
        failure_kinds: One word per episode, '' for none.
    """

    images: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32] | None
    actions: NDArray[np.float32] | None
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    outcome: NDArray[np.int8]
    success_index: NDArray[np.int64]
    episode_ids: list[str]
    failure_kinds: list[str]

    @property
    def n_frames(self) -> int:
        """N."""
        return int(self.lengths.sum())

    @property
    def n_episodes(self) -> int:
        """E."""
        return len(self.lengths)

    @property
    def image_size(self) -> int:
        """S, in pixels."""
        return int(next(iter(self.images.values())).shape[-1])

    @property
    def state_dim(self) -> int:
        """D, 0 without state."""
        return 0 if self.state is None else int(self.state.shape[1])

    @property
    def episode_of(self) -> NDArray[np.int64]:
        """(N,) episode of each frame."""
        return np.repeat(np.arange(self.n_episodes), self.lengths)

    @property
    def last(self) -> NDArray[np.int64]:
        """(N,) last frame of each frame's episode."""
        return np.repeat(self.starts + self.lengths - 1, self.lengths)

    @property
    def done(self) -> NDArray[np.bool_]:
        """(N,) whether the task is done: at and after success_index of successes."""
        offset = np.arange(self.n_frames) - np.repeat(self.starts, self.lengths)
        index = np.repeat(self.success_index, self.lengths)
        success = np.repeat(self.outcome == SUCCESS, self.lengths)
        return np.asarray(success & (index >= 0) & (offset >= index))

    def frames_of(self, episodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """All frames of some episodes."""
        spans = [np.arange(self.starts[e], self.starts[e] + self.lengths[e]) for e in episodes]
        return np.concatenate(spans) if spans else np.zeros(0, np.int64)

    def split(self, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Splits the episodes at random, each outcome alike, into (training, held out).

        Whole episodes: frames of one episode on both sides would hide overfitting by identity.
        """
        rng = np.random.default_rng([seed, 1])
        held_out = []
        for outcome in (FAILURE, UNKNOWN, SUCCESS):
            members = rng.permutation(np.flatnonzero(self.outcome == outcome))
            held_out.append(members[: round(fraction * len(members))])
        chosen = np.sort(np.concatenate(held_out))
        rest = np.setdiff1d(np.arange(self.n_episodes), chosen)
        return rest, chosen

    @classmethod
    def from_episodes(
        cls,
        episodes: Sequence[Episode],
        cameras: Sequence[str],
        image_size: int,
        *,
        cache: Path | str | None = None,
        on_episode: Callable[[int], None] | None = None,
    ) -> 'FrameStore':
        """Reads every episode once.

        Args:
            episodes: What to read.
            cameras: Which cameras to keep.
            image_size: S, in pixels.
            cache: A folder for the arrays. If it already holds these episodes at this size it is
                opened as it is, memory-mapped; otherwise it is filled first.
            on_episode: Called with the number of episodes read so far.

        Raises:
            UserError: An episode lacks a camera or disagrees with the others in its state.
            ValueError: An episode's arrays are malformed.
        """
        if not len(episodes):
            raise UserError('There are no episodes; collect some first.')
        if cache is not None:
            return _cached(Path(cache), episodes, cameras, image_size, on_episode)
        images: dict[str, list[NDArray[np.uint8]]] = {camera: [] for camera in cameras}
        return _read(
            episodes,
            cameras,
            image_size,
            lambda camera, frames: images[camera].append(frames),
            lambda: {camera: np.concatenate(frames) for camera, frames in images.items()},
            on_episode,
        )


def _read(
    episodes: Sequence[Episode],
    cameras: Sequence[str],
    image_size: int,
    put: Callable[[str, NDArray[np.uint8]], None],
    collect: Callable[[], dict[str, NDArray[np.uint8]]],
    on_episode: Callable[[int], None] | None,
) -> FrameStore:
    states, actions, lengths, outcomes, indices = [], [], [], [], []
    ids, kinds = [], []
    for count in range(len(episodes)):
        episode = episodes[count]
        episode.check()
        for camera in cameras:
            if camera not in episode.images:
                raise UserError(
                    f'Episode {episode.episode_id} has no camera "{camera}"; '
                    f'its cameras are {", ".join(episode.images)}.'
                )
            put(camera, resize_images(episode.images[camera], image_size))
        states.append(episode.state)
        actions.append(episode.actions)
        lengths.append(len(episode))
        outcomes.append(
            UNKNOWN if episode.success is None else (SUCCESS if episode.success else FAILURE)
        )
        indices.append(episode.success_index)
        ids.append(episode.episode_id)
        kinds.append(episode.failure_kind)
        if on_episode:
            on_episode(count + 1)
    length_array = np.array(lengths, np.int64)
    return FrameStore(
        images=collect(),
        state=_stack(states, 'state'),
        actions=_stack(actions, 'actions'),
        starts=np.cumsum(length_array) - length_array,
        lengths=length_array,
        outcome=np.array(outcomes, np.int8),
        success_index=np.array(indices, np.int64),
        episode_ids=ids,
        failure_kinds=kinds,
    )


def _stack(rows: Sequence[NDArray[np.float32] | None], name: str) -> NDArray[np.float32] | None:
    present = [row for row in rows if row is not None]
    if len(present) < len(rows):
        return None
    if len({row.shape[1] for row in present}) > 1:
        raise UserError(f'The episodes have {name} vectors of different lengths; use one kind.')
    return np.concatenate(present).astype(np.float32)


_INDEX = 'index.npz'
_META = 'meta.json'


def _cached(
    folder: Path,
    episodes: Sequence[Episode],
    cameras: Sequence[str],
    image_size: int,
    on_episode: Callable[[int], None] | None,
) -> FrameStore:
    key = {
        'cameras': sorted(cameras),
        'image_size': image_size,
        'episodes': len(episodes),
        'source': hashlib.sha256(fingerprint(episodes).encode()).hexdigest(),
    }
    meta = folder / _META
    if not (meta.is_file() and json.loads(meta.read_text()) == key):
        folder.mkdir(parents=True, exist_ok=True)
        meta.unlink(missing_ok=True)
        raw = {camera: (folder / f'{camera}.raw').open('wb') for camera in cameras}

        def put(camera: str, frames: NDArray[np.uint8]) -> None:
            raw[camera].write(frames.tobytes())

        try:
            store = _read(episodes, cameras, image_size, put, dict, on_episode)
        finally:
            for file in raw.values():
                file.close()
        _write_index(folder / _INDEX, store)
        meta.write_text(json.dumps(key))  # last, so that an unfinished cache is never believed
    return _open(folder, cameras, image_size)


def _write_index(path: Path, store: FrameStore) -> None:
    empty = np.zeros((0, 0), np.float32)
    np.savez(
        path,
        state=empty if store.state is None else store.state,
        actions=empty if store.actions is None else store.actions,
        starts=store.starts,
        lengths=store.lengths,
        outcome=store.outcome,
        success_index=store.success_index,
        episode_ids=np.array(store.episode_ids, dtype=str),
        failure_kinds=np.array(store.failure_kinds, dtype=str),
    )


def _open(folder: Path, cameras: Sequence[str], image_size: int) -> FrameStore:
    with np.load(folder / _INDEX, allow_pickle=False) as index:
        arrays = {key: index[key] for key in index.files}
    shape = (int(arrays['lengths'].sum()), 3, image_size, image_size)
    # Copy-on-write: torch wants arrays that it may write to, and nothing may change the file.
    images: dict[str, NDArray[np.uint8]] = {
        camera: np.memmap(folder / f'{camera}.raw', np.uint8, 'c', shape=shape)
        for camera in cameras
    }
    return FrameStore(
        images=images,
        state=arrays['state'] if arrays['state'].size else None,
        actions=arrays['actions'] if arrays['actions'].size else None,
        starts=arrays['starts'],
        lengths=arrays['lengths'],
        outcome=arrays['outcome'],
        success_index=arrays['success_index'],
        episode_ids=[str(name) for name in arrays['episode_ids']],
        failure_kinds=[str(kind) for kind in arrays['failure_kinds']],
    )
