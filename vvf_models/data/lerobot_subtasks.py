# SPDX-License-Identifier: Apache-2.0
"""Sub-tasks that people or models annotated in a LeRobot data set, as milestones.

Three forms are about (huggingface/lerobot: docs/source/dataset_subtask.mdx,
data_processing/sarm_annotations and datasets/language.py); the first that says something counts:

    subtask_index of each row, with the names in meta/subtasks.parquet
    language_persistent of each row: entries of style "subtask", active until the next one begins
    dense_, sparse_ or plain subtask_names, _start_frames and _end_frames of each episode (SARM)

A sub-task that ends is a milestone, as with Robo-Dopamine's keyframes: at the first frame in which
it is over. The one that lasts to the end is done in the last frame, unless the episode failed.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vvf_models.data.episode import Event
from vvf_models.errors import UserError

SUBTASK = 'subtask_index'
LANGUAGE = 'language_persistent'

_OF_EPISODES = ('dense_subtask', 'sparse_subtask', 'subtask')


def subtask_events(
    row: Mapping[str, Any],
    table: pa.Table,
    names: Mapping[int, str],
    *,
    failed: bool,
    where: str,
) -> tuple[Event, ...]:
    """The milestones of an episode, with frames counted in its rows.

    Args:
        row: The episode's row of meta/episodes.
        table: Its rows in order, with `timestamp` and whichever of the columns there are.
        names: What meta/subtasks.parquet calls each index; those that it lacks go by their number.
        failed: Whether the episode failed.
        where: What a message calls the episode.

    Raises:
        UserError: SARM's lists of the episode differ in length.
    """
    columns = table.column_names
    labels: list[str] = []
    if SUBTASK in columns:
        labels = [_name(index, names) for index in table[SUBTASK].to_pylist()]
    if not any(labels) and LANGUAGE in columns:
        stamps = np.asarray(table['timestamp'].to_numpy(zero_copy_only=False), np.float64)
        labels = _spoken(table[LANGUAGE][0].as_py() or [], stamps)
    if not any(labels):
        labels = _of_episode(row, table.num_rows, where)
    return tuple(_ends(labels, failed=failed))


def _name(index: int | None, names: Mapping[int, str]) -> str:
    if index is None or index < 0:
        return ''
    return names.get(index) or f'subtask {index}'


def _spoken(entries: Sequence[Mapping[str, Any]], stamps: NDArray[np.float64]) -> list[str]:
    """The sub-task of each row, from entries that every row of the episode repeats."""
    labels = [''] * len(stamps)
    entries = [e for e in entries if e.get('style') == 'subtask' and e.get('content')]
    for entry in sorted(entries, key=lambda entry: float(entry['timestamp'])):
        # Stamps are rounded to 32 bits, on either side.
        begin = int(np.searchsorted(stamps, float(entry['timestamp']) - 1e-4))
        labels[begin:] = [str(entry['content'])] * (len(labels) - begin)
    return labels


def _of_episode(row: Mapping[str, Any], count: int, where: str) -> list[str]:
    for form in _OF_EPISODES:
        names = row.get(f'{form}_names')
        if names is None or not len(names):
            continue
        starts, ends = (row.get(f'{form}_{edge}_frames') or () for edge in ('start', 'end'))
        if not len(names) == len(starts) == len(ends):
            raise UserError(
                f'{where}: {form}_names, {form}_start_frames and {form}_end_frames differ in '
                'length; annotate it anew.'
            )
        labels = [''] * count
        for name, start, end in zip(names, starts, ends, strict=True):
            # Its seconds are whole ones, so that the last end may lie beyond the last frame.
            begin, stop = (min(max(int(edge), 0), count) for edge in (start, end))
            labels[begin:stop] = [str(name)] * (stop - begin)
        return labels
    return []


def _ends(labels: Sequence[str], *, failed: bool) -> list[Event]:
    """A milestone where each run of the same label is over."""
    events = [
        Event(before, frame, 'milestone')
        for frame, (before, label) in enumerate(pairwise(labels), 1)
        if before and before != label
    ]
    if labels and labels[-1] and not failed:
        events.append(Event(labels[-1], len(labels) - 1, 'milestone'))
    return events
