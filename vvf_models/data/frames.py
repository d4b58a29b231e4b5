# SPDX-License-Identifier: Apache-2.0
"""All frames of a data set at the model's size: decoded once, then only gathered.

Sequential decoding is a hundred times slower than indexing an array, and every frame is used in
many batches; so training never touches the episodes' files again.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.cache import CacheFolder, FrameSink, MemoryFrames
from vvf_models.data.chain import fingerprint
from vvf_models.data.episode import Episode, Event
from vvf_models.data.reading import SmallEpisode, misfits, read_all
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
        instructions: What was asked for in each episode, '' if unknown.
        events: What happened in each episode, with frames within the episode.
        interventions: (N,) bool, where a human acted; False where nobody recorded it.
        rates: (E,) float64, observations per second, NaN if unknown.
        left_out: One sentence for each episode that could not be used and was left out.
        numbers: (E,) int64, the place of each episode in what was read.
        target: (E,) bool, episodes of the task that is trained for, where others are beside them.
        improving: (N,) int8, RECAP's indicator: 1 where an action improved on what was expected,
            0 where it did not, -1 unknown.
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
    instructions: list[str] = field(default_factory=list)
    events: list[tuple[Event, ...]] = field(default_factory=list)
    interventions: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    rates: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    left_out: list[str] = field(default_factory=list)
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    target: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    improving: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))

    def __post_init__(self) -> None:
        """Fills in what was not given."""
        self.instructions = self.instructions or [''] * self.n_episodes
        self.events = self.events or [()] * self.n_episodes
        if not len(self.interventions):
            self.interventions = np.zeros(self.n_frames, bool)
        if not len(self.rates):
            self.rates = np.full(self.n_episodes, np.nan)
        if not len(self.numbers):
            self.numbers = np.arange(self.n_episodes)
        if not len(self.target):
            self.target = np.zeros(self.n_episodes, bool)
        if not len(self.improving):
            self.improving = np.full(self.n_frames, -1, np.int8)

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

    @property
    def ends(self) -> NDArray[np.int64]:
        """(E,) the first frame in which the task is done, or the last where it never is."""
        done = (self.success_index >= 0) & (self.outcome != FAILURE)
        return self.starts + np.where(done, self.success_index, self.lengths - 1)

    def frames_of(
        self, episodes: NDArray[np.int64], *, to_success: bool = False
    ) -> NDArray[np.int64]:
        """All frames of some episodes, or those up to `ends`."""
        last = self.ends if to_success else self.starts + self.lengths - 1
        spans = [np.arange(self.starts[e], last[e] + 1) for e in episodes]
        return np.concatenate(spans) if spans else np.zeros(0, np.int64)

    def split(self, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Splits the episodes at random into (training, held out), each outcome alike.

        Whole episodes: frames of one episode on both sides would hide overfitting by identity.
        An episode's own draw decides, whatever is beside it, so that a later training with this
        seed, on more data, holds out what an earlier one did. Where so few episodes are alike that
        chance would hold out too many or too few, the share is kept instead: between half and
        twice of it are held out.
        """
        draws = self._draws(seed)
        held_out = []
        for target in (False, True):
            for outcome in (FAILURE, UNKNOWN, SUCCESS):
                alike = np.flatnonzero((self.target == target) & (self.outcome == outcome))
                alike = alike[np.argsort(draws[alike], kind='stable')]
                share = round(fraction * len(alike))
                most = max(share, min(2 * share, len(alike) - 1))
                count = np.clip((draws[alike] < fraction).sum(), (share + 1) // 2, most)
                held_out.append(alike[:count])
        chosen = np.sort(np.concatenate(held_out))
        rest = np.setdiff1d(np.arange(self.n_episodes), chosen)
        return rest, chosen

    def _draws(self, seed: int) -> NDArray[np.float64]:
        """(E,) in [0, 1): one of each episode's own, by its name and length."""
        draws = np.empty(self.n_episodes)
        seen: Counter[str] = Counter()
        for index, name in enumerate(self.episode_ids):
            what = f'{seed} {self.lengths[index]} {name}'
            seen[what] += 1  # two data sets may have the same names, toy episodes none
            digest = hashlib.blake2b(f'{what} {seen[what]}'.encode(), digest_size=8).digest()
            draws[index] = int.from_bytes(digest, 'big') / 2**64
        return draws

    @classmethod
    def from_episodes(
        cls,
        episodes: Sequence[Episode],
        cameras: Sequence[str],
        image_size: int,
        *,
        cache: Path | str | None = None,
        on_episode: Callable[[int], None] | None = None,
        skip_bad: Callable[[str], None] | None = None,
        use_state: bool = True,
        workers: int | None = None,
    ) -> 'FrameStore':
        """Reads every episode once.

        Args:
            episodes: What to read.
            cameras: Which cameras to keep.
            image_size: S, in pixels.
            cache: A folder for the arrays of any number of runs. Where it already holds these
                episodes at this size, with these cameras or more, they are opened as they are,
                memory-mapped; otherwise they are put there first.
            on_episode: Called with the number of episodes read so far.
            skip_bad: Told of every episode that cannot be used, which is then left out; without
                it the first one is an error.
            use_state: Whether every episode needs a state, and all the same entries. Otherwise the
                states are dropped where they do not fit together.
            workers: Threads that read; 0: none; None: one per CPU, up to 8.

        Raises:
            UserError: There are no episodes, or one cannot be used: it cannot be read, is
                malformed, has NaN in its state, has only one frame, lacks a camera, or its rate,
                state or actions differ from the others'.
        """
        if not len(episodes):
            raise UserError('There are no episodes; collect some first.')
        if cache is None:
            memory = MemoryFrames(cameras)
            with closing(read_all(episodes, cameras, image_size, workers)) as results:
                store = _gather(results, memory, use_state, on_episode, skip_bad)
            return replace(store, images=memory.images())
        source = hashlib.sha256(fingerprint(episodes).encode()).hexdigest()
        key = {'episodes': len(episodes), 'source': source}
        folder = CacheFolder(Path(cache), cameras, image_size, key, use_state=use_state)
        found = folder.read()
        if found:
            store = _unpack(*found)
            for reason in store.left_out:
                _leave_out(UserError(reason), skip_bad)
        else:
            with folder, closing(read_all(episodes, cameras, image_size, workers)) as results:
                store = _gather(results, folder, use_state, on_episode, skip_bad)
                folder.write(*_pack(store), complete=not store.left_out)
        return replace(store, images=folder.images(store.n_frames))


def _gather(
    results: Iterable[SmallEpisode | UserError],
    sink: FrameSink,
    use_state: bool,
    on_episode: Callable[[int], None] | None,
    skip_bad: Callable[[str], None] | None,
) -> FrameStore:
    """Everything but the images, which go into the sink."""
    items: list[SmallEpisode] = []
    numbers: list[int] = []
    left_out: list[str] = []
    for count, result in enumerate(results, 1):
        if isinstance(result, UserError):
            left_out.append(_leave_out(result, skip_bad))
        else:
            sink.put(result.images)
            items.append(replace(result, images={}))
            numbers.append(count - 1)
        if on_episode:
            on_episode(count)
    misfit = misfits(items, use_state)
    left_out += [_leave_out(UserError(reason), skip_bad) for reason in misfit.values()]
    if misfit:
        kept = [number for number in range(len(items)) if number not in misfit]
        sink.keep(kept)
        items = [items[number] for number in kept]
        numbers = [numbers[number] for number in kept]
    if not items:
        raise UserError(f'None of the {len(left_out)} episodes can be used: {left_out[0]}')
    lengths = np.array([item.length for item in items], np.int64)
    episodes = [item.episode for item in items]
    return FrameStore(
        images={},
        state=_stack([episode.state for episode in episodes]),
        actions=_stack([episode.actions for episode in episodes]),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        outcome=np.array([_outcome(episode) for episode in episodes], np.int8),
        success_index=np.array([episode.success_index for episode in episodes], np.int64),
        episode_ids=[episode.episode_id for episode in episodes],
        failure_kinds=[episode.failure_kind for episode in episodes],
        instructions=[episode.instruction for episode in episodes],
        events=[tuple(episode.events) for episode in episodes],
        interventions=np.concatenate([_interventions(item) for item in items]),
        rates=np.array([episode.rate_hz for episode in episodes]),
        left_out=left_out,
        numbers=np.array(numbers, np.int64),
    )


def _leave_out(error: UserError, skip_bad: Callable[[str], None] | None) -> str:
    reason = str(error)
    if skip_bad is None:
        hint = '(--skip-bad leaves such episodes out)'
        raise UserError(f'{reason.rstrip(".")} {hint}.') from error
    skip_bad(reason)
    return reason


def _outcome(episode: Episode) -> int:
    if episode.success is None:
        return UNKNOWN
    return SUCCESS if episode.success else FAILURE


def _interventions(item: SmallEpisode) -> NDArray[np.bool_]:
    given = item.episode.interventions
    return np.zeros(item.length, bool) if given is None else np.asarray(given, bool)


def _stack(rows: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    present = [row for row in rows if row is not None]
    if len(present) < len(rows) or len({row.shape[1] for row in present}) > 1:
        return None
    return np.concatenate(present).astype(np.float32)


_ARRAYS = ('starts', 'lengths', 'outcome', 'success_index', 'interventions', 'rates', 'numbers')
_OPTIONAL_ARRAYS = ('state', 'actions')
_TEXTS = ('episode_ids', 'failure_kinds', 'instructions', 'left_out')


def _pack(store: FrameStore) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    arrays = {name: getattr(store, name) for name in _ARRAYS + _OPTIONAL_ARRAYS}
    texts = {name: getattr(store, name) for name in _TEXTS}
    texts['events'] = [[astuple(event) for event in events] for events in store.events]
    return {name: array for name, array in arrays.items() if array is not None}, texts


def _unpack(arrays: dict[str, NDArray[Any]], texts: dict[str, Any]) -> FrameStore:
    events = [tuple(Event(*event) for event in some) for some in texts.pop('events')]
    values: dict[str, Any] = {**dict.fromkeys(_OPTIONAL_ARRAYS), **arrays, **texts}
    return FrameStore(images={}, **values, events=events)
