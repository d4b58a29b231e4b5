# SPDX-License-Identifier: Apache-2.0
"""The labels as Parquet: a table of the whole run, and one for each LeRobot data set to join."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vvf.relabelling.scores import EpisodeScores, FloatArray, Limits

TABLE = 'values.parquet'

_ROWS = 1 << 16  # of a group: episodes are short, and groups of a few rows make large files
_LABELS = 'complementary_info'
_HUMAN = f'{_LABELS}.is_intervention'


class LabelTables:
    """The tables of a run, written while it goes over its episodes; a context manager.

    Without an error they replace those of an earlier run at the end, and not before.

    Args:
        out: Folder of the run.
        limits: See `thresholds`.
        n_steps: Horizon of the advantage.
    """

    def __init__(self, out: Path, limits: Limits, n_steps: int) -> None:
        self._out, self._limits, self._n_steps = out, limits, n_steps
        self._writers: dict[Path, _Writer] = {}
        self._count = 0

    def __enter__(self) -> LabelTables:
        return self

    def add(self, episode: EpisodeScores) -> None:
        """Add an episode's rows."""
        self._add(self._out / TABLE, self._rows(episode))
        if episode.about.dataset_index >= 0:
            # Named after the data set, whose name precedes the number.
            name = f'{episode.about.name.rpartition("_")[0]}.{_LABELS}.parquet'
            self._add(self._out / name, self._side_rows(episode))
        self._count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.close(keep=kind is None)

    def _add(self, path: Path, rows: pa.Table) -> None:
        if path not in self._writers:
            self._writers[path] = _Writer(path, rows.schema)
        self._writers[path].add(rows)

    def _rows(self, episode: EpisodeScores) -> pa.Table:
        about, count = episode.about, len(episode)
        label = about.outcome if about.outcome in ('success', 'failure') else None
        has_state = episode.state.ndim == 2 and episode.state.shape[1] > 0
        columns: dict[str, Any] = {
            'episode_index': pa.array(np.full(count, self._count, np.int64)),
            'frame_index': pa.array(np.arange(count, dtype=np.int64)),
            'timestamp': pa.array(episode.seconds.astype(np.float32)),
            'task': pa.array([about.task] * count, pa.string()),
            'episode_success': pa.array([label] * count, pa.string()),
            'observation.state': pa.array(
                list(episode.state) if has_state else [None] * count, pa.list_(pa.float32())
            ),
            _HUMAN: pa.array(episode.intervention.astype(bool)),
            **self._labels(episode),
        }
        for number, column in enumerate(episode.columns):
            ending = f'_{column.about.tag}' if number else ''
            columns[f'progress{ending}'] = _floats(column.progress)
            columns[f'uncertainty{ending}'] = _floats(column.uncertainty)
        columns['stamp_ns'] = pa.array(episode.stamps_ns)
        columns['episode_id'] = pa.array([about.episode_id] * count, pa.string())
        return pa.table(columns)

    def _side_rows(self, episode: EpisodeScores) -> pa.Table:
        count = len(episode)
        return pa.table(
            {
                'episode_index': pa.array(np.full(count, episode.about.dataset_index, np.int64)),
                'frame_index': pa.array(np.arange(count, dtype=np.int64)),
                **self._labels(episode),
            }
        )

    def _labels(self, episode: EpisodeScores) -> dict[str, pa.Array]:
        labels = {}
        for column in episode.columns:
            tag = column.about.tag
            gain = episode.lookahead(column, self._n_steps)
            limit = self._limits[episode.about.task, tag]
            labels[f'{_LABELS}.value_{tag}'] = _floats(column.value)
            labels[f'{_LABELS}.advantage_{tag}'] = _floats(gain)
            labels[f'{_LABELS}.acp_indicator_{tag}'] = indicator(episode, gain, limit)
        return labels


def indicator(episode: EpisodeScores, gain: FloatArray, limit: float) -> pa.Array:
    """1 where a frame counts as improvement: by its advantage, or since a human was in control."""
    return pa.array(((gain >= limit) | episode.intervention).astype(np.int64))


class _Writer:
    """One Parquet file, complete or not at all."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._draft = path, path.with_suffix('.partial')
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._file = pq.ParquetWriter(self._draft, schema, compression='zstd')

    def add(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        self._rows += rows.num_rows
        if self._rows >= _ROWS:
            self._flush()

    def close(self, *, keep: bool) -> None:
        if keep:
            self._flush()
        self._file.close()
        if keep:
            self._draft.replace(self._path)
        else:
            self._draft.unlink()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._rows = [], 0


def _floats(values: FloatArray) -> pa.Array:
    return pa.array(np.asarray(values, np.float32))
