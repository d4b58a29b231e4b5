# SPDX-License-Identifier: Apache-2.0
"""Writes episodes into one HDF5 file, with the steps of RLDS (arXiv 2111.02767).

    episode_000000                  attributes: what is known of the whole episode
        steps/observation/images/<camera>   (T, H, W, 3) uint8, one chunk for each image
        steps/observation/state             (T, D) float32
        steps/action                        (T, A) float32
        steps/reward                        (T,) float32
        steps/is_first, is_last, is_terminal  (T,) bool
        steps/language_instruction          (T,) text
        steps/timestamp, stamp_ns           (T,) seconds since the first frame; the data's own clock
        steps/complementary_info/...        (T,) is_intervention and the labels of `vvf relabel`

Of RLDS it lacks `discount`, which is the learner's business. Images are kept to the last bit. The
file appears when it is complete and not before, since HDF5 does not survive being killed.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from vvf import __version__
from vvf.errors import UserError
from vvf.export.episodes import (
    ExportSummary,
    Progress,
    Record,
    common_rate,
    export_fingerprint,
    gaps_in,
    write_episodes,
)
from vvf.export.labels import LabelTable
from vvf.export.recordings import Recordings
from vvf_models.data.episode import Episode

#: What h5py is told, by the name of the compression. gzip is read everywhere, lzf by h5py only.
COMPRESSIONS: dict[str, dict[str, Any]] = {
    'gzip': {'compression': 'gzip', 'compression_opts': 1},
    'lzf': {'compression': 'lzf'},
    'none': {},
}
_GROW = 64  # rows by which a data set of images grows
_OUTCOMES = {True: 'success', False: 'failure', None: 'unlabelled'}


@dataclass(frozen=True)
class Hdf5Options:
    """How to export.

    Attributes:
        out: The file.
        compression: One of COMPRESSIONS.
        labels: Values of `vvf relabel` to join; None for none.
        skip_bad: Told of each episode that cannot be used; without it, the first is an error.
    """

    out: Path
    compression: str = 'gzip'
    labels: LabelTable | None = None
    skip_bad: Callable[[str], None] | None = None


def export_hdf5(
    sources: Sequence[Recordings],
    options: Hdf5Options,
    progress: Progress = lambda frames, episodes: None,
) -> ExportSummary:
    """Export the episodes of several collections, one after the other.

    Args:
        sources: What to export, all at one rate.
        options: Where to and how.
        progress: Called with the number of frames and of episodes that are done.

    Raises:
        UserError: (of `vvf` or `vvf_models`) an episode cannot be used, the values do not fit, or
            the file is there already, of other data, or cannot be written.
    """
    started = time.perf_counter()
    fps = common_rate(sources)
    mark = export_fingerprint(sources, options.labels, options.compression)
    done = _finished(options.out, mark)
    if done is not None:
        return done
    draft = options.out.with_name(f'.{options.out.name}.partial')
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(draft, 'w') as file:
            run = _Run(file, options, fps)
            summary = write_episodes(sources, run.write, options.skip_bad, progress)[1]
            names = sources[0].names
            file.attrs.update(
                format='vvf RLDS', vvf=__version__, fingerprint=mark, rate_hz=float(fps),
                episodes=summary.episodes, frames=summary.frames, robot=names.robot,
                state_names=list(names.state), action_names=list(names.action),
                values=str(options.labels.path) if options.labels else '',
            )  # fmt: skip
        draft.replace(options.out)
    except OSError as error:
        raise UserError(f'{options.out} cannot be written: {error}') from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    summary.seconds = time.perf_counter() - started
    return summary


def _finished(out: Path, mark: str) -> ExportSummary | None:
    """What an earlier run wrote, if it was this very export.

    Raises:
        UserError: Something else is there.
    """
    if not out.exists():
        return None
    try:
        with h5py.File(out) as file:
            if file.attrs.get('fingerprint') == mark:
                episodes = int(file.attrs['episodes'])
                frames = int(file.attrs['frames'])
                return ExportSummary(episodes=episodes, before=episodes, frames=frames)
    except (OSError, KeyError):
        pass
    raise UserError(f'{out} exists already: choose another file with --out, or delete it')


class _Run:
    """One export into an open file."""

    def __init__(self, file: h5py.File, options: Hdf5Options, fps: int) -> None:
        self._file, self._labels, self._fps = file, options.labels, fps
        self._how = COMPRESSIONS[options.compression]
        self._count = 0

    def write(
        self, place: int, source: Recordings, number: int, report: Callable[[int], None]
    ) -> tuple[Record, bool]:
        """Write an episode as the next group; what cannot be used leaves none behind."""
        name = f'episode_{self._count:06d}'
        group = self._file.create_group(name)
        try:
            record = self._write(group, source, number, report)
        except BaseException:
            del self._file[name]
            raise
        self._count += 1
        return record, False

    def _write(
        self, group: h5py.Group, source: Recordings, number: int, report: Callable[[int], None]
    ) -> Record:
        where = source.source(number)
        steps = group.create_group('steps')
        cameras: dict[str, _Images] = {}
        with source.open(number) as recording:
            for done, images in enumerate(recording.frames, 1):
                for camera, image in images.items():
                    if camera not in cameras:
                        cameras[camera] = _Images(
                            steps, f'observation/images/{camera}', image.shape, self._how
                        )
                    try:
                        cameras[camera].add(image)
                    except ValueError as error:
                        raise UserError(
                            f'{where}, camera {camera}: {error}, choose --image-size'
                        ) from error
                if done % 16 == 0:
                    report(done)
            stamps, episode = recording.facts()
        for written in cameras.values():
            written.finish()
        for path, rows in self._columns(episode, stamps).items():
            steps.create_dataset(path, data=rows, chunks=True, **self._how)
        group.attrs.update(
            episode_id=episode.episode_id, source=where, outcome=_OUTCOMES[episode.success],
            language_instruction=episode.instruction, success_index=int(episode.success_index),
            failure_kind=episode.failure_kind, rate_hz=float(self._fps), length=len(stamps),
            events=json.dumps([asdict(event) for event in episode.events]),
        )  # fmt: skip
        gaps, seconds = gaps_in(stamps, self._fps)
        return {'length': len(stamps), 'gaps': gaps, 'gap_seconds': seconds}

    def _columns(
        self, episode: Episode, stamps: npt.NDArray[np.int64]
    ) -> dict[str, npt.NDArray[Any]]:
        """All that has a row for each step, images apart, by its place below `steps`."""
        count = len(stamps)
        rows = np.arange(count)
        human = episode.interventions
        text = episode.instruction.encode()
        columns: dict[str, npt.NDArray[Any]] = {
            'reward': rewards_of(episode, count),
            'is_first': rows == 0,
            'is_last': rows == count - 1,
            # An episode that nobody judged was cut off and did not end.
            'is_terminal': (rows == count - 1) & (episode.success is not None),
            'language_instruction': np.full(
                count, text, h5py.string_dtype('utf-8', max(1, len(text)))
            ),
            'timestamp': (stamps - stamps[0]) * 1e-9,
            'stamp_ns': stamps,
            'complementary_info/is_intervention': (
                np.zeros(count, bool) if human is None else human.astype(bool)
            ),
        }
        if episode.state is not None:
            columns['observation/state'] = episode.state
        if episode.actions is not None:
            columns['action'] = episode.actions
        if self._labels is not None:
            for name, values in self._labels.of(episode.episode_id, stamps).items():
                columns[name.replace('.', '/', 1)] = values
        return columns


def rewards_of(episode: Episode, count: int) -> npt.NDArray[np.float32]:
    """The rewards as recorded, else by the outcome: 1 in the step in which the task is done.

    Args:
        episode: The episode.
        count: How many steps it has.

    Returns:
        (T,); NaN where nobody recorded rewards or judged the episode, since 0 would be a judgment.
    """
    if episode.rewards is not None:
        return np.asarray(episode.rewards, np.float32)
    if episode.success is None:
        return np.full(count, np.nan, np.float32)
    rewards = np.zeros(count, np.float32)
    if episode.success:
        rewards[episode.success_index] = 1.0
    return rewards


class _Images:
    """A data set of images that grows."""

    def __init__(
        self, group: h5py.Group, name: str, shape: tuple[int, ...], how: dict[str, Any]
    ) -> None:
        self._rows = 0
        self._data = group.create_dataset(
            name, (_GROW, *shape), np.uint8, maxshape=(None, *shape), chunks=(1, *shape), **how
        )

    def add(self, image: npt.NDArray[np.uint8]) -> None:
        """Append one.

        Raises:
            ValueError: Its size is not that of the first one.
        """
        if image.shape != self._data.shape[1:]:
            (height, width), first = image.shape[:2], self._data.shape
            raise ValueError(
                f'frame {self._rows} is {width}x{height}, but the first one {first[2]}x{first[1]}: '
                'one size is needed'
            )
        if self._rows == len(self._data):
            self._data.resize(self._rows + _GROW, axis=0)
        self._data[self._rows] = image
        self._rows += 1

    def finish(self) -> None:
        """Cut off what was not filled."""
        self._data.resize(self._rows, axis=0)
