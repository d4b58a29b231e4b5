# SPDX-License-Identifier: Apache-2.0
"""What there is to know of recorded episodes at a glance: one row for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vvf.bags.audit import AUDIT
from vvf.bags.frames import EVENT_TOPIC, EVENT_TYPE, IMAGE_TYPES, VALUE_TOPIC, VALUE_TYPE
from vvf.bags.reader import BagReader, DecodeError, is_bag, open_bag
from vvf.bags.writer import COMPLETE
from vvf.errors import UserError

TABLE = 'values.parquet'
UNREADABLE = 'unreadable'
_DEPTH = 3
_STREAM_HZ = 1.0  # topics that come at least so often are streams
_VALUE = 'complementary_info.value_'


@dataclass(frozen=True)
class ValueSummary:
    """Values of an episode, in the model's unit, and its progress in [0, 1]; NaN where unknown."""

    mean: float = float('nan')
    last: float = float('nan')
    progress_mean: float = float('nan')
    progress_last: float = float('nan')


@dataclass(frozen=True)
class EpisodeRow:
    """One episode.

    Attributes:
        name: Its id.
        path: Where it lies.
        outcome: As labelled; 'unreadable' for a bag that cannot be opened.
        seconds: From the first message to the last.
        frames: Images of the first camera.
        instruction: What the robot was asked to do.
        value: From the table, else from the bag; None where there is none.
        interventions: How often a human took over.
        messages_lost: Messages that never came into the bag, by the recorder's audit; None where
            there is none.
        longest_gap_s: The longest pause of a topic that is a stream, by the audit, and
        longest_gap_topic: which topic it was.
        complaints: What the recorder found wrong, and what the bag has lost.
        relabelled: Whether it is the sibling that `vvf relabel` wrote.
    """

    name: str
    path: Path
    outcome: str
    seconds: float = 0.0
    frames: int = 0
    instruction: str = ''
    value: ValueSummary | None = None
    interventions: int = 0
    messages_lost: int | None = None
    longest_gap_s: float = float('nan')
    longest_gap_topic: str = ''
    complaints: tuple[str, ...] = field(default=())
    relabelled: bool = False

    def numbers(self) -> dict[str, Any]:
        """Return the row under stable keys."""
        value = self.value or ValueSummary()
        return {
            'episode_id': self.name,
            'path': str(self.path),
            'outcome': self.outcome,
            'seconds': round(self.seconds, 3),
            'frames': self.frames,
            'instruction': self.instruction,
            'value_mean': value.mean,
            'value_last': value.last,
            'progress_mean': value.progress_mean,
            'progress_last': value.progress_last,
            'interventions': self.interventions,
            'messages_lost': self.messages_lost,
            'longest_gap_s': self.longest_gap_s,
            'longest_gap_topic': self.longest_gap_topic,
            'complaints': list(self.complaints),
        }


def find_episodes(folder: Path) -> list[Path]:
    """The bags in a folder, at most three levels deep.

    Raises:
        UserError: There is none.
    """
    if not folder.exists():
        raise UserError(f'{folder} does not exist: give a folder of recorded episodes')
    found = list(_bags(folder, _DEPTH))
    if not found:
        raise UserError(f'{folder} holds no bags: give a folder of recorded episodes')
    return found


def find_tables(folder: Path) -> list[Path]:
    """The tables of `vvf relabel` in a folder, as deep as the bags."""
    levels = ['*/' * depth + TABLE for depth in range(_DEPTH)]
    return sorted(p for level in levels for p in (folder.glob(level) if folder.is_dir() else ()))


def read_row(path: Path, values: Mapping[str, ValueSummary]) -> EpisodeRow:
    """Look at one bag; images are not decoded.

    Args:
        path: The bag.
        values: Known values by the episode's id; those of others are looked up in the bag.
    """
    try:
        with open_bag(path) as reader:
            return _row(reader, values)
    except UserError as error:
        return EpisodeRow(path.name, path, UNREADABLE, complaints=(str(error),))


def read_values(tables: Sequence[Path]) -> dict[str, ValueSummary]:
    """The values of each episode in the tables, of the first model in each.

    Raises:
        UserError: A table cannot be read, or holds no values.
    """
    found: dict[str, ValueSummary] = {}
    for path in tables:
        try:
            names = pq.read_schema(path).names
            column = next((name for name in names if name.startswith(_VALUE)), None)
            if column is None or not {'episode_id', 'progress'} <= set(names):
                raise UserError(f'{path} holds no values: name the {TABLE} of vvf relabel')
            table = pq.read_table(path, columns=['episode_id', column, 'progress'])
        except (OSError, pa.ArrowException) as error:
            raise UserError(f'{path} cannot be read ({error}): relabel anew') from error
        for name in pc.unique(table['episode_id']).to_pylist():
            rows = table.filter(pc.equal(table['episode_id'], name))
            found[name] = _summary(rows[column].to_numpy(), rows['progress'].to_numpy())
    return found


def merged(rows: Sequence[EpisodeRow]) -> list[EpisodeRow]:
    """One row for an episode and its relabelled sibling: the original's, with the new values."""
    siblings = {row.name: row for row in rows if row.relabelled}
    originals = [row for row in rows if not row.relabelled]
    known = {row.name for row in originals}
    alone = [row for row in siblings.values() if row.name not in known]
    return [
        replace(row, value=siblings[row.name].value or row.value) if row.name in siblings else row
        for row in originals
    ] + alone


def _bags(folder: Path, depth: int) -> Iterator[Path]:
    if is_bag(folder):
        yield folder
    elif folder.is_dir() and depth > 0:
        for path in sorted(folder.iterdir()):
            if not path.name.startswith('.') and (path.is_dir() or is_bag(path)):
                yield from _bags(path, depth - 1)


def _row(reader: BagReader, values: Mapping[str, ValueSummary]) -> EpisodeRow:
    custom = reader.custom_data
    begin, end = reader.span_ns()
    known = values.get(reader.episode_id)
    value_topic = custom.get('relabel_topic', VALUE_TOPIC)
    wanted = {EVENT_TOPIC} if known else {EVENT_TOPIC, value_topic}
    # What the metadata call empty need not be looked for among the images.
    wanted = {t for t in wanted & reader.topics.keys() if reader.recorded.get(t, 1)}
    takeovers, points = 0, []
    for _, kind, _, raw in reader.messages(wanted) if wanted else ():
        try:
            message = reader.deserialize(raw, kind)
        except DecodeError:
            continue
        if kind == VALUE_TYPE:
            points.append((float(message.value), float(message.progress)))
        elif kind == EVENT_TYPE:
            takeovers += message.event == message.INTERVENTION_START
    if points:
        known = _summary(*np.array(points).T)
    return EpisodeRow(
        name=reader.episode_id,
        path=reader.path,
        outcome=custom.get('outcome', 'unlabelled'),
        seconds=(end - begin) * 1e-9,
        frames=_frames(reader),
        instruction=custom.get('instruction', ''),
        value=known,
        interventions=takeovers,
        complaints=tuple(_complaints(reader)),
        **_audited(custom),
        relabelled='relabel_topic' in custom,
    )


def _summary(values: Any, progress: Any) -> ValueSummary:
    mean = [
        float(np.nanmean(x)) if np.isfinite(x).any() else float('nan') for x in (values, progress)
    ]
    return ValueSummary(mean[0], float(values[-1]), mean[1], float(progress[-1]))


def _frames(reader: BagReader) -> int:
    """Images of the task's first camera, or of the first camera that there is."""
    try:
        task = reader.task
    except UserError:
        task = None
    cameras = [camera.topic for camera in task.cameras] if task is not None else []
    cameras += [spec.topic for spec in reader.topics.values() if spec.type in IMAGE_TYPES]
    topic = next((topic for topic in cameras if topic in reader.topics), None)
    if topic is None:
        return 0
    if reader.recorded and not reader.loss:
        return reader.recorded.get(topic, 0)
    return reader.counts()[topic]


def _audited(custom: Mapping[str, str]) -> dict[str, Any]:
    """What the audit counted; empty where there is none, or it cannot be read."""
    try:
        topics = json.loads(custom.get(AUDIT) or '{}').get('topics') or {}
        lost = sum(int(topic['dropped']) + int(topic['lost']) for topic in topics.values())
        # Events are rare by nature: only a stream can have a gap.
        gaps = [
            (float(topic['longest_gap_s']), name)
            for name, topic in topics.items()
            if topic['rate_hz'] >= _STREAM_HZ
        ]
    except (ValueError, KeyError, AttributeError, TypeError):
        return {}
    if not topics:
        return {}
    gap, name = max(gaps, default=(float('nan'), ''))
    return {'messages_lost': lost, 'longest_gap_s': gap, 'longest_gap_topic': name}


def _complaints(reader: BagReader) -> Iterator[str]:
    if reader.loss:
        yield str(reader.loss)
    elif reader.custom_data.get(COMPLETE) == 'false':
        yield 'its recorder was stopped before it closed the bag'
    try:
        audit = json.loads(reader.custom_data.get(AUDIT) or '{}')
        yield from (str(line) for line in audit.get('complaints', ()))
    except (ValueError, AttributeError, TypeError):
        yield 'its audit cannot be read'
