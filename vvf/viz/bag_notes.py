# SPDX-License-Identifier: Apache-2.0
"""All that a page or a video tells about a bag besides its images, in one pass over it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vvf.bags.audit import AUDIT, audit_recording
from vvf.bags.control import Control
from vvf.bags.frames import EVENT_TOPIC, VALUE_TOPIC, VALUE_TYPE, header_stamp
from vvf.bags.reader import BagReader, DecodeError
from vvf.bags.topics import TopicAudit
from vvf.bags.writer import COMPLETE
from vvf.viz.parts import Mark, Span
from vvf.viz.tracks import Track

IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
LIVE, RELABELLED = 'live', 'relabelled'

_JOIN_NS = 500_000_000  # a human's chunks this close together are one intervention

#: By topic and model: stamp in ns, then progress, value, advantage and uncertainty.
_Values = dict[tuple[str, str], list[tuple[int, tuple[float, ...]]]]


@dataclass
class BagNotes:
    """What a bag holds. Times are seconds since `start_ns`.

    Attributes:
        camera: Topic of the reference camera; '' without one.
        stamps: Of its frames, ns.
        start_ns: The first stamp of a frame or value.
        seconds: From there to the last one.
        live: Values as they were published in the episode.
        relabelled: Values that were added afterwards, one track per model.
        marks: Milestones and errors.
        human: From when to when a human was in control.
        steps: Actions sent.
        complaints: What is wrong with the recording.
    """

    camera: str
    stamps: list[int] = field(default_factory=list)
    start_ns: int = 0
    seconds: float = 0.0
    live: list[Track] = field(default_factory=list)
    relabelled: list[Track] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    human: list[Span] = field(default_factory=list)
    steps: int = 0
    complaints: list[str] = field(default_factory=list)


def camera_topics(reader: BagReader) -> dict[str, str]:
    """Topic of each camera by its name: the task's, in its order, else every topic of images."""
    task = reader.task
    if task is not None:
        named = {c.name: c.topic for c in task.cameras if c.topic in reader.topics}
        if named:
            return named
    return {t.topic.strip('/'): t.topic for t in reader.topics.values() if t.type in IMAGES}


def take_notes(reader: BagReader) -> BagNotes:
    """Read everything but the images' pixels."""
    notes = BagNotes(next(iter(camera_topics(reader).values()), ''))
    task = reader.task
    action = task.action.topic if task and task.action else '/vvf/action'
    watched = {c.topic for c in task.cameras} | {s.topic for s in task.state} if task else set()
    audits: dict[str, TopicAudit] = defaultdict(TopicAudit)
    values: _Values = defaultdict(list)
    marks: list[tuple[int, str, str]] = []
    control = Control()
    for topic, kind, recorded, cdr in reader.messages():
        if topic in watched:
            audits[topic].add(recorded)
        stamp = header_stamp(cdr, kind) or recorded
        if topic == notes.camera:
            notes.stamps.append(stamp)
        elif topic == action:
            notes.steps += 1
        if topic not in (EVENT_TOPIC, action) and kind != VALUE_TYPE:
            continue
        try:
            message = reader.deserialize(cdr, kind)
        except DecodeError:
            continue
        if kind == VALUE_TYPE:
            row = (message.progress, message.value, message.advantage, message.uncertainty)
            values[topic, message.model].append((stamp, row))
        elif topic == action:
            control.add_action(stamp, message)
        elif message.event == message.MILESTONE:
            marks.append((stamp, message.detail or 'milestone', 'milestone'))
        elif message.event == message.ERROR:
            marks.append((stamp, message.detail or 'error', 'error'))
        else:
            control.add_event(stamp, message)
    stamps = [*notes.stamps, *(row[0] for rows in values.values() for row in rows)]
    notes.start_ns = start = min(stamps, default=0)
    end = max(stamps, default=0)
    notes.seconds = (end - start) * 1e-9
    _sort_tracks(reader, notes, values)
    notes.marks = [Mark((stamp - start) * 1e-9, label, kind) for stamp, label, kind in marks]
    notes.human = [
        ((begin - start) * 1e-9, (min(last, end) - start) * 1e-9)
        for begin, last in _joined(control.spans(end))
    ]
    notes.complaints = _complaints(reader, audits)
    return notes


def _sort_tracks(reader: BagReader, notes: BagNotes, values: _Values) -> None:
    """Live values apart from those that relabelling added, which are named by their models."""
    added = _added(reader)
    several = len(added) > 1
    for (topic, model), rows in sorted(values.items(), key=lambda item: item[0]):
        live = topic == VALUE_TOPIC and topic not in added
        tag = added.get(topic, model)
        name = LIVE if live else f'{RELABELLED}, {tag}' if several else RELABELLED
        rows = sorted(rows)
        times = np.array([stamp - notes.start_ns for stamp, _ in rows]) * 1e-9
        progress, value, advantage, uncertainty = np.array([row for _, row in rows], np.float64).T
        track = Track(name, times, progress, value, advantage, uncertainty)
        (notes.live if live else notes.relabelled).append(track)


def _added(reader: BagReader) -> dict[str, str]:
    """The model of each topic that relabelling wrote."""
    custom = reader.custom_data
    try:
        tags = json.loads(custom.get('relabel_topics', '{}'))
        found = {str(topic): str(tag) for tag, topic in tags.items()}
    except (ValueError, AttributeError):
        found = {}
    if 'relabel_topic' in custom:
        found.setdefault(custom['relabel_topic'], custom.get('relabel_model', ''))
    return found


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1] + _JOIN_NS:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _complaints(reader: BagReader, audits: dict[str, TopicAudit]) -> list[str]:
    """What the recorder found wrong; of other recorders' bags, what can be seen from here."""
    custom, task = reader.custom_data, reader.task
    found = []
    if reader.loss:
        found.append(f'the bag is damaged; {reader.loss}')
    elif custom.get('relabel_source_loss'):
        found.append(f'the original was damaged; {custom["relabel_source_loss"]}')
    if custom.get(COMPLETE) == 'false':
        found.append('the recording was not closed')
    if custom.get('note'):
        found.append(custom['note'])
    try:
        return [*found, *map(str, json.loads(custom[AUDIT])['complaints'])]
    except (KeyError, TypeError, ValueError):
        pass
    if custom.get('dropped', '0') != '0':
        found.append(f'{custom["dropped"]} messages did not fit into the write queue')
    return [*found, *(audit_recording(task, audits).complaints if task else ())]
