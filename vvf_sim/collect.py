# SPDX-License-Identifier: Apache-2.0
"""Episodes of the scripted experts, as arrays and as files."""

from dataclasses import dataclass, field
from pathlib import Path

from vvf_sim.episode_data import EpisodeData, load_npz, save_npz
from vvf_sim.episode_log import EpisodeLog, human_stand_in
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.registry import CONTROL_HZ, task_entry
from vvf_sim.worlds.env import TaskEnv
from vvf_sim.worlds.world_config import WorldConfig

__all__ = [
    'CollectJob',
    'CollectResult',
    'EpisodeData',
    'collect_episode',
    'collect_job',
    'collect_to_file',
    'load_npz',
    'result_of',
    'save_npz',
]


def collect_episode(
    task: str,
    seed: int,
    config: WorldConfig | None = None,
    expert: ExpertConfig | None = None,
    max_steps: int = 0,
    control_hz: float = CONTROL_HZ,
    latency_s: tuple[float, float] = (0.0, 0.06),
    patience: int = 0,
) -> EpisodeData:
    """Run the expert on the scene of a seed; equal arguments give equal arrays.

    Successes run on for 2 to 8 steps and failures for 2 to 11 after the script is done, so that
    neither the length nor the last posture tells them apart.

    Args:
        task: a name of `vvf_sim.registry`.
        seed: of scene, noise, mistakes and latency.
        config: what varies with the seed.
        expert: how well the expert does.
        max_steps: upper bound on actions; 0 for the task's own.
        control_hz: actions per second.
        latency_s: see `TaskEnv`.
        patience: steps that an error may last before a person takes over; 0 for nobody there.
    """
    env = TaskEnv(task, config, control_hz, latency_s, stop_on_success=False)
    try:
        limit = max_steps or round(task_entry(task).max_steps * control_hz / CONTROL_HZ)
        return _run(env, task, seed, expert or ExpertConfig(), limit, patience)
    finally:
        env.close()


def _run(
    env: TaskEnv, task: str, seed: int, config: ExpertConfig, max_steps: int, patience: int
) -> EpisodeData:
    observation, _ = env.reset(seed=seed)
    entry = task_entry(task)
    expert = entry.make_expert(env.world, env.targets, config, seed)
    mistake = expert.mistake
    log = EpisodeLog(env, task, seed, observation)
    after_failure = int(log.rng.integers(2, 12))
    human = human_stand_in(env, task, seed, patience) if patience else None
    steps_left = ending = max_steps
    while min(steps_left, ending) > 0:
        helped = human is not None and human.in_control()
        if human is not None and human.expert is not None:
            # Who gives back leaves a script that knows where things stand.
            expert, ending = human.expert, steps_left
            clean = noisy = expert.act()[0]
        else:
            clean, noisy = expert.act()
        succeeded = log.success_index >= 0
        if not log.step(clean, noisy, helped):
            break
        steps_left, ending = steps_left - 1, ending - 1
        if log.success_index >= 0 and not succeeded:
            ending = min(ending, log.run_on)
        elif expert.finished and log.success_index < 0 and not (human and human.waiting):
            ending, after_failure = min(ending, after_failure), steps_left
    return log.episode(mistake)


@dataclass(frozen=True)
class CollectJob:
    """One episode to collect and where to save it; small enough to send to another process."""

    task: str
    seed: int
    path: Path
    config: WorldConfig | None = None
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    max_steps: int = 0
    patience: int = 0
    control_hz: float = CONTROL_HZ


@dataclass(frozen=True)
class CollectResult:
    """What became of a job: its file, the outcome, observations, and those with a person acting."""

    path: Path
    success: bool
    failure_kind: str
    frames: int
    interventions: int


def collect_job(job: CollectJob) -> EpisodeData:
    """Collect the episode of a job, without saving it."""
    return collect_episode(
        job.task,
        job.seed,
        job.config,
        job.expert,
        job.max_steps,
        control_hz=job.control_hz,
        patience=job.patience,
    )


def result_of(job: CollectJob, episode: EpisodeData) -> CollectResult:
    """What became of a job that is done."""
    return CollectResult(
        job.path,
        episode.success,
        episode.failure_kind,
        len(episode.stamps),
        int(episode.interventions.sum()),
    )


def collect_to_file(job: CollectJob) -> CollectResult:
    """Collect one episode and save it; a module-level function, for a pool of processes."""
    episode = collect_job(job)
    save_npz(episode, job.path)
    return result_of(job, episode)
