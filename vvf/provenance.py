# SPDX-License-Identifier: Apache-2.0
"""What a bag says about where it comes from: task, models and versions."""

from __future__ import annotations

import platform
from pathlib import Path

from vvf import __version__
from vvf.task import TaskSpec


def provenance(
    task: TaskSpec,
    *,
    episode_id: str,
    instruction: str,
    robot: str,
    value_checkpoint: str = '',
    policy_checkpoint: str = '',
) -> dict[str, str]:
    """The `custom_data` of an episode's bag; the outcome is added when it is known."""
    return {
        'task': task.name,
        'task_file': task.to_yaml(),
        'instruction': instruction,
        'episode_id': episode_id,
        'robot': robot,
        'value_checkpoint': checkpoint_id(value_checkpoint),
        'policy_checkpoint': checkpoint_id(policy_checkpoint),
        'versions': f'vvf {__version__}, python {platform.python_version()}',
    }


def checkpoint_id(path: str) -> str:
    """Name and hash of a checkpoint, so that a bag names exactly one; '' for none.

    Its configuration counts, too: with another guidance the same weights act otherwise.
    """
    if not path:
        return ''
    import hashlib

    folder = Path(path)
    if not (folder / 'model.safetensors').is_file():
        return folder.name
    digest = hashlib.sha256()
    for name in ('model.safetensors', 'config.yaml', 'config.json'):  # the last is LeRobot's
        if (folder / name).is_file():
            with (folder / name).open('rb') as stream:
                digest.update(hashlib.file_digest(stream, 'sha256').digest())
    return f'{folder.name}@{digest.hexdigest()[:12]}'
