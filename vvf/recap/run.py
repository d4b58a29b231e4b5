# SPDX-License-Identifier: Apache-2.0
"""What a run of the loop is, and where its stages are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vvf.recap.config import LoopConfig
from vvf.recap.stages import RollingOut, Training, Wave
from vvf_sim.worlds.world_config import WorldConfig

IMITATION = 'imitation'
SHARED = 'shared'


@dataclass(frozen=True)
class Run:
    """What is to be run.

    Attributes:
        task: name of the task file.
        world: name in `vvf_sim.registry`.
        out: folder of everything.
        config: how large.
        methods: of `config.METHODS`.
        iterations: K.
        seeds: of trainings.
        train_world: what varies in demonstrations and rollouts.
        eval_world: what varies where policies are judged.
        max_steps: of an episode.
        execute: steps of each chunk.
        rate_hz: steps a second.
        demonstrations: a folder of them; None: they are collected.
        prior: a folder of prior data; the same.
        command: for cards and results.
    """

    task: str
    world: str
    out: Path
    config: LoopConfig
    methods: tuple[str, ...]
    iterations: int
    seeds: tuple[int, ...]
    train_world: WorldConfig
    eval_world: WorldConfig
    max_steps: int
    execute: int
    rate_hz: float
    demonstrations: Path | None = None
    prior: Path | None = None
    command: str = ''


@dataclass
class Plan:
    """A run's waves, and where its evaluations are.

    Attributes:
        run: what it is of.
        waves: in order.
        imitation: by (seed, method), the stage that judged pi_0.
        evaluations: by (seed, method, iteration), the stage that judged pi_k.
        trainings: the same keys, the stage that trained it; iteration 0 is pi_0.
        rollouts: the same keys, the rollouts that were collected for it.
    """

    run: Run
    waves: list[Wave] = field(default_factory=list)
    imitation: dict[tuple[int, str], RollingOut] = field(default_factory=dict)
    evaluations: dict[tuple[int, str, int], RollingOut] = field(default_factory=dict)
    trainings: dict[tuple[int, str, int], Training] = field(default_factory=dict)
    rollouts: dict[tuple[int, str, int], RollingOut] = field(default_factory=dict)
