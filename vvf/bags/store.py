# SPDX-License-Identifier: Apache-2.0
"""The folder that episodes are recorded to: names, provenance, room on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from vvf.bags.audit import RecordingAudit
from vvf.bags.disk import shortage
from vvf.bags.recorder import Recorder
from vvf.bags.ring import Message, save_messages
from vvf.bags.rosbag2 import Rosbag2Recorder, find_ros2
from vvf.bags.typestore import typestore
from vvf.errors import UserError
from vvf.provenance import provenance
from vvf.recording import IMAGES, RECORDERS
from vvf.task import TaskSpec


@dataclass
class EpisodeStore:
    """Opens the bags of a graph.

    Attributes:
        directory: folder of the bags.
        task: what is recorded.
        recorder: one of `RECORDERS`.
        min_free_gib: nothing is recorded where less is free.
        value_checkpoint: written into the bags, as is the policy's.
    """

    directory: Path
    task: TaskSpec
    recorder: str = 'vvf'
    min_free_gib: float = 0.0
    value_checkpoint: str = ''
    policy_checkpoint: str = ''
    _made: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.recorder not in RECORDERS:
            raise UserError(f'recorder {self.recorder!r}: choose {" or ".join(RECORDERS)}.')
        if self.recorder == 'rosbag2':
            find_ros2()
        typestore()  # now, and not while the first episode begins

    def new_name(self, kind: Literal['', 'ring-'] = '') -> str:
        """A name that sorts by date and time."""
        self._made += 1
        stamp = datetime.now(UTC).strftime('%Y%m%d-%H%M%S')
        return f'{self.task.name}-{stamp}-{kind}{self._made:03d}'

    def shortage(self) -> str:
        """One sentence where the disk is too full to record; '' where it is not."""
        return shortage(self.directory, self.min_free_gib)

    def open(
        self, name: str, instruction: str, *, reliable: bool = False
    ) -> Recorder | Rosbag2Recorder:
        """Begin a bag.

        Args:
            name: of the episode and of its folder.
            instruction: what the robot was asked to do.
            reliable: subscribe reliably, where the recorder is the one that subscribes.

        Raises:
            UserError: the bag exists or cannot be written, or the disk is nearly full.
        """
        if problem := self.shortage():
            raise UserError(problem)
        path, origin = self.directory / name, self._origin(name, instruction)
        if self.recorder == 'vvf':
            return Recorder(path, self.task, origin)
        return Rosbag2Recorder(path, self.task, origin, reliable=reliable)

    def save(self, messages: list[Message], instruction: str) -> tuple[Path, RecordingAudit]:
        """Write what a ring buffer holds as a bag of its own.

        Raises:
            UserError: the bag cannot be written, or the disk is nearly full.
        """
        if problem := self.shortage():
            raise UserError(problem)
        name = self.new_name('ring-')
        path = self.directory / name
        origin = {**self._origin(name, instruction), 'note': 'saved from the ring buffer'}
        return path, save_messages(path, self.task, origin, messages)

    def _origin(self, name: str, instruction: str) -> dict[str, str]:
        return provenance(
            self.task,
            episode_id=name,
            instruction=instruction,
            robot=self.task.robot,
            value_checkpoint=self.value_checkpoint,
            policy_checkpoint=self.policy_checkpoint,
        )


def recorded_task(task: TaskSpec, images: str) -> TaskSpec:
    """The task with its cameras as they are recorded.

    With `compressed`, the JPEG images of a camera take the place of its raw ones; a camera's driver
    publishes both, as image_transport does.

    Raises:
        UserError: `images` is not one of `IMAGES`.
    """
    if images not in IMAGES:
        raise UserError(f'images {images!r}: choose {" or ".join(IMAGES)}.')
    if images == 'raw':
        return task
    cameras = tuple(
        replace(c, topic=f'{c.topic}/compressed', transport='compressed')
        if c.transport == 'raw'
        else c
        for c in task.cameras
    )
    return replace(task, cameras=cameras)
