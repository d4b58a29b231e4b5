# SPDX-License-Identifier: Apache-2.0
"""Episodes of the scripted experts as plain arrays, and their files."""

import functools
import json
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf_sim.errors import UserError
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.human import HumanStandIn
from vvf_sim.registry import task_entry
from vvf_sim.worlds.env import TaskEnv
from vvf_sim.worlds.world import World, WorldConfig

_IMAGES = 'images_'


@dataclass(frozen=True)
class EpisodeData:
    """One episode of T observations; the last action repeats the pose and gripper ("hold").

    Attributes:
        images: per camera (T, H, W, 3) uint8 RGB; `images_<camera>` in files.
        state: (T, D) float32, as of `World.state`.
        action: (T, 7 or 14) float32, what the expert wanted.
        executed_action: the same, what was done, with noise.
        stamps: (T,) float64, seconds since the reset.
        success: whether the episode ended in success.
        success_index: first observation in success, -1 if none.
        failure_kind: '' for a success, else why not.
        event_names: (E,) str, what happened.
        event_kinds: (E,) str, milestone, error or ''.
        event_indices: (E,) int64, first observation at or after it.
        event_targets: (E,) bool, whether it happened to the thing that was asked for.
        interventions: (T,) bool, where a person acted instead; see `HumanStandIn`.
        seed: of the scene and the expert.
        task: name of the task.
        arm: name of the arm.
        instruction: what was asked for, in words.
        facts: of the scene, as JSON text.
        setting: train, held_out or any.
        renderer: egl, osmesa or ray.
        mistake: what the expert was told to do wrong, or ''.
    """

    images: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    executed_action: NDArray[np.float32]
    stamps: NDArray[np.float64]
    success: bool
    success_index: int
    failure_kind: str
    event_names: NDArray[np.str_]
    event_kinds: NDArray[np.str_]
    event_indices: NDArray[np.int64]
    event_targets: NDArray[np.bool_]
    interventions: NDArray[np.bool_]
    seed: int
    task: str
    arm: str
    instruction: str
    facts: str
    setting: str
    renderer: str
    mistake: str


def collect_episode(
    task: str,
    seed: int,
    config: WorldConfig | None = None,
    expert: ExpertConfig | None = None,
    max_steps: int = 0,
    control_hz: float = 5.0,
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
        return _run(env, task, seed, expert or ExpertConfig(), max_steps, patience)
    finally:
        env.close()


def _run(
    env: TaskEnv, task: str, seed: int, config: ExpertConfig, max_steps: int, patience: int
) -> EpisodeData:
    observation, _ = env.reset(seed=seed)
    entry = task_entry(task)
    expert = entry.make_expert(env.world, env.targets, config, seed)
    mistake = expert.mistake
    rng = np.random.default_rng([seed, 11])
    after_success, after_failure = int(rng.integers(2, 9)), int(rng.integers(2, 12))
    observations, wanted, executed, stamps = [observation], [], [], [0.0]
    human = _human(env, task, seed, patience)
    interventions: list[bool] = []
    low, high = env.action_space.low, env.action_space.high
    success_index = -1
    steps_left = ending = max_steps or entry.max_steps
    while min(steps_left, ending) > 0:
        interventions.append(human is not None and human.in_control())
        if human is not None and human.expert is not None:
            # Who gives back leaves a script that knows where things stand.
            expert, ending = human.expert, steps_left
            clean = noisy = np.clip(expert.act()[0], low, high)
        else:
            clean, noisy = (np.clip(a, low, high) for a in expert.act())
        wanted.append(clean)
        executed.append(noisy)
        observation, reward, _, _, info = env.step(noisy.astype(np.float32))
        observations.append(observation)
        stamps.append(info['time'])
        steps_left, ending = steps_left - 1, ending - 1
        if 'error' in info:
            break
        if reward and success_index < 0:
            success_index = len(observations) - 1
            ending = min(ending, after_success)
        elif expert.finished and success_index < 0 and not (human and human.waiting):
            ending, after_failure = min(ending, after_failure), steps_left
    hold = wanted[-1].reshape(-1, 7).copy()
    hold[:, :6] = 0.0
    world = env.world
    success = not world.blown and world.success()
    times = np.array([event.time for event in world.events])
    return EpisodeData(
        images={c: np.stack([o[c] for o in observations]) for c in world.cameras},
        state=np.stack([o['state'] for o in observations]),
        action=np.array([*wanted, hold.ravel()], np.float32),
        executed_action=np.array([*executed, hold.ravel()], np.float32),
        stamps=np.array(stamps),
        success=success,
        success_index=success_index if success else -1,
        failure_kind=_failure_kind(world, success),
        event_names=np.array([event.name for event in world.events], dtype=np.str_),
        event_kinds=np.array(_event_kinds(world), dtype=np.str_),
        event_indices=np.searchsorted(np.array(stamps) + 1e-9, times).astype(np.int64),
        event_targets=np.array([event.target for event in world.events], bool),
        interventions=np.array([*interventions, False]),
        seed=seed,
        task=task,
        arm=world.config.arm,
        instruction=world.instruction,
        facts=json.dumps(world.facts()),
        setting=world.config.setting,
        renderer=world.renderer,
        mistake=mistake,
    )


def _human(env: TaskEnv, task: str, seed: int, patience: int) -> HumanStandIn | None:
    if not patience:
        return None
    make = functools.partial(
        task_entry(task).make_expert, env.world, env.targets, ExpertConfig(), seed
    )
    return HumanStandIn(env.world, make, patience)


def _failure_kind(world: World[Any], success: bool) -> str:
    if success:
        return ''
    return f'physics: {world.blown}' if world.blown else world.failure_kind()


def _event_kinds(world: World[Any]) -> list[str]:
    """What follows a success is neither milestone nor error, nor is an error that ends in one."""
    kinds: list[str] = []
    done = False
    for number, event in enumerate(world.events):
        kind = '' if done else world.event_kind(event)
        following = [other.name for other in world.events[number + 1 : number + 2]]
        if kind == 'error' and following == ['success']:
            kind = ''
        kinds.append(kind)
        done = done or event.name == 'success'
    return kinds


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
        job.task, job.seed, job.config, job.expert, job.max_steps, patience=job.patience
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


def save_npz(episode: EpisodeData, path: str | Path) -> None:
    """Write an episode as compressed npz; the file appears only when it is whole."""
    path = Path(path)
    partial = path.with_name(path.name + '.part')
    # Level 1 is five times faster than numpy's and 10 % larger on such images.
    with zipfile.ZipFile(partial, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, value in _arrays(episode).items():
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(value), allow_pickle=False)
    partial.replace(path)


def load_npz(path: str | Path) -> EpisodeData:
    """Read an episode.

    Raises:
        UserError: the file is absent, broken or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = {
                item.name: archive[item.name]
                for item in fields(EpisodeData)
                if item.name != 'images'
            }
            images = {
                name.removeprefix(_IMAGES): archive[name]
                for name in archive.files
                if name.startswith(_IMAGES)
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f'{path} is not an episode of vvf_sim: collect it again.') from error
    plain = {name: v.item() if v.ndim == 0 else v for name, v in values.items()}
    return EpisodeData(images=images, **plain)


def _arrays(episode: EpisodeData) -> dict[str, Any]:
    """Everything of an episode by the names that its file has."""
    values = {item.name: getattr(episode, item.name) for item in fields(EpisodeData)}
    images = values.pop('images')
    return {**{_IMAGES + camera: frames for camera, frames in images.items()}, **values}
