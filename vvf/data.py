# SPDX-License-Identifier: Apache-2.0
"""Opens whatever holds episodes: bags, and all that `vvf_models` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vvf.actions import DELTA_DIM
from vvf.bags.episodes import BagEpisodes
from vvf.bags.reader import is_bag
from vvf.task import TaskSpec, load_task
from vvf_models.data.episode import Episode
from vvf_models.data.open import open_episodes, recognise
from vvf_models.data.options import ReadOptions

_JOINT_SCALE = 3.0  # rad; a large but usual angle


def open_data(
    path: Path | str, task: TaskSpec | str | None = None, options: ReadOptions | None = None
) -> Sequence[Episode]:
    """The episodes at a path, read lazily.

    Args:
        path: A bag, a folder of bags, or anything that
            `vvf_models.data.open.open_episodes` knows: .npz, TFRecord, LeRobot v3, videos, frames.
        task: Task, or name or file of one, for bags; by default the one in each bag. Other data
            need none.
        options: How images are read; image_size saves memory where the model's size is known.

    Raises:
        UserError: (of `vvf` or of `vvf_models`) nothing lies there, or nothing that is known.
    """
    path = Path(path)
    if _holds_bags(path):
        return BagEpisodes(path, load_task(task) if isinstance(task, str) else task, options)
    return open_episodes(path, options)


def action_entries(episode: Episode, kind: str) -> dict[str, Any]:
    """What an episode's actions say of the configuration of a policy of a kind; {} without any."""
    if episode.actions is None:
        return {}
    dim = int(episode.actions.shape[1])
    entries: dict[str, Any] = {'action_dim': dim}
    if np.isfinite(episode.rate_hz):
        entries['dt'] = round(1.0 / episode.rate_hz, 4)
    if episode.displacements is False:
        entries['displacements'] = False
    if kind == 'cql':  # of one arm, whose scale it takes from the data
        return entries
    arms = episode.arms or max(1, dim // DELTA_DIM if dim % DELTA_DIM == 0 else 1)
    entries['arms'] = arms
    if episode.displacements is False:
        entries['action_scale'] = [_JOINT_SCALE] * (dim // arms - 1)
    return entries


def kind_of_data(path: Path | str) -> str:
    """What lies at a path: 'bags', or one of `vvf_models.data.open.KINDS`.

    Raises:
        UserError: As for `open_data`.
    """
    path = Path(path)
    return 'bags' if _holds_bags(path) else recognise(path)


def _holds_bags(path: Path) -> bool:
    if path.is_dir() and not is_bag(path):
        return any(is_bag(inside) for inside in path.iterdir() if not inside.name.startswith('.'))
    # A bag of ROS 1 is none, and the reader says how to make one of it.
    return (path.is_file() and path.suffix == '.bag') or (path.exists() and is_bag(path))
