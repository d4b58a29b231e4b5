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
from vvf.export.recordings import Recordings
from vvf.export.stats import ImageStats, combined, vector_stats
from vvf.export.video import VideoWriter
from vvf_models.data.episode import Episode

CHUNK = 1000
DATA_MB = 100
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'

_WORK = '.export'
_PLAN = 'export.json'
_OUTCOMES = {True: 'success', False: 'failure', None: None}
_INDICES = ('frame_index', 'episode_index', 'index', 'task_index')

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
    names = sources[0].names
    run.finish(records, names.robot, {'observation.state': names.state, 'action': names.action})
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
            if _stored(self.out / 'meta' / _PLAN) != fingerprint:
                raise UserError(
                    f'{self.out} holds a data set already: choose another folder with --out'
                )
            self.finished = True
            return
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            if not (self.out.is_dir() and self.work.is_dir()):
                raise UserError(f'{self.out} is not empty: choose another folder with --out')
            if _stored(self.work / _PLAN) != fingerprint:
                raise UserError(
                    f'{self.out} holds an unfinished export of other data or with other options: '
                    'choose another folder with --out, or delete it'
                )
        self.work.mkdir(parents=True, exist_ok=True)
        _write_json(self.work / _PLAN, {'fingerprint': fingerprint})

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
        _write_json(self.work / f'{place:06d}.json', record)  # last: this says that all is there
        return record

    def finish(
        self, records: Sequence[Mapping[str, Any]], robot: str, names: Mapping[str, Sequence[str]]
    ) -> None:
        """Write the tables of all episodes and the metadata."""
        for folder in ('data', 'meta'):  # left by a run that was stopped in here
            shutil.rmtree(self.out / folder, ignore_errors=True)
            (self.out / folder).mkdir()
        tasks = {text: n for n, text in enumerate(dict.fromkeys(r['instruction'] for r in records))}
        rows = self._write_data(records, tasks)
        stats = [record['stats'] for record in records]
        for row, one in zip(rows, stats, strict=True):
            for feature, columns in one.items():
                row.update({f'stats/{feature}/{key}': value for key, value in columns.items()})
            row.update({'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0})
        _write_episodes(self.out / 'meta/episodes/chunk-000/file-000.parquet', rows)
        _write_tasks(self.out / 'meta' / 'tasks.parquet', tasks)
        _write_json(self.out / 'meta' / 'stats.json', combined(stats))
        provenance = {
            'fingerprint': self._fingerprint,
            'vvf': __version__,
            'values': str(self.options.labels.path) if self.options.labels else '',
            'episodes': [{'source': r['source'], 'id': r['episode_id']} for r in records],
        }
        _write_json(self.out / 'meta' / _PLAN, provenance)
        info = self._info(records, len(tasks), robot, names)
        _write_json(self.out / 'meta' / 'info.json', info)
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

    def _write_data(
        self, records: Sequence[Mapping[str, Any]], tasks: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        """Write the rows of all frames; return those of meta/episodes, and complete the stats."""
        rows: list[dict[str, Any]] = []
        number, start, size = 0, 0, 0
        writer: pq.ParquetWriter | None = None
        for index, record in enumerate(records):
            table = pq.read_table(self.work / f'{record["place"]:06d}.parquet')
            count = record['length']
            indices = {
                'frame_index': np.arange(count),
                'episode_index': np.full(count, index),
                'index': np.arange(start, start + count),
                'task_index': np.full(count, tasks[record['instruction']]),
            }
            for name, values in indices.items():
                table = table.append_column(name, pa.array(values.astype(np.int64)))
            if writer is not None and size + table.nbytes > DATA_MB << 20:
                writer.close()
                writer, number, size = None, number + 1, 0
            place = {'chunk_index': number // CHUNK, 'file_index': number % CHUNK}
            if writer is None:
                file = self.out / DATA_PATH.format(**place)
                file.parent.mkdir(parents=True, exist_ok=True)
                writer = pq.ParquetWriter(file, table.schema, compression='snappy')
            writer.write_table(table)
            size += table.nbytes
            row: dict[str, Any] = {
                'episode_index': index,
                'tasks': [record['instruction']],
                'length': count,
                'dataset_from_index': start,
                'dataset_to_index': start + count,
                **{f'data/{key}': value for key, value in place.items()},
                **{key: record[key] for key in _KEPT},
            }
            for camera in record['schema']['cameras']:
                key = f'videos/observation.images.{camera}'
                row[f'{key}/chunk_index'] = record['place'] // CHUNK
                row[f'{key}/file_index'] = record['place'] % CHUNK
                row[f'{key}/from_timestamp'] = 0.0
                row[f'{key}/to_timestamp'] = count / self.fps
            rows.append(row)
            record['stats'].update({k: vector_stats(v) for k, v in indices.items()})
            start += count
        assert writer is not None
        writer.close()
        return rows

    def _info(
        self,
        records: Sequence[Mapping[str, Any]],
        tasks: int,
        robot: str,
        names: Mapping[str, Sequence[str]],
    ) -> dict[str, Any]:
        features: dict[str, Any] = {}
        for camera, (height, width, _, pixel_format) in self._schema['cameras'].items():
            features[f'observation.images.{camera}'] = {
                'dtype': 'video',
                'shape': [height, width, 3],
                'names': ['height', 'width', 'channels'],
                'info': {
                    'video.height': height,
                    'video.width': width,
                    'video.codec': self.options.codec,
                    'video.pix_fmt': pixel_format,
                    'video.is_depth_map': False,
                    'video.fps': self.fps,
                    'video.channels': 3,
                    'has_audio': False,
                },
            }
        columns = {**self._schema['columns'], **{name: ['int64', 1] for name in _INDICES}}
        for name, (dtype, size) in columns.items():
            called = list(names.get(name, ()))
            features[name] = {
                'dtype': dtype,
                'shape': [size],
                'names': called if len(called) == size else None,
                'fps': self.fps,
            }
        return {
            'codebase_version': 'v3.0',
            'robot_type': robot or 'unknown',
            'total_episodes': len(records),
            'total_frames': sum(record['length'] for record in records),
            'total_tasks': tasks,
            'chunks_size': CHUNK,
            'data_files_size_in_mb': DATA_MB,
            'video_files_size_in_mb': 200,
            'fps': self.fps,
            'splits': {'train': f'0:{len(records)}'},
            'data_path': DATA_PATH,
            'video_path': VIDEO_PATH,
            'features': features,
        }


#: What is kept of an episode in meta/episodes besides LeRobot's own, and its type.
_KEPT = {
    'episode_id': pa.string(),
    'episode_success': pa.string(),
    'success_index': pa.int64(),
    'failure_kind': pa.string(),
    'events': pa.string(),
}


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


def _write_episodes(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows))
    for name, kind in _KEPT.items():  # columns without any value have no type of their own
        column = pa.array([row[name] for row in rows], kind)
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path, compression='snappy')


def _write_tasks(path: Path, tasks: Mapping[str, int]) -> None:
    """The texts are the index of a pandas table, which is not needed to write one."""
    table = pa.table(
        {'task_index': pa.array(list(tasks.values()), pa.int64()), 'task': list(tasks)}
    )
    columns = [
        {'name': name, 'field_name': name, 'pandas_type': kind, 'numpy_type': numpy,
         'metadata': None}
        for name, kind, numpy in (('task_index', 'int64', 'int64'), ('task', 'unicode', 'object'))
    ]  # fmt: skip
    notes = {'index_columns': ['task'], 'column_indexes': [], 'columns': columns}
    pq.write_table(table.replace_schema_metadata({'pandas': json.dumps(notes)}), path)


def _write_json(path: Path, content: Any) -> None:
    draft = path.with_name(f'.{path.name}.partial')
    draft.write_text(json.dumps(content, indent=1) + '\n', 'utf-8')
    draft.replace(path)


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
