# SPDX-License-Identifier: Apache-2.0
"""A LeRobot data set of version 3, read from its files; LeRobot itself is not needed.

The layout is that of lerobot 0.4 to 0.6 (`src/lerobot/datasets`): `meta/info.json` with features
and path patterns, `meta/episodes/**.parquet` with a row an episode (where its rows and its stretch
of each video lie), `meta/tasks.parquet`, `data/**.parquet` with a row a frame, and `videos/**.mp4`
with several episodes in one file. Of the columns, these are read:

    observation.images.<camera>          videos, or encoded images in the table; depth is left out
    observation.state, action
    next.reward or reward
    next.success                         whether the task is done after the action of that row
    complementary_info.is_intervention   as Evo-RL records it
    task_index, or tasks of the episode  the instruction
    episode_success                      of the episode, or of its rows: success or failure (Evo-RL)
    sub-tasks                            in any of three forms, see lerobot_subtasks.py

An export of vvf adds to meta/episodes what LeRobot has no place for: `success_index`, the first
frame in which the task is done, `failure_kind`, and `events` as JSON.

Where fewer frames a second are wanted than there are, a frame that is taken stands for the rows up
to the next one: its reward is their sum, a human acted in it if in any of them, and its action is
the last of them. That is right for targets, such as joint positions; for increments it is not.
"""

import json
from dataclasses import replace
from itertools import count as counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vvf_models.data.chain import LazyEpisodes, files_fingerprint
from vvf_models.data.episode import Episode, Event
from vvf_models.data.labels import Labels
from vvf_models.data.lerobot_meta import LerobotMeta, matrix, read_table, values_of
from vvf_models.data.lerobot_subtasks import LANGUAGE, SUBTASK, subtask_events
from vvf_models.data.options import ReadOptions, make_small
from vvf_models.data.video_file import read_video
from vvf_models.errors import UserError

_STATE, _ACTION = 'observation.state', 'action'
_REWARDS = ('next.reward', 'reward')
_SUCCESS, _DONE = 'episode_success', 'next.success'
_INTERVENTION = 'complementary_info.is_intervention'
_OUTCOMES = {'success': True, 'failure': False}
_NOTHING = np.zeros((0, 0, 3), np.uint8)  # in place of a frame that is not wanted


class LerobotEpisodes(LazyEpisodes):
    """The episodes of a data set's folder.

    Heeds the options cameras, image_size, fps and crop.
    """

    def __init__(self, path: Path | str, options: ReadOptions | None = None) -> None:
        """Reads the metadata.

        Raises:
            UserError: They are missing, damaged, of another version, or contradict each other.
        """
        self.path = Path(path)
        self._options = options or ReadOptions()
        self._meta = LerobotMeta(self.path)
        self.fps, features, kinds = self._meta.fps, self._meta.features, self._meta.cameras
        self._cameras = {}
        for camera in self._options.cameras or kinds:
            if camera not in kinds:
                known = ', '.join(kinds) or 'none'
                raise UserError(f'{self.path} has no camera "{camera}"; its cameras are {known}.')
            self._cameras[camera] = kinds[camera]
        if not self._cameras:
            raise UserError(f'{self.path} has no camera, and a value needs one; name another one.')
        self._columns = [
            key
            for key in (_STATE, _ACTION, *_REWARDS, _DONE, _INTERVENTION, _SUCCESS)
            if key in features
        ]
        self._annotated = [key for key in (SUBTASK, LANGUAGE) if key in features]
        self._episodes = self._meta.episodes

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self._episodes)

    def fingerprint(self) -> str:
        """Changes when a file is written anew, or is read in another way.

        It does not change with the cameras, so that a cache with all of them serves a run that
        wants fewer: which rows make an episode does not depend on them.
        """
        meta = self.path / 'meta'
        files = dict.fromkeys([self._meta.info_file, *sorted(meta.rglob('*.parquet'))])
        for row in self._episodes:
            files[self._meta.data_file(row)] = None
            for key, dtype in self._meta.cameras.values():
                if dtype == 'video':
                    files[self._meta.video_file(row, key)] = None
        options = replace(self._options, cameras=())
        return f'{options} {files_fingerprint(f for f in files if f.is_file())}'

    def source(self, number: int) -> str:
        """The data set's folder and the episode's number in it."""
        return f'{self.path}, episode {self._episodes[number]["episode_index"]}'

    def read(self, number: int) -> Episode:
        """Reads an episode's rows and decodes its stretch of each video.

        Raises:
            UserError: A file is missing or damaged, does not hold as many frames as the metadata
                say, or sub-tasks or the outcome make no sense.
        """
        row = self._episodes[number]
        index = int(row['episode_index'])
        table = self._rows(row)
        stamps = values_of(table, 'timestamp').astype(np.float64).reshape(-1)
        stamps -= stamps[0]
        taken = self._taken(index, stamps)
        images = {}
        for camera, (key, dtype) in self._cameras.items():
            if dtype == 'video':
                frames = self._frames(row, key, taken)
            else:
                crop = bool(self._options.crop)
                frames = [
                    make_small(
                        _decode(image, self._meta.data_file(row), key), self._image_size, crop
                    )
                    for image in table[key].take(taken).to_pylist()
                ]
            if len({frame.shape for frame in frames}) > 1:
                raise UserError(f'{self.path}: episode {index} has {key} in different sizes.')
            images[camera] = np.stack(frames)
        success, done = self._outcome(row, table)
        where = f'{self.path}: episode {index}'
        failed = success is False
        events = self._events(row) or subtask_events(
            row, table, self._meta.subtasks, failed=failed, where=where
        )
        labels = Labels(self._meta.info_file, success=success, success_frame=done, events=events)
        success_index, events = labels.at(taken, len(stamps))
        until = np.append(taken[1:], len(stamps)) - 1  # the last row that a frame stands for
        reward = next((key for key in _REWARDS if key in self._columns), None)
        human = _INTERVENTION in self._columns
        return Episode(
            images=images,
            state=matrix(table, _STATE)[taken] if _STATE in self._columns else None,
            actions=matrix(table, _ACTION)[until] if _ACTION in self._columns else None,
            success=success,
            success_index=success_index,
            instruction=self._instruction(row, table),
            episode_id=f'{self.path.resolve().name}_{index:06d}',
            stamps=stamps[taken],
            rewards=np.add.reduceat(matrix(table, reward)[:, 0], taken) if reward else None,
            interventions=np.maximum.reduceat(matrix(table, _INTERVENTION)[:, 0], taken) > 0.5
            if human
            else None,
            failure_kind=row.get('failure_kind') or '',
            events=events,
        )

    @property
    def _image_size(self) -> int:
        return self._options.image_size

    def _taken(self, index: int, stamps: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which rows are taken: the nearest one to each multiple of 1 / fps, as of videos."""
        fps = self._options.fps
        if not 0 < fps < self.fps:
            return np.arange(len(stamps))
        slots = np.floor((stamps + 0.5 / self.fps) * fps + 1e-6)
        taken = np.unique(slots, return_index=True)[1]
        if len(taken) < 2:
            raise UserError(
                f'{self.path}: episode {index} gives one frame at {fps:g} a second; take more of '
                'them, or remove it.'
            )
        return taken

    def _rows(self, row: dict[str, Any]) -> pa.Table:
        """The episode's rows, in order."""
        file, index, count = (
            self._meta.data_file(row),
            int(row['episode_index']),
            int(row['length']),
        )
        columns = ['timestamp', 'frame_index', *self._columns]
        columns += [key for key, dtype in self._cameras.values() if dtype == 'image']
        optional = ['task_index', *self._annotated]
        table = read_table(file, columns + optional, [('episode_index', '=', index)])
        missing = [name for name in columns if name not in table.column_names]
        if missing:
            raise UserError(f'{file} lacks the column {missing[0]} that info.json names.')
        if count < 2 or table.num_rows != count:
            raise UserError(
                f'{file} holds {table.num_rows} rows of episode {index}, which has {count} frames '
                'by meta/episodes; an episode needs at least 2, and both must agree.'
            )
        table = table.sort_by('frame_index')
        if (np.diff(values_of(table, 'timestamp')) <= 0).any():
            raise UserError(f'{file}: the stamps of episode {index} do not increase; mend it.')
        return table

    def _frames(
        self, row: dict[str, Any], key: str, taken: NDArray[np.int64]
    ) -> list[NDArray[np.uint8]]:
        file, count = self._meta.video_file(row, key), int(row['length'])
        try:
            start, end = (float(row[f'videos/{key}/{name}_timestamp']) for name in ('from', 'to'))
        except (KeyError, TypeError) as error:
            raise UserError(
                f'{self.path}: meta/episodes says of episode {row["episode_index"]} not where '
                f'{key} lies; convert the data set anew.'
            ) from error
        crop, wanted, numbers = bool(self._options.crop), set(taken.tolist()), counter()

        def prepare(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
            # All are counted, or a frame too few would go unseen.
            if next(numbers) not in wanted:
                return _NOTHING
            return make_small(image, self._image_size, crop)

        found = read_video(file, prepare, start=start, end=end)
        if len(found.images) != count:
            raise UserError(
                f'{file} holds {len(found.images)} frames between {start:.3f} and {end:.3f} s, but '
                f'episode {row["episode_index"]} has {count}; record or convert it anew.'
            )
        return [found.images[number] for number in taken]

    def _outcome(self, row: dict[str, Any], table: pa.Table) -> tuple[bool | None, int]:
        """Success, and the first frame in which the task is done."""
        label = row.get(_SUCCESS)
        if label is None and _SUCCESS in self._columns:
            label = table[_SUCCESS][0].as_py()
        success = label if isinstance(label, bool) else None
        if isinstance(label, str) and label.strip():
            if label.strip().lower() not in _OUTCOMES:
                raise UserError(
                    f'{self.path}: episode {row["episode_index"]} has the outcome "{label}"; it '
                    'must be success or failure.'
                )
            success = _OUTCOMES[label.strip().lower()]
        last, index = table.num_rows - 1, table.num_rows - 1
        if _DONE in self._columns:
            done = np.flatnonzero(matrix(table, _DONE)[:, 0])
            success = len(done) > 0 if success is None else success
            if len(done):  # the action of that row leads there
                index = min(last, int(done[0]) + 1)
        known = row.get('success_index')
        if known is not None and 0 <= known <= last:
            index = int(known)
        return success, index if success else -1

    def _events(self, row: dict[str, Any]) -> tuple[Event, ...]:
        try:
            return tuple(Event(**entry) for entry in json.loads(row.get('events') or '[]'))
        except (TypeError, ValueError) as error:
            raise UserError(
                f'{self.path}: the events of episode {row["episode_index"]} in meta/episodes are '
                'damaged; export it anew.'
            ) from error

    def _instruction(self, row: dict[str, Any], table: pa.Table) -> str:
        if 'task_index' in table.column_names:
            text = self._meta.tasks.get(table['task_index'][0].as_py())
            if text:
                return text
        tasks = row.get('tasks')
        return str(tasks[0]) if tasks else ''


def _decode(entry: Any, file: Path, key: str) -> NDArray[np.uint8]:
    data = entry.get('bytes') if isinstance(entry, dict) else entry
    array = np.frombuffer(data or b'', np.uint8)
    image = cv2.imdecode(array, cv2.IMREAD_COLOR_RGB) if array.size else None
    if image is None:
        raise UserError(f'{file}: an image of {key} cannot be decoded; record it anew.')
    return np.asarray(image, np.uint8)
