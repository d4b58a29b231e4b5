# SPDX-License-Identifier: Apache-2.0
"""The pieces of the loop: each is a folder, and done where that holds its marker.

A stage says all that it needs, and is small enough to be sent to another process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vvf.cli.output import write_json
from vvf.rollouts import RolloutJob
from vvf_sim.collect import CollectJob

MARKER = 'done.json'
INDICATORS = 'indicators.npz'


@dataclass(frozen=True)
class Source:
    """Episodes of a folder.

    Attributes:
        path: of the folder.
        count: the first so many; 0 for all.
        role: 'demonstrations' are positive throughout, of 'prior' data and of 'rollouts' the
            advantage decides.
    """

    path: Path
    count: int = 0
    role: str = 'rollouts'


@dataclass(frozen=True)
class Stage:
    """What is made in a folder.

    Attributes:
        folder: where.
        title: for people.
        minutes: expected, on one core.
    """

    folder: Path
    title: str
    minutes: float

    @property
    def is_done(self) -> bool:
        """Whether it was finished before."""
        return (self.folder / MARKER).is_file()

    def finish(self, numbers: Mapping[str, Any]) -> None:
        """Leave the marker, with what is worth knowing."""
        draft = self.folder / f'{MARKER}.part'
        write_json(draft, numbers)
        draft.replace(self.folder / MARKER)

    def numbers(self) -> dict[str, Any]:
        """What the marker says."""
        numbers: dict[str, Any] = json.loads((self.folder / MARKER).read_text('utf-8'))
        return numbers


@dataclass(frozen=True)
class Training(Stage):
    """Trains a model; the folder becomes its checkpoint.

    Attributes:
        kind: as of `vvf train`.
        preset: name of its configuration.
        settings: entries that differ.
        data: what it is trained on.
        steps: of the optimiser.
        seed: of everything random.
        init: checkpoint to start from.
        indicators: folder of an `Indicating` stage; None: demonstrations are positive, and of
            the rest nobody says anything.
        all_positive: the rest is positive, too, which tells nothing.
        cache: folder for decoded frames, shared by all stages.
        command: for the card.
    """

    kind: str = ''
    preset: str = ''
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[Source, ...] = ()
    steps: int = 1
    seed: int = 0
    init: Path | None = None
    indicators: Path | None = None
    all_positive: bool = False
    cache: Path | None = None
    command: str = ''


@dataclass(frozen=True)
class Indicating(Stage):
    """Says which frames improve, and what that is worth.

    Attributes:
        value: checkpoint.
        data: the same as of the policy that will learn from it.
        positive_ratio: share of the judged frames that are to be positive.
        n_steps: how far ahead an advantage looks; 0: to the end of the episode.
        open_failures: whether a time limit cut failures off.
        cache: folder for decoded frames.
    """

    value: Path = Path()
    data: tuple[Source, ...] = ()
    positive_ratio: float = 0.3
    n_steps: int = 10
    open_failures: bool = True
    cache: Path | None = None


@dataclass(frozen=True)
class Demonstrating(Stage):
    """Collects episodes of the scripted expert."""

    jobs: tuple[CollectJob, ...] = ()


@dataclass(frozen=True)
class RollingOut(Stage):
    """Lets a policy act, to learn from what it does or to judge it."""

    jobs: tuple[RolloutJob, ...] = ()


@dataclass(frozen=True)
class Wave:
    """Stages that need nothing of each other.

    Attributes:
        title: for people.
        stages: of one kind.
    """

    title: str
    stages: tuple[Stage, ...]

    def minutes(self, workers: int) -> float:
        """Expected, of what is left; a training keeps one worker, episodes are shared out."""
        left = sorted((s for s in self.stages if not s.is_done), key=lambda s: -s.minutes)
        if not left or isinstance(left[0], Demonstrating | RollingOut):
            return sum(s.minutes for s in left) / workers
        loads = [0.0] * workers
        for stage in left:
            loads[loads.index(min(loads))] += stage.minutes
        return max(loads)
