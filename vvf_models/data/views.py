# SPDX-License-Identifier: Apache-2.0
"""Puts the frames of one or several cameras and what people said about them into an episode."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.episode import Episode
from vvf_models.data.labels import Labels
from vvf_models.errors import UserError

#: What the only camera of a video or of a folder of frames is called.
CAMERA = 'video'

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stretch:
    """Frames that were taken of a video or of a folder of frames, or of a part of it.

    Attributes:
        images: (h, w, 3) uint8 each.
        stamps: (T,) seconds since the first frame there is; empty if nobody knows.
        slots: (T,) which of the wanted times each frame stands for; its number where every frame is
            wanted.
        numbers: (T,) counted from the first frame that was looked at: the first of all, if the
            reading began there.
        count: Frames that were looked at.
    """

    images: list[NDArray[np.uint8]]
    stamps: NDArray[np.float64]
    slots: NDArray[np.int64]
    numbers: NDArray[np.int64]
    count: int


def episode_of_views(
    source: Path, views: Mapping[str, Stretch], labels: Labels, *, episode_id: str, tolerance: int
) -> Episode:
    """One episode of the frames that every camera has.

    Args:
        source: File or folder, for messages.
        views: Per camera; the first one gives the stamps and its frames are those of the labels.
        labels: What is known.
        episode_id: Its name.
        tolerance: Frames that a camera may have more than another.

    Raises:
        UserError: The cameras differ by more, fewer than two frames are left, frames of one camera
            differ in size, or a label is of a frame that is not there.
    """
    slots = _common(source, {camera: view.slots for camera, view in views.items()}, tolerance)
    first = next(iter(views.values()))
    chosen = np.isin(first.slots, slots)
    index, events = labels.at(first.numbers[chosen], first.count)
    images = {}
    for camera, view in views.items():
        frames = [view.images[row] for row in np.flatnonzero(np.isin(view.slots, slots))]
        sizes = {frame.shape[:2] for frame in frames}
        if len(sizes) > 1:
            raise UserError(
                f'{source}: the frames of "{camera}" have different sizes '
                f'({" and ".join(f"{w}x{h}" for h, w in sorted(sizes))}); scale or remove them.'
            )
        images[camera] = np.stack(frames)
    return Episode(
        images=images,
        success=labels.success,
        success_index=index,
        instruction=labels.instruction,
        episode_id=episode_id,
        stamps=first.stamps[chosen] if len(first.stamps) else first.stamps,
        failure_kind=labels.failure_kind,
        events=events,
    )


def _common(source: Path, slots: dict[str, NDArray[np.int64]], tolerance: int) -> NDArray[np.int64]:
    common = next(iter(slots.values()))
    for found in slots.values():
        common = np.intersect1d(common, found)
    longest = max(len(found) for found in slots.values())
    lengths = ', '.join(f'{len(found)} of {camera}' for camera, found in slots.items())
    if longest - len(common) > tolerance:
        raise UserError(
            f'{source}: the cameras differ in length ({lengths} frames) by more than {tolerance}; '
            'cut them to the same length, or leave a camera out.'
        )
    if longest > len(common):
        _log.warning('%s: cut to %d frames, as there are %s', source, len(common), lengths)
    if len(common) < 2:
        raise UserError(
            f'{source} gives {len(common)} frame{"" if len(common) == 1 else "s"}, which is too '
            'few for an episode; take more of them, or remove it.'
        )
    return common
