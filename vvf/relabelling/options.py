# SPDX-License-Identifier: Apache-2.0
"""What is to be relabelled with what, and how; all of it can be sent to another process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vvf.task import TaskSpec
from vvf_models.data.options import ReadOptions
from vvf_models.values import advantage

#: Frames of one part of a long video; how much of it is held in memory at once.
PART_FRAMES = 300


@dataclass(frozen=True)
class ModelSpec:
    """A value model, and what its columns are called.

    Attributes:
        checkpoint: Its folder.
        tag: Ending of the column names, letters, digits and underscores; the folder's name where it
            is empty.
    """

    checkpoint: Path
    tag: str = ''

    @property
    def name(self) -> str:
        """The tag that is used."""
        return slug(self.tag or self.checkpoint.resolve().name)


@dataclass(frozen=True)
class GoalSpec:
    """What values are measured against: a picture, an instruction, or each episode's own.

    Attributes:
        name: Ending of the column names after the model's; empty for the episode's own.
        instruction: The checkpoint's goals of this instruction, or the text itself for a model that
            reads text.
        image: An image file, or a folder with one named after each camera and, for a model of
            proprioception, a `state.json` with its numbers.
    """

    name: str = ''
    instruction: str = ''
    image: Path | None = None

    @property
    def own(self) -> bool:
        """Whether it is the episode's own, so that the episode's outcome speaks of it."""
        return self.image is None and not self.instruction


OWN = GoalSpec()


@dataclass(frozen=True)
class RelabelOptions:
    """How to relabel.

    Attributes:
        out: Folder to write to.
        task: Of bags; the one in each bag where it is None.
        n_steps: Horizon of the advantage, in steps of the model.
        positive_ratio: Share of the frames of a task that count as improvement.
        batch: Frames that a model sees at once.
        rate_hz: Steps per second of the data the models were trained on; None: the task's for
            bags, else the data's own rate.
        cameras: The data's camera by the model's, where the names differ.
        reading: How videos and frames are read; cameras and image size are the models'.
        skip_bad: Leave out what cannot be read.
        overwrite: Replace labels that another checkpoint or other options made.
        engine_device: One of `vvf_models.runtime.ENGINES`.
        threads: CPU threads of each worker's models; 0: the cores, shared by the workers, or 1 on
            eager torch.
        engine: 'local' or 'ray'.
        workers: Processes that score; with 1 and 'local' it is this one.
    """

    out: Path
    task: TaskSpec | None = None
    n_steps: int = advantage.N_STEPS
    positive_ratio: float = advantage.POSITIVE_RATIO
    batch: int = 64
    rate_hz: float | None = None
    cameras: Mapping[str, str] = field(default_factory=dict)
    reading: ReadOptions = field(default_factory=lambda: ReadOptions(clip_frames=(2, PART_FRAMES)))
    skip_bad: bool = False
    overwrite: bool = False
    engine_device: str = 'auto'
    threads: int = 0
    engine: str = 'local'
    workers: int = 1


def slug(text: str) -> str:
    """Letters, digits and single underscores, not beginning with a digit: fit for a ROS topic."""
    name = re.sub(r'[\W_]+', '_', text, flags=re.ASCII).strip('_')[:60].rstrip('_')
    return f'm{name}' if name[:1].isdigit() else name
