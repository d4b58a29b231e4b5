# SPDX-License-Identifier: Apache-2.0
"""Writes a small LeRobot v3 data set, laid out and typed as lerobot 0.4.4 does it."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.vvf_models.toy_videos import numbered, write_video

FPS = 10
LENGTHS = (12, 9, 15)
CAMERAS = ('front', 'wrist')
INDEX = '__index_level_0__'
TASK_COLUMNS = [
    {'name': 'task_index', 'field_name': 'task_index', 'pandas_type': 'int64',
     'numpy_type': 'int64', 'metadata': None},
    {'name': None, 'field_name': INDEX, 'pandas_type': 'unicode', 'numpy_type': 'object',
     'metadata': None},
]  # fmt: skip
IMAGE = pa.struct({'bytes': pa.binary(), 'path': pa.string()})


def frame_number(episode: int, frame: int, camera: str) -> int:
    """What the image of a frame says."""
    return 50 * episode + 2 * frame + CAMERAS.index(camera)


def write_dataset(root: Path, *, video: bool = True, codec: str = 'libx264') -> Path:
    """Three episodes of two tasks, the second one failed, with a human in frames 3 and 4."""
    kind = 'video' if video else 'image'
    vector: dict[str, Any] = {'dtype': 'float32', 'names': None}
    single = {'shape': [1], 'names': None}
    shape = {'shape': [48, 64, 3], 'names': ['height', 'width', 'channels']}
    features: dict[str, dict[str, Any]] = {
        f'observation.images.{camera}': {'dtype': kind, **shape} for camera in CAMERAS
    }
    features |= {
        'observation.state': {**vector, 'shape': [3]},
        'action': {**vector, 'shape': [2]},
        'next.reward': {'dtype': 'float32', **single},
        'complementary_info.is_intervention': {'dtype': 'float32', **single},
        'timestamp': {'dtype': 'float32', **single},
        'frame_index': {'dtype': 'int64', **single},
        'episode_index': {'dtype': 'int64', **single},
        'index': {'dtype': 'int64', **single},
        'task_index': {'dtype': 'int64', **single},
    }
    info = {
        'codebase_version': 'v3.0',
        'robot_type': 'toy',
        'total_episodes': len(LENGTHS),
        'total_frames': sum(LENGTHS),
        'total_tasks': 2,
        'chunks_size': 1000,
        'data_files_size_in_mb': 100,
        'video_files_size_in_mb': 200,
        'fps': FPS,
        'splits': {'train': f'0:{len(LENGTHS)}'},
        'data_path': 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
        'video_path': 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4',
        'features': features,
    }
    write_info(root, info)
    # The texts are pandas' index, which 0.4.4 leaves without a name.
    tasks = pa.table({'task_index': [0, 1], INDEX: pa.array(['pick it', 'place it'])})
    notes = {'index_columns': [INDEX], 'column_indexes': [], 'columns': TASK_COLUMNS}
    tasks = tasks.replace_schema_metadata({'pandas': json.dumps(notes)})
    pq.write_table(tasks, root / 'meta' / 'tasks.parquet')
    (root / 'meta' / 'stats.json').write_text('{}')
    starts = np.cumsum([0, *LENGTHS])
    _write_rows(root, starts, video)
    rows = []
    for episode, count in enumerate(LENGTHS):
        row: dict[str, Any] = {
            'episode_index': episode,
            'tasks': [('pick it', 'place it')[episode % 2]],
            'length': count,
            'data/chunk_index': 0,
            'data/file_index': 0,
            'dataset_from_index': int(starts[episode]),
            'dataset_to_index': int(starts[episode + 1]),
            'episode_success': 'failure' if episode == 1 else 'success',
            'stats/action/mean': [0.0, 0.0],
            'meta/episodes/chunk_index': 0,
            'meta/episodes/file_index': 0,
        }
        for camera in CAMERAS if video else ():
            place = f'videos/observation.images.{camera}'
            row[f'{place}/chunk_index'] = row[f'{place}/file_index'] = 0
            row[f'{place}/from_timestamp'] = starts[episode] / FPS
            row[f'{place}/to_timestamp'] = starts[episode + 1] / FPS
        rows.append(row)
    write_episodes(root, rows)
    for camera in CAMERAS if video else ():
        frames = [
            numbered(frame_number(episode, frame, camera))
            for episode, count in enumerate(LENGTHS)
            for frame in range(count)
        ]
        file = root / 'videos' / f'observation.images.{camera}' / 'chunk-000' / 'file-000.mp4'
        write_video(file, frames, FPS, codec=codec)
    return root


def write_info(root: Path, info: dict[str, Any]) -> None:
    (root / 'meta').mkdir(parents=True, exist_ok=True)
    (root / 'meta' / 'info.json').write_text(json.dumps(info, indent=4))


def write_episodes(root: Path, rows: list[dict[str, Any]]) -> None:
    file = root / 'meta' / 'episodes' / 'chunk-000' / 'file-000.parquet'
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)


def read_episodes(root: Path) -> list[dict[str, Any]]:
    return pq.read_table(root / 'meta' / 'episodes' / 'chunk-000' / 'file-000.parquet').to_pylist()


def _write_rows(root: Path, starts: np.ndarray, video: bool) -> None:
    file = root / 'data' / 'chunk-000' / 'file-000.parquet'
    file.parent.mkdir(parents=True)
    fields = [] if video else [(f'observation.images.{camera}', IMAGE) for camera in CAMERAS]
    fields += [
        ('observation.state', pa.list_(pa.float32(), 3)),
        ('action', pa.list_(pa.float32(), 2)),
        ('next.reward', pa.float32()),
        ('complementary_info.is_intervention', pa.float32()),
        ('timestamp', pa.float32()),
        *((name, pa.int64()) for name in ('frame_index', 'episode_index', 'index', 'task_index')),
    ]
    schema = pa.schema(fields)
    with pq.ParquetWriter(file, schema) as writer:
        for episode, count in enumerate(LENGTHS):
            rows = []
            for frame in range(count):
                row = {
                    'observation.state': [episode, frame, 0.5],
                    'action': [frame, episode],
                    'next.reward': float(frame == count - 1),
                    'complementary_info.is_intervention': float(frame in (3, 4)),
                    'timestamp': frame / FPS,
                    'frame_index': frame,
                    'episode_index': episode,
                    'index': int(starts[episode]) + frame,
                    'task_index': episode % 2,
                }
                for camera in () if video else CAMERAS:
                    pixels = numbered(frame_number(episode, frame, camera))
                    png = cv2.imencode('.png', pixels)[1].tobytes()
                    row[f'observation.images.{camera}'] = {'bytes': png, 'path': f'{frame}.png'}
                rows.append(row)
            writer.write_table(pa.Table.from_pylist(rows, schema))  # one row group an episode
