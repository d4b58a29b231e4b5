# SPDX-License-Identifier: Apache-2.0
"""Episodes frame by frame, so that one of half an hour fits into memory.

A bag is streamed; any other data are read an episode at a time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vvf.bags.episodes import BagEpisodes, assemble, check_frames, choose_stamps, read_notes
from vvf.bags.frames import Frame, FrameSource
from vvf.bags.reader import open_bag
from vvf.data import kind_of_data, open_data
from vvf.errors import UserError
from vvf.task import POSE_DIM, TaskSpec
from vvf.task_overlay import sides_of
from vvf_models.data.chain import fingerprint, source
from vvf_models.data.episode import Episode
from vvf_models.data.options import AS_IT_IS, ReadOptions

Images = Mapping[str, npt.NDArray[np.uint8]]

#: By how much the frames may come more slowly or quickly than the data set's rate, as a share.
RATE_TOLERANCE = 0.2
_POSE = ('x', 'y', 'z', 'r11', 'r21', 'r31', 'r12', 'r22', 'r32')
_DELTA = ('dx', 'dy', 'dz', 'rx', 'ry', 'rz', 'gripper')


@dataclass(frozen=True)
class Recording:
    """One episode.

    Attributes:
        frames: Gives the images of each frame, once.
        facts: After that: the stamps of the frames in ns, and the episode without its images.
    """

    frames: Iterator[Images]
    facts: Callable[[], tuple[npt.NDArray[np.int64], Episode]]


@dataclass(frozen=True)
class Names:
    """What the numbers of a data set are called; empty where nobody says."""

    robot: str = ''
    state: tuple[str, ...] = ()
    action: tuple[str, ...] = ()


class Recordings(ABC):
    """A collection of episodes at one rate.

    Attributes:
        fps: Frames a second.
        names: Names of the numbers.
    """

    fps: int
    names: Names

    @abstractmethod
    def __len__(self) -> int:
        """Number of episodes."""

    @abstractmethod
    def source(self, number: int) -> str:
        """Where an episode comes from."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the episodes do."""

    @abstractmethod
    def expected_frames(self) -> int:
        """About how many frames there are, 0 if unknown."""

    @abstractmethod
    def open(self, number: int) -> AbstractContextManager[Recording]:
        """Open an episode.

        Raises:
            UserError: (of `vvf` or `vvf_models`, here or while it is read) it cannot be used.
        """


def open_recordings(
    path: Path,
    task: TaskSpec | None = None,
    *,
    fps: float = 0.0,
    cameras: Sequence[str] = (),
    image_size: int = AS_IT_IS,
) -> Recordings:
    """Open anything that :func:`vvf.data.open_data` knows.

    Args:
        path: The data.
        task: For bags without a task file, and the names of the numbers.
        fps: Frames a second; 0 takes the task's rate for bags, and for others their own.
        cameras: Which ones; all where there are none.
        image_size: Side to which images are scaled; by default they keep theirs.

    Raises:
        UserError: (of `vvf` or `vvf_models`) there are no such data, or not at that rate.
    """
    options = ReadOptions(cameras=tuple(cameras), image_size=image_size)
    kind = kind_of_data(path)
    if kind == 'bags':
        return BagRecordings(path, task, options, fps)
    own = 0.0 if kind == 'lerobot' else options.fps
    return OtherRecordings(path, task, replace(options, fps=fps or own), fps)


class BagRecordings(Recordings):
    """Bags, at any rate up to that of their cameras."""

    def __init__(self, path: Path, task: TaskSpec | None, options: ReadOptions, fps: float) -> None:
        self._episodes = BagEpisodes(path, task, options)
        self._options, self._task = options, task
        first = self._task_of(0)
        self.names = names_of(first)
        self.fps = whole_rate(fps or first.rate_hz)

    def __len__(self) -> int:
        return len(self._episodes)

    def source(self, number: int) -> str:
        """The bag, or what the data say of it."""
        return self._episodes.source(number)

    def fingerprint(self) -> str:
        """That of the data."""
        return self._episodes.fingerprint()

    def expected_frames(self) -> int:
        """By what the metadata say; 0 where there are none."""
        seconds = 0.0
        for path in self._episodes.bags:
            try:
                with open_bag(path) as reader:
                    begin, end = reader.span_ns()
            except UserError:  # told when it is its turn
                continue
            seconds += (end - begin) * 1e-9
        return round(seconds * self.fps)

    @contextmanager
    def open(self, number: int) -> Iterator[Recording]:
        """See `Recordings.open`."""
        path, task = self._episodes.bags[number], self._task_of(number)
        names = self._options.cameras or tuple(camera.name for camera in task.cameras)
        with open_bag(path) as reader:
            views = {name: name for name in names}
            frames = FrameSource(
                reader, task, views, self._options.image_size, state=bool(task.state)
            )
            notes = read_notes(reader, task, frames.reference_topic)
            action = task.action
            if notes.actions and action and action.kind == 'ee_delta':
                _same_rate(str(path), action.rate_hz, self.fps)
            acted_on = {action.stamp_ns for action in notes.actions}
            frames.wanted = choose_stamps(notes.stamps, acted_on, float(self.fps))
            kept: list[Frame] = []

            def images() -> Iterator[Images]:
                for frame in frames:
                    kept.append(replace(frame, images={}))
                    yield frame.images

            def facts() -> tuple[npt.NDArray[np.int64], Episode]:
                check_frames(path, reader, frames, kept)
                stamps = np.array([frame.stamp_ns for frame in kept], np.int64)
                episode = assemble(reader, task, notes, kept, frames.control)
                check_rate(str(path), episode, self.fps)
                return stamps, episode

            yield Recording(images(), facts)

    def _task_of(self, number: int) -> TaskSpec:
        path = self._episodes.bags[number]
        if self._task is not None:
            return self._task
        with open_bag(path) as reader:
            task = reader.task
        if task is None:
            raise UserError(f'{path} holds no task file: name the task with --task')
        return task


class OtherRecordings(Recordings):
    """Episodes of any other kind, one in memory at a time, at their own rate."""

    def __init__(self, path: Path, task: TaskSpec | None, options: ReadOptions, fps: float) -> None:
        self._episodes = open_data(path, task, options)
        if not len(self._episodes):
            raise UserError(f'{path} holds no episodes: name another folder')
        self._cameras = options.cameras
        self.names = names_of(task) if task is not None else Names()
        rate = fps
        if not rate:
            first = self._episodes[0]
            rate = first.rate_hz
            if not math.isfinite(rate):
                raise UserError(f'{path} does not say its rate: give it with --fps')
            rate = max(1.0, float(round(rate)))
        self.fps = whole_rate(rate)

    def __len__(self) -> int:
        return len(self._episodes)

    def source(self, number: int) -> str:
        """The bag, or what the data say of it."""
        return source(self._episodes, number) or f'episode {number}'

    def fingerprint(self) -> str:
        """That of the data."""
        return fingerprint(self._episodes)

    def expected_frames(self) -> int:
        """By what the metadata say; 0 where there are none."""
        return 0

    @contextmanager
    def open(self, number: int) -> Iterator[Recording]:
        """See `Recordings.open`."""
        episode, where = self._episodes[number], self.source(number)
        try:
            episode.check()
        except ValueError as error:
            raise UserError(f'{where}: {error}') from error
        check_rate(where, episode, self.fps)
        cameras = self._cameras or tuple(episode.images)
        for camera in cameras:
            if camera not in episode.images:
                known = ', '.join(episode.images)
                raise UserError(f"{where} has no camera '{camera}': its cameras are {known}")
        images = ({c: episode.images[c][row] for c in cameras} for row in range(len(episode)))
        stamps = episode.stamps if len(episode.stamps) else np.arange(len(episode)) / self.fps
        nanoseconds = np.round(stamps * 1e9).astype(np.int64)
        yield Recording(images, lambda: (nanoseconds, replace(episode, images={})))


def whole_rate(fps: float) -> int:
    """A rate as LeRobot keeps it, and all exports.

    Raises:
        UserError: It is no whole number of frames a second.
    """
    if not (math.isfinite(fps) and fps >= 1 and fps == int(fps)):
        raise UserError(f'a data set has a whole rate, not {fps:g} Hz: give one with --fps')
    return int(fps)


def check_rate(where: str, episode: Episode, fps: int) -> None:
    """Refuse an episode whose frames do not come at the rate of the data set.

    Raises:
        UserError: They come more slowly or quickly.
    """
    if len(episode.stamps) < 2:
        return
    rate = 1.0 / float(np.median(np.diff(episode.stamps)))
    if abs(rate - fps) > RATE_TOLERANCE * fps:
        raise UserError(f'{where} runs at {rate:.3g} Hz and not at {fps}: give --fps {rate:.0f}')


def _same_rate(where: str, rate_hz: float, fps: int) -> None:
    if abs(rate_hz - fps) > 1e-6 * rate_hz:
        raise UserError(
            f'{where}: its actions are displacements of {1 / rate_hz:g} s, which make no sense at '
            f'{fps} Hz: leave --fps away or give --fps {rate_hz:g}'
        )


def names_of(task: TaskSpec) -> Names:
    """What a task calls the numbers of its state and action."""
    state: list[str] = []
    for part in task.state:
        if part.type == 'joint_state':
            state += part.names
        else:
            assert len(_POSE) == POSE_DIM
            state += [f'{part.topic.rpartition("/")[2]}.{axis}' for axis in _POSE]
    action: tuple[str, ...] = ()
    if task.action is not None:
        joints = [name for part in task.state for name in part.names]
        sides = [f'{side}_' if side else '' for side in sides_of(task)]
        one, rest = divmod(task.action.dim, len(sides))
        if task.action.kind == 'ee_delta' and one == len(_DELTA) and not rest:
            action = tuple(side + name for side in sides for name in _DELTA)
        elif task.action.kind == 'joint_position' and not rest:
            owned = [[name for name in joints if name.startswith(side)] for side in sides]
            if all(len(names) >= one - 1 for names in owned):
                pairs = zip(sides, owned, strict=True)
                action = tuple(
                    n for side, own in pairs for n in (*own[: one - 1], f'{side}gripper')
                )
    return Names(task.robot, tuple(state), action)
