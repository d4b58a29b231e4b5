# SPDX-License-Identifier: Apache-2.0
"""The sibling of a relabelled bag: every original message, and the values."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vvf import advantage
from vvf.bags.frames import VALUE_TOPIC
from vvf.bags.reader import open_bag
from vvf.bags.scores import EpisodeScores
from vvf.bags.topics import TopicSpec
from vvf.bags.typestore import typestore
from vvf.bags.writer import BagWriter
from vvf.task import TaskSpec

RELABELLED_TOPIC = '/vvf/value/relabelled'
VALUE_TYPE = 'vvf_msgs/msg/ValueEstimate'


@dataclass(frozen=True)
class RelabelOptions:
    """How to relabel.

    ``fingerprint`` tells the model's weights apart from others.
    """

    out: Path
    fingerprint: str
    tag: str
    task: TaskSpec | None = None
    batch: int = 64
    n_steps: int = advantage.N_STEPS
    positive_ratio: float = advantage.POSITIVE_RATIO


def write_sibling(
    path: Path, scores: EpisodeScores, gamma: float, limit: float, options: RelabelOptions
) -> None:
    """Write the bag with all original messages and the values, unless it is there already.

    Args:
        path: The original bag.
        scores: Its scores.
        gamma: The model's discount per step.
        limit: The advantage from which on a frame counts as improvement.
        options: Where to and how.
    """
    target = options.out / scores.name
    mark = f'{scores.fingerprint} {limit!r} {options.n_steps}'
    if target.is_dir():
        with open_bag(target) as old:
            if old.custom_data.get('relabel_fingerprint') == mark:
                return
    draft = options.out / f'.{scores.name}.partial'
    if draft.exists():
        shutil.rmtree(draft)
    topic = RELABELLED_TOPIC if scores.live_values else VALUE_TOPIC
    with open_bag(path) as reader:
        custom = {
            **reader.custom_data,
            'episode_id': scores.episode_id,
            'outcome': scores.outcome,
            'relabel_fingerprint': mark,
            'relabel_model': options.tag,
            'relabel_topic': topic,
            'relabel_threshold': repr(limit),
            'relabel_source_loss': scores.loss,
        }
        topics = [t for t in reader.topics.values() if t.topic != topic]
        writer = BagWriter(
            draft,
            [*topics, TopicSpec(topic, VALUE_TYPE)],
            custom,
            file_name=f'{scores.name}.mcap',
            chunk_seconds=float('inf'),
        )
        with writer:
            values = _messages(scores, gamma, limit, options)
            due = next(values, None)
            for name, _, recorded_ns, cdr in reader.messages():
                while due is not None and due[0] < recorded_ns:
                    writer.write(topic, *due)
                    due = next(values, None)
                writer.write(name, recorded_ns, cdr)
            while due is not None:
                writer.write(topic, *due)
                due = next(values, None)
    if target.exists():
        shutil.rmtree(target)  # our own output of an earlier run, with another threshold
    draft.replace(target)


def _messages(
    scores: EpisodeScores, gamma: float, limit: float, options: RelabelOptions
) -> Iterator[tuple[int, bytes]]:
    """Yield (recording time, CDR) of the ValueEstimate of each frame, in order of recording."""
    store = typestore()
    make = store.types
    gain = scores.lookback(gamma, options.n_steps)
    for i in np.argsort(scores.recorded_ns, kind='stable'):
        seconds, nanoseconds = divmod(int(scores.stamps_ns[i]), 1_000_000_000)
        stamp = make['builtin_interfaces/msg/Time'](seconds, nanoseconds)
        message = make[VALUE_TYPE](
            header=make['std_msgs/msg/Header'](stamp, ''),
            model=options.tag,
            task=scores.task,
            episode_id=scores.episode_id,
            value=float(scores.value[i]),
            progress=float(scores.progress[i]),
            uncertainty=float(scores.uncertainty[i]),
            advantage=float(gain[i]),
            indicator=bool(gain[i] >= limit),
            latency_ms=float('nan'),
        )
        yield int(scores.recorded_ns[i]), bytes(store.serialize_cdr(message, VALUE_TYPE))
