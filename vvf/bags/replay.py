# SPDX-License-Identifier: Apache-2.0
"""Which task a recorded bag belongs to."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from vvf.bags.reader import BagReader
from vvf.errors import UserError
from vvf.task import load_task, task_folders


def replay_task(bag: BagReader, given: str = '') -> str:
    """The task to replay a bag with: a name or a path for `load_task`.

    The given one comes first, then the task file that is embedded in the bag, then a known task
    all of whose cameras are in the bag.

    Raises:
        UserError: none of them is there.
    """
    if given:
        load_task(given)
        return given
    if bag.task is not None:
        folder = tempfile.mkdtemp(prefix='vvf-task-')
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        file = Path(folder) / f'{bag.task.name}.yaml'
        file.write_text(bag.task.to_yaml(), 'utf-8')
        return str(file)
    for path in sorted(p for folder in task_folders() for p in folder.glob('*.yaml')):
        if {c.topic for c in load_task(path).cameras} <= set(bag.topics):
            return str(path)
    raise UserError(
        'the bag names no task and no known task has its topics; write a task file with the '
        'camera topics of the bag and give it with --task-file.'
    )
