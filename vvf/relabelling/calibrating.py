# SPDX-License-Identifier: Apache-2.0
"""Frames of the user's own, spread over the episodes, on which int8 is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vvf.bags.frames import header_stamp
from vvf.bags.reader import open_bag
from vvf.errors import UserError, is_user_error
from vvf.relabelling.judging import Calibration
from vvf.relabelling.options import RelabelOptions
from vvf.relabelling.plan import (
    Item,
    Needs,
    View,
    frames_of_bag,
    open_collection,
    task_of_bag,
    views_of_bag,
)
from vvf.relabelling.reading import views_of_episode

_EPISODES = 8
_FRAMES = 96  # in all


def calibration_frames(
    items: Sequence[Item], needs: Sequence[Needs], options: RelabelOptions
) -> Calibration:
    """For each model, (N, S, S, 3) uint8 RGB frames of each of its cameras.

    Raises:
        UserError: No episode can be read.
    """
    chosen = {round(i) for i in np.linspace(0, len(items) - 1, min(_EPISODES, len(items)))}
    each = -(-_FRAMES // len(chosen))
    found: list[dict[str, list[Any]]] = [{camera: [] for camera in need.cameras} for need in needs]
    reason = ''
    for number in sorted(chosen):
        item = items[number]
        try:
            read = _of_bag if item.kind == 'bags' else _of_collection
            views, frames = read(item, needs, options, each)
        except Exception as error:
            if not is_user_error(error):
                raise
            reason = str(error)
            continue
        for some, cameras in zip(found, views, strict=True):
            for camera, view in cameras.items():
                some[camera] += frames[view]
    if not any(frames for some in found for frames in some.values()):
        raise UserError(reason or 'no frame can be read to measure int8 on: choose other episodes')
    return [{camera: np.stack(frames) for camera, frames in some.items()} for some in found]


def _of_bag(
    item: Item, needs: Sequence[Needs], options: RelabelOptions, count: int
) -> tuple[list[dict[str, View]], dict[View, list[Any]]]:
    with open_bag(item.path) as reader:
        task = task_of_bag(item.path, reader, options)
        views = views_of_bag(task, needs, options.cameras)
        source = frames_of_bag(reader, task, needs, views)
        stamps = [
            header_stamp(cdr, kind) or recorded
            for _, kind, recorded, cdr in reader.messages([source.reference_topic])
        ]
        source.wanted = {stamps[i] for i in _spread(len(stamps), count)}
        frames = list(source)
    return views, {v: [f.images[v] for f in frames] for some in views for v in some.values()}


def _of_collection(
    item: Item, needs: Sequence[Needs], options: RelabelOptions, count: int
) -> tuple[list[dict[str, View]], dict[View, list[Any]]]:
    episodes = open_collection(item.path, item.kind, needs, options)
    episode = episodes[item.numbers[len(item.numbers) // 2]]
    views = [views_of_episode(item.name, need, episode, options) for need in needs]
    rows = _spread(len(episode), count)
    return views, {
        view: [episode.images[view[0]][row] for row in rows]
        for some in views
        for view in some.values()
    }


def _spread(length: int, count: int) -> list[int]:
    """`count` of `length`, evenly."""
    return sorted({round(i) for i in np.linspace(0, length - 1, min(count, length))})
