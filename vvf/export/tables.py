# SPDX-License-Identifier: Apache-2.0
"""The tables and the description of a LeRobot data set, from its episodes' numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vvf.export.recordings import Names
from vvf.export.stats import combined, vector_stats
from vvf.whole_file import write_whole

CHUNK = 1000
DATA_MB = 100
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'

_INDICES = ('frame_index', 'episode_index', 'index', 'task_index')

#: What is kept of an episode in meta/episodes besides LeRobot's own, and its type.
_KEPT = {
    'episode_id': pa.string(),
    'episode_success': pa.string(),
    'success_index': pa.int64(),
    'failure_kind': pa.string(),
    'events': pa.string(),
}


class Tables:
    """Writes `data` and `meta` of a data set.

    Args:
        out: Its folder.
        work: Where `<place>.parquet` holds the rows of each episode.
        fps: Its rate.
        codec: That of the videos.
        names: What robot and numbers are called.
    """

    def __init__(self, out: Path, work: Path, fps: int, codec: str, names: Names) -> None:
        self._out, self._work, self._fps, self._codec = out, work, fps, codec
        self._names = names

    def write(self, records: Sequence[dict[str, Any]], more: Mapping[str, Any]) -> None:
        """Write all tables, and at last `meta/info.json`.

        Args:
            records: What is known of each episode, in order; their stats are completed.
            more: Further files of `meta`, as JSON.
        """
        meta = self._out / 'meta'
        for folder in (self._out / 'data', meta):  # left by a run that was stopped in here
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        tasks = {text: n for n, text in enumerate(dict.fromkeys(r['instruction'] for r in records))}
        rows = self._write_data(records, tasks)
        stats = [record['stats'] for record in records]
        for row, one in zip(rows, stats, strict=True):
            for feature, columns in one.items():
                row.update({f'stats/{feature}/{key}': value for key, value in columns.items()})
            row.update({'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0})
        _write_episodes(meta / 'episodes/chunk-000/file-000.parquet', rows)
        write_tasks(meta / 'tasks.parquet', tasks)
        write_json(meta / 'stats.json', combined(stats))
        for name, content in more.items():
            write_json(meta / name, content)
        write_json(meta / 'info.json', self._info(records, len(tasks)))

    def _write_data(
        self, records: Sequence[dict[str, Any]], tasks: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        """Write the rows of all frames; return those of meta/episodes, and complete the stats."""
        rows: list[dict[str, Any]] = []
        number, start, size = 0, 0, 0
        writer: pq.ParquetWriter | None = None
        for index, record in enumerate(records):
            table = pq.read_table(self._work / f'{record["place"]:06d}.parquet')
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
                file = self._out / DATA_PATH.format(**place)
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
                row[f'{key}/to_timestamp'] = count / self._fps
            rows.append(row)
            record['stats'].update({k: vector_stats(v) for k, v in indices.items()})
            start += count
        assert writer is not None
        writer.close()
        return rows

    def _info(self, records: Sequence[Mapping[str, Any]], tasks: int) -> dict[str, Any]:
        schema = records[0]['schema']
        names = {'observation.state': self._names.state, 'action': self._names.action}
        features: dict[str, Any] = {}
        for camera, (height, width, _, pixel_format) in schema['cameras'].items():
            features[f'observation.images.{camera}'] = {
                'dtype': 'video',
                'shape': [height, width, 3],
                'names': ['height', 'width', 'channels'],
                'info': {
                    'video.height': height,
                    'video.width': width,
                    'video.codec': self._codec,
                    'video.pix_fmt': pixel_format,
                    'video.is_depth_map': False,
                    'video.fps': self._fps,
                    'video.channels': 3,
                    'has_audio': False,
                },
            }
        columns = {**schema['columns'], **{name: ['int64', 1] for name in _INDICES}}
        for name, (dtype, size) in columns.items():
            called = list(names.get(name, ()))
            features[name] = {
                'dtype': dtype,
                'shape': [size],
                'names': called if len(called) == size else None,
                'fps': self._fps,
            }
        return {
            'codebase_version': 'v3.0',
            'robot_type': self._names.robot or 'unknown',
            'total_episodes': len(records),
            'total_frames': sum(record['length'] for record in records),
            'total_tasks': tasks,
            'chunks_size': CHUNK,
            'data_files_size_in_mb': DATA_MB,
            'video_files_size_in_mb': 200,
            'fps': self._fps,
            'splits': {'train': f'0:{len(records)}'},
            'data_path': DATA_PATH,
            'video_path': VIDEO_PATH,
            'features': features,
        }


def write_json(path: Path, content: Any) -> None:
    """Write a file, complete or not at all."""
    write_whole(path, json.dumps(content, indent=1) + '\n')


def _write_episodes(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows))
    for name, kind in _KEPT.items():  # columns without any value have no type of their own
        column = pa.array([row[name] for row in rows], kind)
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path, compression='snappy')


def write_tasks(path: Path, tasks: Mapping[str, int]) -> None:
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
