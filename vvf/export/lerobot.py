# SPDX-License-Identifier: Apache-2.0
"""Writes episodes as a LeRobot data set of version 3, without LeRobot.

The layout is that of lerobot 0.4 to 0.6 (`src/lerobot/datasets`), which `vvf_models.data.lerobot`
reads. Each episode has a video of its own for every camera. Rows are frames, at
`timestamp = frame_index / fps` as LeRobot demands; when they were really taken is
`complementary_info.stamp_ns`, so gaps of a recording stay visible, and are counted.

An episode is written as soon as it is read: its videos to their place, its numbers to OUT/.export.
When all are there, the tables and at last `meta/info.json` are written, so an export is complete or
no data set at all, and one that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

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
from vvf.export.recordings import Names, Recordings
from vvf.export.stats import ImageStats, vector_stats
from vvf.export.tables import CHUNK, VIDEO_PATH, Tables, write_json
from vvf.export.video import VideoWriter
from vvf_models.data.episode import Episode

PLAN = 'export.json'

_WORK = '.export'
_OUTCOMES = {True: 'success', False: 'failure', None: None}

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        out: Folder of the data set.
        codec: One of `vvf.export.video.CODECS`.
        crf: Quality of the videos, lower is better; None for the codec's default.
        labels: Values of `vvf relabel` to join; None for none.
        skip_bad: Told of each episode that cannot be used; without it, the first is an error.
    """

    out: Path
    codec: str = 'h264'
    crf: int | None = None
    labels: LabelTable | None = None
    skip_bad: Callable[[str], None] | None = None


def export_lerobot(
    sources: Sequence[Recordings],
    options: ExportOptions,
    progress: Progress = lambda frames, episodes: None,
) -> ExportSummary:
    """Export the episodes of several collections, one after the other.

    Args:
        sources: What to export, all at one rate.
        options: Where to and how.
        progress: Called with the number of frames and of episodes that are done.

    Raises:
        UserError: (of `vvf` or `vvf_models`) an episode cannot be used or differs from the others,
            the values do not fit, or OUT holds something else.
    """
    started = time.perf_counter()
    mark = export_fingerprint(sources, options.labels, options.codec, options.crf)
    run = _Run(options, common_rate(sources), mark)
    if run.finished:
        info = json.loads((options.out / 'meta' / 'info.json').read_text('utf-8'))
        episodes = info['total_episodes']
        return ExportSummary(episodes=episodes, before=episodes, frames=info['total_frames'])
    records, summary = write_episodes(sources, run.keep, options.skip_bad, progress)
    run.finish(records, sources[0].names)
    summary.seconds = time.perf_counter() - started
    return summary


class _Run:
    """One export in its folder: what is done already, and what follows."""

    def __init__(self, options: ExportOptions, fps: int, fingerprint: str) -> None:
        self.options, self.fps, self.out = options, fps, options.out
        self.work = options.out / _WORK
        self._fingerprint = fingerprint
        self._schema: dict[str, Any] = {}
        self.finished = False
        if (self.out / 'meta' / 'info.json').exists():
            if _stored(self.out / 'meta' / PLAN) != fingerprint:
                raise UserError(
                    f'{self.out} holds a data set already: choose another folder with --out'
                )
            self.finished = True
            return
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            if not (self.out.is_dir() and self.work.is_dir()):
                raise UserError(f'{self.out} is not empty: choose another folder with --out')
            if _stored(self.work / PLAN) != fingerprint:
                raise UserError(
                    f'{self.out} holds an unfinished export of other data or with other options: '
                    'choose another folder with --out, or delete it'
                )
        self.work.mkdir(parents=True, exist_ok=True)
        write_json(self.work / PLAN, {'fingerprint': fingerprint})

    def keep(
        self, place: int, source: Recordings, number: int, report: Callable[[int], None]
    ) -> tuple[Record, bool]:
        """Write an episode, unless an earlier run has done it, which is said."""
        record = self._known(place)
        if record is not None:
            return record, True
        return self._write(place, source, number, report), False

    def _known(self, place: int) -> Record | None:
        file = self.work / f'{place:06d}.json'
        if not file.is_file():
            return None
        record: Record = json.loads(file.read_text('utf-8'))
        self._check_alike(record)
        return record

    def _write(
        self, place: int, source: Recordings, number: int, report: Callable[[int], None]
    ) -> Record:
        """Write an episode's videos and numbers."""
        where = source.source(number)
        pictures: dict[str, ImageStats] = {}
        with ExitStack() as stack:
            recording = stack.enter_context(source.open(number))
            videos: dict[str, VideoWriter] = {}
            for done, images in enumerate(recording.frames, 1):
                for camera, image in images.items():
                    if camera not in videos:
                        video = VideoWriter(
                            self._video(camera, place), self.fps, self.options.codec,
                            self.options.crf,
                        )  # fmt: skip
                        videos[camera] = stack.enter_context(video)
                        pictures[camera] = ImageStats()
                    try:
                        videos[camera].write(image)
                    except UserError as error:
                        raise UserError(f'{where}, camera {camera}: {error}') from error
                    pictures[camera].add(image)
                if done % 16 == 0:
                    report(done)
            stamps, episode = recording.facts()
            columns = self._columns(episode, stamps)
            record = {
                **_facts(where, stamps, episode, self.fps),
                'place': place,
                'schema': {
                    'cameras': {c: [*v.shape, v.pixel_format] for c, v in videos.items()},
                    'columns': {k: [str(v.dtype), v[0].size] for k, v in columns.items()},
                },
                'stats': {
                    **{f'observation.images.{c}': s.result() for c, s in pictures.items()},
                    **{name: vector_stats(rows) for name, rows in columns.items()},
                },
            }
            self._check_alike(record)
        pq.write_table(_table(columns), self.work / f'{place:06d}.parquet', compression='zstd')
        write_json(self.work / f'{place:06d}.json', record)  # last: this says that all is there
        return record

    def finish(self, records: Sequence[Record], names: Names) -> None:
        """Write the tables of all episodes and the metadata."""
        provenance = {
            'fingerprint': self._fingerprint,
            'vvf': __version__,
            'values': str(self.options.labels.path) if self.options.labels else '',
            'episodes': [{'source': r['source'], 'id': r['episode_id']} for r in records],
        }
        tables = Tables(self.out, self.work, self.fps, self.options.codec, names)
        tables.write(records, {PLAN: provenance})
        shutil.rmtree(self.work)

    def _video(self, camera: str, place: int) -> Path:
        name = VIDEO_PATH.format(
            video_key=f'observation.images.{camera}',
            chunk_index=place // CHUNK,
            file_index=place % CHUNK,
        )
        return self.out / name

    def _columns(self, episode: Episode, stamps: npt.NDArray[np.int64]) -> Columns:
        count = len(stamps)
        columns: Columns = {}
        if episode.state is not None:
            columns['observation.state'] = episode.state
        if episode.actions is not None:
            columns['action'] = episode.actions
        if episode.rewards is not None:
            columns['next.reward'] = episode.rewards
        human = episode.interventions
        columns['complementary_info.is_intervention'] = (
            np.zeros(count, bool) if human is None else human
        )
        columns = {name: np.asarray(rows, np.float32) for name, rows in columns.items()}
        columns['complementary_info.stamp_ns'] = stamps
        if self.options.labels is not None:
            columns.update(self.options.labels.of(episode.episode_id, stamps))
        columns['timestamp'] = (np.arange(count) / self.fps).astype(np.float32)
        return columns

    def _check_alike(self, record: Mapping[str, Any]) -> None:
        """Refuse an episode whose cameras or numbers are not those of the first one."""
        self._schema = self._schema or record['schema']
        for kind, what in (('cameras', 'camera'), ('columns', 'column')):
            first, here = self._schema[kind], record['schema'][kind]
            for name in {**first, **here}:
                if first.get(name) != here.get(name):
                    raise UserError(
                        f'{record["source"]} has {what} {name} as {here.get(name, "none")}, the '
                        f'episodes before it as {first.get(name, "none")}: one data set needs one '
                        'kind of data'
                    )


def _facts(where: str, stamps: npt.NDArray[np.int64], episode: Episode, fps: int) -> Record:
    """What of an episode is not a row."""
    gaps, gap_seconds = gaps_in(stamps, fps)
    return {
        'source': where,
        'length': len(stamps),
        'instruction': episode.instruction,
        'gaps': gaps,
        'gap_seconds': gap_seconds,
        'episode_id': episode.episode_id,
        'episode_success': _OUTCOMES[episode.success],
        'success_index': int(episode.success_index),
        'failure_kind': episode.failure_kind,
        'events': json.dumps([asdict(event) for event in episode.events]),
    }


def _table(columns: Columns) -> pa.Table:
    arrays = {}
    for name, rows in columns.items():
        flat = pa.array(rows.reshape(-1))
        many = rows.ndim > 1 and rows.shape[1] > 1
        arrays[name] = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1]) if many else flat
    return pa.table(arrays)


def _stored(path: Path) -> str:
    try:
        return str(json.loads(path.read_text('utf-8'))['fingerprint'])
    except (OSError, ValueError, KeyError, TypeError):
        return ''
