# SPDX-License-Identifier: Apache-2.0
"""The sibling of a relabelled bag: every original message, and the values."""

from __future__ import annotations

import heapq
import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from vvf.bags.frames import VALUE_TOPIC, VALUE_TYPE, in_background
from vvf.bags.reader import open_bag
from vvf.bags.topics import TopicSpec
from vvf.bags.typestore import typestore
from vvf.bags.writer import BagWriter
from vvf.relabelling.scores import Column, EpisodeScores

RELABELLED_TOPIC = '/vvf/value/relabelled'

_JPEG = 'sensor_msgs/msg/CompressedImage'
_AHEAD = 512  # messages read in advance of the writing


def write_sibling(
    path: Path,
    scores: EpisodeScores,
    fingerprint: str,
    limits: Sequence[float],
    n_steps: int,
    out: Path,
) -> None:
    """Write the bag with all original messages and the values, unless it is there already.

    Args:
        path: The original bag.
        scores: Its scores.
        fingerprint: Of the scores.
        limits: For each column, the advantage from which on a frame counts as improvement.
        n_steps: Horizon of the advantage.
        out: Folder to write to.
    """
    name = scores.about.name
    target = out / name
    mark = f'{fingerprint} {list(limits)!r} {n_steps}'
    if target.is_dir():
        with open_bag(target) as old:
            if old.custom_data.get('relabel_fingerprint') == mark:
                return
    draft = out / f'.{name}.partial'
    if draft.exists():
        shutil.rmtree(draft)
    with open_bag(path) as reader:
        # Announced is not taken: a recorder announces every topic of the task.
        taken = [topic for topic, count in reader.counts().items() if count]
        topics = _topics(scores.columns, taken)
        tags = [column.about.tag for column in scores.columns]
        custom = {
            **reader.custom_data,
            'episode_id': scores.about.episode_id,
            'outcome': scores.about.outcome,
            'relabel_fingerprint': mark,
            'relabel_model': tags[0],
            'relabel_topic': topics[0],
            'relabel_topics': json.dumps(dict(zip(tags, topics, strict=True))),
            'relabel_threshold': repr(limits[0]),
            'relabel_source_loss': scores.about.loss,
        }
        writer = BagWriter(
            draft,
            [*reader.topics.values(), *(TopicSpec(topic, VALUE_TYPE) for topic in topics)],
            custom,
            file_name=f'{name}.mcap',
            chunk_seconds=float('inf'),
            compression='lz4' if any(reader.topics[t].type == _JPEG for t in taken) else 'zstd',
        )
        parts = zip(topics, scores.columns, limits, strict=True)
        values = heapq.merge(
            *(_messages(topic, scores, column, limit, n_steps) for topic, column, limit in parts),
            key=lambda message: message[1],
        )
        with writer:
            due = next(values, None)
            for name, _, recorded_ns, cdr in in_background(reader.messages(), _AHEAD):
                while due is not None and due[1] < recorded_ns:
                    writer.write(*due)
                    due = next(values, None)
                writer.write(name, recorded_ns, cdr)
            while due is not None:
                writer.write(*due)
                due = next(values, None)
    if target.exists():
        shutil.rmtree(target)  # our own output of an earlier run, with another threshold
    draft.replace(target)


def _topics(columns: Sequence[Column], taken: Collection[str]) -> list[str]:
    """A topic for each column that the bag does not hold; the first column gets the usual one."""
    topics: list[str] = []
    for column in columns:
        first = [VALUE_TOPIC, RELABELLED_TOPIC] if not topics else []
        wanted = [*first, f'{RELABELLED_TOPIC}/{column.about.tag}']
        known = {*taken, *topics}
        free = [topic for topic in wanted if topic not in known]
        number = 2
        while not free:
            free = [t for t in [f'{wanted[-1]}_{number}'] if t not in known]
            number += 1
        topics.append(free[0])
    return topics


def _messages(
    topic: str, scores: EpisodeScores, column: Column, limit: float, n_steps: int
) -> Iterator[tuple[str, int, bytes]]:
    """Yield (topic, recording time, CDR) of each frame's ValueEstimate, in order of recording."""
    store = typestore()
    make = store.types
    gain = scores.lookback(column, n_steps)
    for i in np.argsort(scores.recorded_ns, kind='stable'):
        seconds, nanoseconds = divmod(int(scores.stamps_ns[i]), 1_000_000_000)
        stamp = make['builtin_interfaces/msg/Time'](seconds, nanoseconds)
        message = make[VALUE_TYPE](
            header=make['std_msgs/msg/Header'](stamp, ''),
            model=column.about.tag,
            task=scores.about.task,
            episode_id=scores.about.episode_id,
            value=float(column.value[i]),
            progress=float(column.progress[i]),
            uncertainty=float(column.uncertainty[i]),
            advantage=float(gain[i]),
            indicator=bool(gain[i] >= limit),
            latency_ms=float('nan'),
        )
        cdr = bytes(store.serialize_cdr(message, VALUE_TYPE))
        yield topic, int(scores.recorded_ns[i]), cdr
