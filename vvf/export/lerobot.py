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

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vvf import __version__
from vvf.errors import UserError, is_user_error
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
Progress = Callable[[int, int], None]


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


@dataclass
class ExportSummary:
    """What was done; ``numbers`` are the keys of ``--json``.

    Attributes:
        episodes: Episodes in the data set.
        before: Of these, those that an earlier run had written.
        left_out: One sentence for each episode that could not be used.
        frames: Rows in the data set.
        frames_now: Of these, those written by this run.
        gaps: Gaps of more than one and a half frames in the recordings.
        gap_seconds: What they hide, as rows follow one another at the data set's rate.
        seconds: What it took.
    """

    episodes: int = 0
    before: int = 0
    left_out: list[str] = field(default_factory=list)
    frames: int = 0
    frames_now: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0
    seconds: float = 0.0

    def numbers(self) -> dict[str, Any]:
        """Return the summary under stable keys."""
        return {
            'episodes': self.episodes,
            'episodes_skipped': self.before,
            'episodes_left_out': len(self.left_out),
            'frames': self.frames,
            'frames_per_s': round(self.frames_now / self.seconds, 2) if self.frames_now else 0.0,
            'gaps': self.gaps,
            'gap_seconds': round(self.gap_seconds, 3),
            'seconds': round(self.seconds, 3),
        }


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
    rates = sorted({source.fps for source in sources})
    if len(rates) > 1:
        raise UserError(
            f'the data run at {" and ".join(map(str, rates))} Hz: export each by itself, or give '
            '--fps'
        )
    run = _Run(options, rates[0], _fingerprint(sources, options))
    summary = ExportSummary()
    if run.finished:
        info = json.loads((options.out / 'meta' / 'info.json').read_text('utf-8'))
        summary.episodes = summary.before = info['total_episodes']
        summary.frames = info['total_frames']
        return summary
    jobs = [(source, number) for source in sources for number in range(len(source))]
    records: list[dict[str, Any]] = []
    for place, (source, number) in enumerate(jobs):
        record = run.known(place)
        if record is None:
            before = summary.frames

            def report(rows: int, before: int = before, done: int = len(records)) -> None:
                progress(before + rows, done)

            try:
                record = run.write(place, source, number, report)
            except Exception as error:
                if not is_user_error(error):
                    raise
                if options.skip_bad is None:
                    raise UserError(f'{error} (--skip-bad goes on without it)') from error
                options.skip_bad(str(error))
                summary.left_out.append(str(error))
                continue
            summary.frames_now += record['length']
        else:
            summary.before += 1
        records.append(record)
        summary.frames += record['length']
        summary.gaps += record['gaps']
        summary.gap_seconds += record['gap_seconds']
        progress(summary.frames, len(records))
    if not records:
        raise UserError('no episode could be used: there is nothing to export')
    summary.episodes = len(records)
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

    def known(self, place: int) -> dict[str, Any] | None:
        """What an earlier run wrote of an episode."""
        file = self.work / f'{place:06d}.json'
        if not file.is_file():
            return None
        record: dict[str, Any] = json.loads(file.read_text('utf-8'))
        self._check_alike(record)
        return record

    def write(
        self, place: int, source: Recordings, number: int, report: Callable[[int], None]
    ) -> dict[str, Any]:
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

    def finish(self, records: Sequence[dict[str, Any]], names: Names) -> None:
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


def _facts(where: str, stamps: npt.NDArray[np.int64], episode: Episode, fps: int) -> dict[str, Any]:
    """What of an episode is not a row."""
    steps = np.diff(stamps) * 1e-9 * fps
    gaps = steps[steps > 1.5]
    return {
        'source': where,
        'length': len(stamps),
        'instruction': episode.instruction,
        'gaps': len(gaps),
        'gap_seconds': float((gaps - 1).sum() / fps),
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


def _fingerprint(sources: Sequence[Recordings], options: ExportOptions) -> str:
    labels = ''
    if options.labels is not None:
        stat = options.labels.path.stat()
        labels = f'{options.labels.path.resolve()} {stat.st_size} {stat.st_mtime_ns}'
    parts = [(s.fps, [s.source(n) for n in range(len(s))], s.fingerprint()) for s in sources]
    text = repr((parts, options.codec, options.crf, labels))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
