# SPDX-License-Identifier: Apache-2.0
"""The metadata of a LeRobot v3 data set, and its tables; `lerobot.py` makes episodes of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vvf_models.errors import UserError

INFO = 'meta/info.json'


class LerobotMeta:
    """What `meta/` says.

    Attributes:
        path: The data set's folder.
        info_file: Its `meta/info.json`.
        fps: Rows a second.
        features: As `info.json` has them.
        cameras: By their names, the feature's key and whether it is a 'video' or an 'image'; depth
            is left out.
        episodes: Rows of `meta/episodes`, in order, without statistics.
        tasks: Text by number.
        subtasks: Text by number.
    """

    def __init__(self, path: Path) -> None:
        """Reads the metadata.

        Raises:
            UserError: They are missing, damaged, of another version, or contradict each other.
        """
        self.path = path
        self.info_file = path / INFO
        info = self._read_info()
        self.fps = float(info['fps'])
        self.features: dict[str, dict[str, Any]] = info['features']
        self._patterns = {'data': info['data_path'], 'video': info.get('video_path')}
        self.cameras = {
            _camera(key): (key, feature['dtype'])
            for key, feature in self.features.items()
            if feature.get('dtype') in ('video', 'image') and not _is_depth(feature)
        }
        self.episodes = self._read_episodes(info)
        self.tasks = self._read_names('task')
        self.subtasks = self._read_names('subtask')

    def data_file(self, row: dict[str, Any]) -> Path:
        """Where an episode's rows lie.

        Raises:
            UserError: The metadata do not say.
        """
        return self._file('data', row, 'data/', '')

    def video_file(self, row: dict[str, Any], key: str) -> Path:
        """Where an episode's stretch of a camera's video lies; see `data_file`."""
        return self._file('video', row, f'videos/{key}/', key)

    def _file(self, kind: str, row: dict[str, Any], prefix: str, key: str) -> Path:
        try:
            name = str(self._patterns[kind]).format(
                video_key=key,
                chunk_index=int(row[f'{prefix}chunk_index']),
                file_index=int(row[f'{prefix}file_index']),
            )
        except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
            raise UserError(
                f'{self.info_file}: its {kind}_path, or the place of episode '
                f'{row.get("episode_index")} in meta/episodes, is wrong ({error}); convert the '
                'data set anew.'
            ) from error
        return self.path / name

    def _read_info(self) -> dict[str, Any]:
        try:
            info = json.loads(self.info_file.read_text('utf-8'))
            version = str(info['codebase_version'])
            if not version.lstrip('v').startswith('3.'):
                raise UserError(
                    f'{self.path} is of LeRobot version {version}; convert it to v3.0 with '
                    "LeRobot's own script."
                )
            good = info['fps'] > 0 and isinstance(info['data_path'], str)
            good = good and all(isinstance(f, dict) for f in info['features'].values())
        except OSError as error:
            raise UserError(f'{self.info_file} cannot be read: {error.strerror}.') from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f'{self.info_file} describes no LeRobot data set ({type(error).__name__}: '
                f'{error}); correct it.'
            ) from error
        if not good:
            raise UserError(f'{self.info_file}: fps, data_path or features is wrong; correct it.')
        return dict(info)

    def _read_episodes(self, info: dict[str, Any]) -> list[dict[str, Any]]:
        files = sorted((self.path / 'meta' / 'episodes').glob('*/*.parquet'))
        rows: list[dict[str, Any]] = []
        for file in files:
            schema = _schema(file)
            # Statistics of every feature are most of the file, and are not needed.
            names = [name for name in schema.names if not name.startswith('stats/')]
            rows += read_table(file, names).to_pylist()
        for key in ('episode_index', 'length'):
            if any(row.get(key) is None for row in rows):
                raise UserError(f'{self.path}: meta/episodes has no {key}; convert it anew.')
        rows.sort(key=lambda row: int(row['episode_index']))
        if not rows:
            raise UserError(f'{self.path} has no episode in meta/episodes; record some.')
        frames = sum(int(row['length']) for row in rows)
        for key, found in (('total_episodes', len(rows)), ('total_frames', frames)):
            if info.get(key, found) != found:
                raise UserError(
                    f'{self.info_file} says {key} {info[key]}, meta/episodes has {found}; '
                    'download or convert the data set anew.'
                )
        return rows

    def _read_names(self, what: str) -> dict[int, str]:
        """Index to text of meta/tasks.parquet or meta/subtasks.parquet."""
        file = self.path / 'meta' / f'{what}s.parquet'
        if not file.is_file():
            return {}
        table = read_table(file)
        # The text is pandas' index, whose column some versions call task and some do not name.
        text_types = (pa.string(), pa.large_string())
        texts = [name for name in table.column_names if table[name].type in text_types]
        index = f'{what}_index'
        if not texts or index not in table.column_names:
            raise UserError(f'{file} does not hold {what}s and their {index}; correct it.')
        return dict(zip(table[index].to_pylist(), table[texts[0]].to_pylist(), strict=True))


def _camera(key: str) -> str:
    for prefix in ('observation.images.', 'observation.'):
        if key.startswith(prefix):
            return key.removeprefix(prefix)
    return key


def _is_depth(feature: dict[str, Any]) -> bool:
    details = [feature.get('info') or {}, feature.get('video_info') or {}]
    return any(d.get('is_depth_map') or d.get('video.is_depth_map') for d in details)


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f'{file} cannot be read ({error}); download it again.') from error


def read_table(
    file: Path, columns: list[str] | None = None, filters: list[tuple[str, str, int]] | None = None
) -> pa.Table:
    """Those of the columns that a file has, and those of its rows that pass the filters.

    Raises:
        UserError: It is missing or damaged.
    """
    if not file.is_file():
        raise UserError(f'{file} is missing; download or convert the data set anew.')
    names = None if columns is None else [n for n in columns if n in _schema(file).names]
    try:
        return pq.read_table(file, columns=names, filters=filters, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f'{file} is damaged ({error}); download it again.') from error


def values_of(table: pa.Table, name: str) -> NDArray[Any]:
    """A column of numbers as (T,)."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False))


def matrix(table: pa.Table, name: str) -> NDArray[np.float32]:
    """A column of numbers or of lists of numbers as (T, D)."""
    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    rows = len(column)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    while pa.types.is_nested(column.type):
        column = column.flatten()
    values = np.asarray(column.to_numpy(zero_copy_only=False), np.float32)
    return values.reshape(rows, -1)
