# SPDX-License-Identifier: Apache-2.0
"""What `vvf bench worlds` runs in its processes: episodes for their outcome, episodes for speed."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

IMAGE_SIZE = 128


@dataclass(frozen=True)
class SeedJob:
    """One episode whose outcome counts."""

    task: str
    arm: str
    noise: float
    seed: int


@dataclass(frozen=True)
class SeedResult:
    """What became of it; `steps` until the success, -1 without."""

    task: str
    arm: str
    noise: float
    seed: int
    success: bool
    steps: int
    failure_kind: str

    @property
    def job(self) -> SeedJob:
        """What it is the result of."""
        return SeedJob(self.task, self.arm, self.noise, self.seed)


def play_seed(job: SeedJob) -> SeedResult:
    """Run an episode without cameras; of a module, for a pool of processes."""
    from vvf_sim.experts.config import ExpertConfig
    from vvf_sim.play import play_episode
    from vvf_sim.registry import task_entry

    config = task_entry(job.task).make_config(arm=job.arm)
    expert = ExpertConfig.from_noise(job.noise)
    played = play_episode(job.task, job.seed, config, expert)
    return SeedResult(**asdict(job), success=played.success, steps=played.success_step,
                      failure_kind=played.failure_kind)  # fmt: skip


def measure_speed(task: str, arm: str, seeds: Sequence[int]) -> dict[str, float]:
    """Speeds of this process, and its peak memory; call it in a fresh one.

    Returns:
        steps_per_s without cameras, frames_per_s with all, core_share (of a core that this process
        had, 1 where nothing else ran), peak_mib.
    """
    from vvf_sim.play import play_episode
    from vvf_sim.registry import task_entry
    from vvf_sim.worlds.world import World

    config = task_entry(task).make_config(arm=arm, image_size=IMAGE_SIZE)
    ticks = frames = 0

    def look(world: World[Any]) -> None:
        nonlocal ticks, frames
        if ticks % 10 == 0:
            world.images()
            frames += 1
        ticks += 1

    play_episode(task, seeds[0], config)  # libraries are loaded and tables filled before
    started, worked = time.perf_counter(), time.process_time()
    began = started
    steps = sum(play_episode(task, seed, config).steps for seed in seeds)
    steps_per_s = steps / (time.perf_counter() - started)
    started = time.perf_counter()
    for seed in seeds:
        ticks = 0
        play_episode(task, seed, config, on_tick=look)
    ended = time.perf_counter()
    share = (time.process_time() - worked) / (ended - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        'steps_per_s': steps_per_s,
        'frames_per_s': frames / (ended - started),
        'core_share': share,
        'peak_mib': peak,
    }
