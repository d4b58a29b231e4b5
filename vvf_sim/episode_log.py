# SPDX-License-Identifier: Apache-2.0
"""Keeps an episode while it is run, whoever acts in it: a scripted expert or a policy."""

import functools
import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vvf_sim.episode_data import EpisodeData
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.human import HumanStandIn
from vvf_sim.registry import task_entry
from vvf_sim.worlds.env import Observation, TaskEnv
from vvf_sim.worlds.world import World


class EpisodeLog:
    """What is seen and done in one episode.

    Args:
        env: that is acted on, after its reset; success must not end its episodes.
        task: its name.
        seed: of the scene.
        observation: what the reset gave.

    Attributes:
        success_index: first observation in success, -1 before.
        run_on: steps that an episode goes on after its success: 2 to 8, so that neither the length
            nor the last posture tells a success from a failure.
        rng: of the episode's length.
    """

    def __init__(self, env: TaskEnv, task: str, seed: int, observation: Observation) -> None:
        self._env, self._task, self._seed = env, task, seed
        self._observations = [observation]
        self._stamps = [0.0]
        self._wanted: list[NDArray[Any]] = []
        self._executed: list[NDArray[Any]] = []
        self._interventions: list[bool] = []
        self.success_index = -1
        self.rng = np.random.default_rng([seed, 11])
        self.run_on = int(self.rng.integers(2, 9))

    @property
    def steps(self) -> int:
        """Actions so far."""
        return len(self._wanted)

    @property
    def seen(self) -> Observation:
        """The newest observation."""
        return self._observations[-1]

    @property
    def stamp(self) -> float:
        """Of the newest observation, seconds since the reset."""
        return self._stamps[-1]

    def human_steps(self, steps: int) -> int:
        """In how many of the first steps a person acted."""
        return sum(self._interventions[:steps])

    def step(self, wanted: ArrayLike, executed: ArrayLike, human: bool = False) -> bool:
        """Act on the environment, and keep what was done and what came of it.

        Args:
            wanted: (7,) or (14,) what was meant; clipped to the action's bounds, as is the next.
            executed: the same, what is done.
            human: whether a person acts.

        Returns:
            Whether the physics still hold.
        """
        space = self._env.action_space
        clean, done = (np.clip(a, space.low, space.high) for a in (wanted, executed))
        self._wanted.append(clean)
        self._executed.append(done)
        self._interventions.append(human)
        observation, reward, _, _, info = self._env.step(done.astype(np.float32))
        self._observations.append(observation)
        self._stamps.append(info['time'])
        if 'error' in info:
            return False
        if reward and self.success_index < 0:
            self.success_index = self.steps
        return True

    def episode(self, mistake: str = '', **facts: str) -> EpisodeData:
        """The episode as it stands now.

        Args:
            mistake: what an expert was told to do wrong.
            facts: of the episode, besides those of the scene.
        """
        world = self._env.world
        hold = np.asarray(self._wanted[-1]).reshape(-1, 7).copy()
        hold[:, :6] = 0.0
        # As wherever policies are judged: it counts once it was there, whatever comes of it.
        success = not world.blown and self.success_index >= 0
        times = np.array([event.time for event in world.events])
        observations = self._observations
        return EpisodeData(
            images={c: np.stack([o[c] for o in observations]) for c in world.cameras},
            state=np.stack([o['state'] for o in observations]),
            action=np.array([*self._wanted, hold.ravel()], np.float32),
            executed_action=np.array([*self._executed, hold.ravel()], np.float32),
            stamps=np.array(self._stamps),
            success=success,
            success_index=self.success_index if success else -1,
            failure_kind=failure_kind(world, success),
            event_names=np.array([event.name for event in world.events], dtype=np.str_),
            event_kinds=np.array(event_kinds(world), dtype=np.str_),
            event_indices=np.searchsorted(np.array(self._stamps) + 1e-9, times).astype(np.int64),
            event_targets=np.array([event.target for event in world.events], bool),
            interventions=np.array([*self._interventions, False]),
            seed=self._seed,
            task=self._task,
            arm=world.config.arm,
            instruction=world.instruction,
            facts=json.dumps({**world.facts(), **facts}),
            setting=world.config.setting,
            renderer=world.renderer,
            mistake=mistake,
        )


def human_stand_in(
    env: TaskEnv, task: str, seed: int, patience: int | None, stalled: int = 0
) -> HumanStandIn:
    """The person who watches an episode; arguments are those of `EpisodeLog` and `HumanStandIn`."""
    make = functools.partial(
        task_entry(task).make_expert, env.world, env.targets, ExpertConfig(), seed
    )
    return HumanStandIn(env.world, make, patience, stalled)


def failure_kind(world: World[Any], success: bool) -> str:
    """Why an episode has not succeeded; empty for a success."""
    if success:
        return ''
    return f'physics: {world.blown}' if world.blown else world.failure_kind()


def event_kinds(world: World[Any]) -> list[str]:
    """Of each event: 'milestone', 'error' or ''.

    What follows a success is neither milestone nor error, nor is an error that ends in one.
    """
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
