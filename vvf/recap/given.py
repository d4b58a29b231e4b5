# SPDX-License-Identifier: Apache-2.0
"""Whether data that a user gives the loop are of the scene in which its policies will act."""

from __future__ import annotations

from pathlib import Path

from vvf.data import open_data
from vvf.errors import UserError
from vvf.recap.run import Run
from vvf_models.data.episode import Episode
from vvf_sim.worlds.env import TaskEnv

_RATES = 0.05  # by how much the time between two frames may differ from a step, as for policies


def check_given(run: Run) -> None:
    """See that a run's demonstrations and prior data fit its scene, before they are learned from.

    Of each folder the first episode is looked at.

    Raises:
        UserError: the scene lacks a camera, or has another state, action or rate.
    """
    folders = [folder for folder in (run.demonstrations, run.prior) if folder is not None]
    if not folders:
        return
    env = TaskEnv(run.world, run.train_world, run.rate_hz)
    try:
        env.reset(seed=0)
        for folder in folders:
            _check(folder, open_data(folder)[0], env)
    finally:
        env.close()


def _check(folder: Path, episode: Episode, env: TaskEnv) -> None:
    for camera in episode.images:
        if camera not in env.world.cameras:
            shown = ', '.join(env.world.cameras)
            raise UserError(f'{folder} was seen by camera {camera!r}; this scene shows {shown}.')
    state, action = env.observation_space['state'].shape[0], env.action_space.shape[0]
    if episode.state is not None and episode.state.shape[1] != state:
        raise UserError(
            f'{folder} has a state of {episode.state.shape[1]} numbers; this task and arm have '
            f'{state}.'
        )
    if episode.actions is None or episode.actions.shape[1] != action:
        has = 'no actions' if episode.actions is None else f'{episode.actions.shape[1]} numbers'
        raise UserError(f'{folder} has {has} where an action of this task and arm has {action}.')
    if episode.displacements is False:
        raise UserError(f'{folder} has joint positions; this task acts by displacements.')
    if abs(episode.rate_hz * env.dt - 1) > _RATES:
        raise UserError(
            f'{folder} has {episode.rate_hz:.3g} frames a second; this task has {1 / env.dt:.3g} '
            'steps.'
        )
