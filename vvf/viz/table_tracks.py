# SPDX-License-Identifier: Apache-2.0
"""What a table of `vvf relabel` says of the episodes of a data set, as tracks to be shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vvf.errors import UserError
from vvf.export.labels import LabelTable
from vvf.viz.data_episodes import frame_times
from vvf.viz.tracks import Track
from vvf_models.data.episode import Episode

_VALUE = 'complementary_info.value_'
_SLACK_NS = 1_000_000  # by which stamps of one frame may differ


def tracks_of(table: LabelTable, episode: Episode, where: str) -> list[Track]:
    """The curves of each model in the table.

    They are joined by time, so the table may be of more frames a second than the episode has, and
    of a whole video of which the episode is a clip. Advantages are left out: those of a table look
    ahead, those that are shown look back.

    Args:
        table: The labels.
        episode: The episode.
        where: Its source, whose name counts if the table does not know the episode's.

    Raises:
        UserError: The table lacks the episode, or its frames.
    """
    rows = table.rows(episode.episode_id)
    if rows is None:
        rows = table.rows(Path(where).stem)
    if rows is None:
        raise UserError(
            f"{table.path} has no episode '{episode.episode_id}': relabel these data, or leave "
            '--values away'
        )
    stamps = rows['stamp_ns'].to_numpy()
    times, unit = frame_times(episode)
    if unit == 's':
        first, last = (round(float(episode.stamps[i]) * 1e9) for i in (0, -1))
        kept = (stamps >= first - _SLACK_NS) & (stamps <= last + _SLACK_NS)
        times = (stamps[kept] - first) * 1e-9
    else:
        kept = np.ones(len(stamps), bool)
    if not len(times) or len(times) != kept.sum():
        raise UserError(
            f"{table.path} holds other frames of '{episode.episode_id}' than there are: relabel "
            'these data'
        )
    tracks = []
    models = [name.removeprefix(_VALUE) for name in table.columns if name.startswith(_VALUE)]
    for number, model in enumerate(models):
        ending = f'_{model}' if number else ''
        progress, uncertainty, value = (
            np.asarray(rows[name].to_numpy()[kept], np.float64)
            for name in (f'progress{ending}', f'uncertainty{ending}', f'{_VALUE}{model}')
        )
        tracks.append(Track(model, times, progress, value, np.zeros(0), uncertainty))
    return tracks
