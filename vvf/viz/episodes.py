# SPDX-License-Identifier: Apache-2.0
"""Reads what the report shows from a folder of recorded and relabelled episodes."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vvf.bags.frames import EVENT_TOPIC, VALUE_TOPIC, header_stamp
from vvf.bags.reader import BagReader, DecodeError, is_bag, open_bag
from vvf.errors import UserError
from vvf.images import ImageError, encode_jpeg, to_rgb
from vvf.viz.report import EpisodeReport, spearman_with_time

_IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
_EVENTS = {3: 'takeover', 4: 'give back', 5: 'milestone', 6: 'error'}
_DEPTH = 3


def read_run(folder: Path, *, threshold: float | None = None, film: int = 8) -> list[EpisodeReport]:
    """Read all episodes below a folder, each with its relabelled sibling where there is one.

    Args:
        folder: A folder of bags, at most three levels deep, or one bag.
        threshold: Progress that counts as success.
        film: Frames in the film strip.

    Raises:
        UserError: There is no bag.
    """
    if not folder.exists():
        raise UserError(f'{folder} does not exist: give a folder of recorded episodes')
    originals: dict[str, Path] = {}
    siblings: dict[str, Path] = {}
    for path in _bags(folder, _DEPTH):
        with open_bag(path) as reader:
            again = 'relabel_topic' in reader.custom_data
            (siblings if again else originals).setdefault(reader.episode_id, path)
    if not originals and not siblings:
        raise UserError(f'{folder} holds no bags: give a folder of recorded episodes')
    return [
        read_episode(
            originals.get(key, siblings.get(key, folder)),
            siblings.get(key),
            threshold=threshold,
            film=film,
        )
        for key in dict.fromkeys((*originals, *siblings))
    ]


def read_episode(
    bag: Path,
    relabelled: Path | None = None,
    *,
    threshold: float | None = None,
    film: int = 8,
) -> EpisodeReport:
    """Read one episode.

    Args:
        bag: The bag as it was recorded.
        relabelled: Its sibling with offline values; None where there is none.
        threshold: Progress that counts as success.
        film: Frames in the film strip.
    """
    with open_bag(bag) as reader:
        camera = _camera_topic(reader)
        action = reader.task.action.topic if reader.task and reader.task.action else '/vvf/action'
        stamps = [
            header_stamp(cdr, kind) or recorded
            for _, kind, recorded, cdr in reader.messages([camera])
        ] if camera else []  # fmt: skip
        live = [] if 'relabel_topic' in reader.custom_data else _values(reader, VALUE_TOPIC)
        start = min([*stamps, *(t for t, _ in live)], default=0)
        end = max([*stamps, *(t for t, _ in live)], default=0)
        report = EpisodeReport(
            name=reader.episode_id,
            outcome=reader.custom_data.get('outcome', 'unlabelled'),
            seconds=(end - start) * 1e-9,
            frames=len(stamps),
            live=_relative(live, start),
            film=_film(reader, camera, stamps, start, film),
            events=_events(reader, start),
            instruction=reader.custom_data.get('instruction', ''),
            steps=sum(1 for _ in reader.messages([action])) or None,
            threshold=threshold,
            note=f'The bag is damaged; {reader.loss}.' if reader.loss else '',
        )
    if relabelled is not None:
        with open_bag(relabelled) as reader:
            topic = reader.custom_data.get('relabel_topic', VALUE_TOPIC)
            report.relabelled = _relative(_values(reader, topic), start)
    return report


def summarise(episodes: Sequence[EpisodeReport], stored: Path | None = None) -> Mapping[str, Any]:
    """Return the summary of a run: that of ``summary.json`` where there is one, else computed."""
    if stored is not None and stored.is_file():
        try:
            data = json.loads(stored.read_text('utf-8'))
        except (OSError, ValueError):
            data = None
        if isinstance(data, dict):
            return data
    successes = [e for e in episodes if e.outcome == 'success']
    failures = [e for e in episodes if e.outcome == 'failure']
    judged = len(successes) + len(failures)
    order = [spearman_with_time(e.relabelled or e.live) for e in successes]
    return {
        'episodes': len(episodes),
        'successes': len(successes),
        'success_rate': len(successes) / judged if judged else None,
        'value_spearman_mean': _mean(order),
        'value_end_success_mean': _mean([_last(e) for e in successes]),
        'value_end_failure_mean': _mean([_last(e) for e in failures]),
        'seconds': sum(e.seconds for e in episodes),
    }


def _bags(folder: Path, depth: int) -> Iterator[Path]:
    if is_bag(folder):
        yield folder
    elif folder.is_dir() and depth > 0:
        for inside in sorted(folder.iterdir()):
            if not inside.name.startswith('.') and (inside.is_dir() or is_bag(inside)):
                yield from _bags(inside, depth - 1)


def _camera_topic(reader: BagReader) -> str:
    task = reader.task
    if task is not None and task.reference_camera.topic in reader.topics:
        return task.reference_camera.topic
    return next((t.topic for t in reader.topics.values() if t.type in _IMAGES), '')


def _values(reader: BagReader, topic: str) -> list[tuple[int, float]]:
    points = []
    for _, kind, recorded, cdr in reader.messages([topic]):
        try:
            value = reader.deserialize(cdr, kind)
        except DecodeError:
            continue
        points.append((header_stamp(cdr, kind) or recorded, float(value.progress)))
    return sorted(points)


def _relative(points: Sequence[tuple[int, float]], start: int) -> list[tuple[float, float]]:
    return [((stamp - start) * 1e-9, value) for stamp, value in points]


def _events(reader: BagReader, start: int) -> list[tuple[float, str]]:
    events = []
    for _, kind, recorded, cdr in reader.messages([EVENT_TOPIC]):
        try:
            event = reader.deserialize(cdr, kind)
        except DecodeError:
            continue
        if event.event in _EVENTS:
            stamp = header_stamp(cdr, kind) or recorded
            events.append(((stamp - start) * 1e-9, event.detail or _EVENTS[event.event]))
    return events


def _film(
    reader: BagReader, camera: str, stamps: Sequence[int], start: int, count: int
) -> list[tuple[float, bytes]]:
    if not stamps:
        return []
    wanted = {round(i) for i in np.linspace(0, len(stamps) - 1, min(count, len(stamps)))}
    film = []
    for index, (_, kind, _, cdr) in enumerate(reader.messages([camera])):
        if index in wanted:
            try:
                image = to_rgb(reader.deserialize(cdr, kind))
            except (DecodeError, ImageError):
                continue
            height, width = image.shape[:2]
            if width > 200:
                size = (200, max(1, round(height * 200 / width)))
                image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            film.append(((stamps[index] - start) * 1e-9, encode_jpeg(image, 82)))
    return film


def _last(episode: EpisodeReport) -> float:
    curve = episode.relabelled or episode.live
    return curve[-1][1] if curve else math.nan


def _mean(values: Sequence[float]) -> float | None:
    finite = [v for v in values if math.isfinite(v)]
    return statistics.fmean(finite) if finite else None
