# SPDX-License-Identifier: Apache-2.0
"""What `vvf rl` trains: runs in mazes with a value of states, and runs from images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vvf.errors import UserError
from vvf.online.mazes import DataKind, MazeTask, offline_transitions
from vvf.online.pixels import PixelTask, pixel_value
from vvf.online.runs import Run
from vvf.online.trainer import RunConfig, Setting
from vvf.provenance import checkpoint_id
from vvf_models.checkpoints import load_checkpoint, save_checkpoint
from vvf_models.config import to_mapping
from vvf_models.model_config import require
from vvf_models.rl.drq import Drq, DrqConfig
from vvf_models.rl.rnd import RndConfig
from vvf_models.rl.sac import AgentConfig, Sac
from vvf_models.rl.shaping import RewardConfig
from vvf_models.training.icvf_states import StateIcvfTrainer, store_of_states, with_statistics
from vvf_models.training.loop import Budget, forget_state, is_unfinished, run
from vvf_models.values.icvf_states import StateIcvf, StateIcvfConfig
from vvf_sim.worlds.maze_data import MazeEpisode

_KIND = 'icvf_states'
_WITH_VALUE = ('viva', 'potential')


@dataclass(frozen=True)
class DataConfig:
    """Offline data of a maze."""

    trips: int = 1000

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UserError: there are none.
        """
        require(self.trips >= 1, '"trips" must be at least 1')


@dataclass(frozen=True)
class MazeExperiment:
    """The sections of `config/experiments/online_{tiny,small,full}.yaml`."""

    data: DataConfig
    value: StateIcvfConfig
    agent: AgentConfig
    reward: RewardConfig
    rnd: RndConfig
    run: RunConfig


@dataclass(frozen=True)
class ImagesConfig:
    """What an agent of images sees."""

    cameras: tuple[str, ...] = ('shoulder',)
    image_size: int = 48  # pixels
    max_steps: int = 40

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UserError: there is no camera, or no time.
        """
        require(bool(self.cameras), '"cameras" is empty; name at least one')
        require(self.max_steps >= 1, '"max_steps" must be at least 1')


@dataclass(frozen=True)
class PixelExperiment:
    """The sections of `config/experiments/online_pixels.yaml`."""

    images: ImagesConfig
    agent: DrqConfig
    reward: RewardConfig
    run: RunConfig

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UserError: images are too small for the encoder.
        """
        # Each layer, 3 x 3 with stride 2, leaves (n - 1) // 2 of n pixels.
        least = 2 ** (len(self.agent.features) + 1) - 1
        require(
            self.images.image_size >= least,
            f'"images.image_size" must be at least {least} for the layers of "agent.features"',
        )


def maze_value(
    folder: Path,
    episodes: Sequence[MazeEpisode],
    config: StateIcvfConfig,
    *,
    progress: bool = True,
) -> StateIcvf | None:
    """The value of some trips: read where it is trained already, else trained.

    Returns:
        The value; None where Ctrl-C came: the same call goes on.

    Raises:
        UserError: another value lies there.
        KeyboardInterrupt: Ctrl-C came when all was trained: it is written, and no more is begun.
    """
    store = store_of_states([episode.state for episode in episodes])
    config = with_statistics(config, store)
    if (folder / 'config.yaml').is_file():
        found = load_checkpoint(folder, _KIND)
        if to_mapping(found.config) != to_mapping(config):
            raise UserError(f'{folder} was trained with another configuration: choose an --out.')
        assert isinstance(found.model, StateIcvf)
        return found.model
    torch.set_num_threads(1)
    trainer = StateIcvfTrainer(config, store, seed=0)
    outcome = run(
        trainer,
        folder,
        Budget(steps=config.steps),
        identity=to_mapping(config),
        evaluate_every=config.evaluate_every,
        warmup_steps=100,
        hold=0.5,
        resume=is_unfinished(folder),
        progress=progress,
        title='value',
    )
    if outcome.interrupted:
        return None
    card = (
        f'# ICVF of states\n\n{len(episodes)} trips, {outcome.step} steps, '
        f'{outcome.seconds:.0f} s, held-out loss {outcome.metrics["held_out_loss"]:.4g}.\n'
    )
    save_checkpoint(folder, _KIND, config, trainer.target.state_dict(), card)
    forget_state(folder)
    if outcome.stop_wanted:
        raise KeyboardInterrupt
    return trainer.target


def maze_run(
    folder: Path,
    maze: str,
    data: DataKind,
    kind: str,
    experiment: MazeExperiment,
    episodes: Sequence[MazeEpisode],
    value: StateIcvf | None,
    seeds: Sequence[int],
    command: str = '',
) -> Run:
    """All seeds of one reward in a maze, with SAC.

    Args:
        folder: of the run.
        maze: one of `MAZES`.
        data: what the episodes are.
        kind: of the reward.
        experiment: sizes and times.
        episodes: offline data.
        value: for the rewards that have one in them.
        seeds: of the agents.
        command: that makes it again.
    """
    task = MazeTask(maze)
    task.close()
    goal = task.goal_state()
    config = experiment.agent
    frozen = value if kind in _WITH_VALUE else None
    setting = Setting(
        make=lambda: MazeTask(maze),
        max_steps=task.max_steps,
        kind=kind,
        reward=experiment.reward,
        value=None if frozen is None else partial(frozen.values, goal=goal),
        value_discount=experiment.value.discount,
        offline=offline_transitions(episodes, task.goal) if config.offline_ratio else None,
        rnd=experiment.rnd,
    )
    state_dim, action_dim = task.observation_space.shape[0], task.action_space.shape[0]
    identity = {
        'maze': maze,
        'data': data,
        'agent': to_mapping(config),
        'reward': to_mapping(experiment.reward),
        'run': to_mapping(experiment.run),
        'value': to_mapping(experiment.value) if kind in _WITH_VALUE else {},
        'trips': len(episodes),
    }
    if kind == 'rnd':
        identity['rnd'] = to_mapping(experiment.rnd)
    return Run(
        folder=folder,
        task=maze,
        condition=f'{maze} {data}',
        seeds=seeds,
        setting=setting,
        config=experiment.run,
        make_agent=lambda rngs: Sac(config, rngs, state_dim, action_dim),
        identity=identity,
        command=command,
    )


def check_pixel_reward(kind: str, value: Path | None) -> None:
    """Refuse what cannot be trained from images.

    Raises:
        UserError: the reward is for states only, or needs a value.
    """
    if kind == 'rnd':
        raise UserError('RND is for states: leave `--reward rnd` out where agents see images.')
    if kind in _WITH_VALUE and value is None:
        raise UserError(f'--reward {kind} needs --value CHECKPOINT, an ICVF of images.')


def pixel_run(
    folder: Path,
    env_id: str,
    kind: str,
    experiment: PixelExperiment,
    value: Path | None,
    seed: int,
    command: str = '',
) -> Run:
    """One seed of one reward in a task with cameras, with DrQ and no offline data.

    Raises:
        UserError: the task, a camera or the value does not fit, or as of `check_pixel_reward`.
    """
    check_pixel_reward(kind, value)
    images, config = experiment.images, experiment.agent
    task = PixelTask(env_id, images.cameras, images.image_size)
    task.reset(seed=seed)
    instruction = task.instruction
    task.close()
    judge, discount = None, 1.0
    if value is not None and kind in _WITH_VALUE:
        judge, discount = pixel_value(value, images.cameras, instruction)
    setting = Setting(
        make=lambda: PixelTask(env_id, images.cameras, images.image_size),
        max_steps=images.max_steps,
        kind=kind,
        reward=experiment.reward,
        value=judge,
        value_discount=discount,
    )
    shape, action_dim = task.observation_space.shape, task.action_space.shape[0]
    sections: dict[str, Any] = {
        name: to_mapping(getattr(experiment, name)) for name in ('images', 'agent', 'reward', 'run')
    }
    return Run(
        folder=folder,
        task=env_id,
        condition=f'{env_id} pixels',
        seeds=[seed],
        setting=setting,
        config=experiment.run,
        make_agent=lambda rngs: Drq(config, rngs, shape, action_dim),
        # By what it holds: a value that was trained anew in its place is another.
        identity={**sections, 'value': checkpoint_id(str(value or ''))},
        command=command,
    )
