# SPDX-License-Identifier: Apache-2.0
"""Toy episodes and untrained checkpoints on disk, for tests of `vvf eval value`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.vvf_models.toy import SIZE, small_distributional, small_icvf, toy_episode
from vvf_models.checkpoints import save_checkpoint
from vvf_models.values.distributional import DistributionalValue
from vvf_models.values.icvf import Icvf

TASKS = ('dot to disc', 'dot to edge')


def write_episodes(folder: Path, count: int = 12, **extra: Any) -> Path:
    """Write episodes with events, two instructions and both outcomes."""
    folder.mkdir(parents=True)
    for seed in range(count):
        episode = toy_episode(seed)
        length = len(episode)
        names, kinds = ['begun'], ['milestone']
        if not episode.success:
            names, kinds = [*names, 'stopped'], [*kinds, 'error']
        arrays: dict[str, Any] = {
            'images_front': episode.images['front'],
            'state': episode.state,
            'action': episode.actions,
            'stamps': episode.stamps,
            'instruction': TASKS[seed % 2],
            'event_names': np.array(names),
            'event_indices': np.array([2, length // 2][: len(names)]),
            'event_kinds': np.array(kinds),
            'success': episode.success,
            'success_index': episode.success_index,
            'failure_kind': episode.failure_kind,
            **extra,
        }
        kept = {name: value for name, value in arrays.items() if value is not None}
        np.savez_compressed(folder / f'toy_{seed:02}.npz', **kept)
    return folder


def write_icvf(folder: Path, *, goals: bool = True, **changes: Any) -> Path:
    """Write an untrained ICVF with goals for both instructions."""
    torch.manual_seed(0)
    config = small_icvf(d_max=10.0, **changes)
    stored = {}
    if goals:
        stored['front'] = torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8)
        if config.state_dim:
            stored['state'] = torch.zeros(4, config.state_dim)
    save_checkpoint(
        folder, 'icvf', config, Icvf(config).state_dict(), 'untrained', stored, (*TASKS, *TASKS)
    )
    return folder


def write_distributional(folder: Path, **changes: Any) -> Path:
    """Write an untrained distributional value with a record of its training."""
    torch.manual_seed(0)
    config = small_distributional(**changes)
    weights = DistributionalValue(config).state_dict()
    save_checkpoint(folder, 'distributional', config, weights, 'untrained')
    record = {
        'steps': 70,
        'seconds': 90.0,
        'held_out_auc_end': 0.8,
        'seen_auc_end': 0.9,
        'held_out_only': 1.0,
    }
    (folder / 'metrics.json').write_text(json.dumps(record))
    return folder
