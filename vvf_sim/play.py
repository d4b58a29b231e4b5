# SPDX-License-Identifier: Apache-2.0
"""An episode of a scripted expert that is looked at as it goes, tick by tick, and not kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vvf_sim.experts.config import ExpertConfig
from vvf_sim.registry import task_entry
from vvf_sim.worlds.env import Observation, TaskEnv
from vvf_sim.worlds.world import Event, World
from vvf_sim.worlds.world_config import WorldConfig

OnTick = Callable[[World[Any]], None]


class StopPlaying(Exception):  # noqa: N818
    """Raised by who looks on, to see no more."""


@dataclass(frozen=True)
class Played:
    """What became of an episode.

    Attributes:
        success: whether it ended in success.
        steps: actions in all.
        success_step: actions until the success; -1 if there was none.
        failure_kind: '' for a success, else why not.
        instruction: what was asked for.
        events: what happened, in order.
        event_kinds: for each, milestone, error or ''.
    """

    success: bool
    steps: int
    success_step: int
    failure_kind: str
    instruction: str
    events: tuple[Event, ...]
    event_kinds: tuple[str, ...]


def play_episode(
    task: str,
    seed: int,
    config: WorldConfig | None = None,
    expert: ExpertConfig | None = None,
    on_tick: OnTick | None = None,
) -> Played:
    """Run the expert on the scene of a seed, in the motions of `collect_episode`.

    No image is made unless `on_tick` asks the world for some.

    Args:
        task: a name of `vvf_sim.registry`.
        seed: of scene, noise, mistakes and latency.
        config: what varies with the seed.
        expert: how well the expert does.
        on_tick: called after the reset and after each tick of 20 ms; may raise `StopPlaying`.
    """
    env = _Env(task, config, on_tick)
    try:
        return _played(env, task, seed, expert or ExpertConfig())
    except StopPlaying:
        return _result(env.world, -1, -1)
    finally:
        env.close()


class _Env(TaskEnv):
    """An environment whose observations have no images, and whose ticks can be looked at."""

    def __init__(self, task: str, config: WorldConfig | None, on_tick: OnTick | None) -> None:
        super().__init__(task, config, stop_on_success=False)
        if on_tick is not None:
            self._look(on_tick)

    def _look(self, on_tick: OnTick) -> None:
        reset, step = self.world.reset, self.world.step_physics

        def watched_reset(seed: int) -> None:
            # The world steps while it settles, too, and nobody is to see that.
            self.world.step_physics = step  # type: ignore[method-assign]
            reset(seed)
            self.world.step_physics = watched_step  # type: ignore[method-assign]
            on_tick(self.world)

        def watched_step(joint_targets: Any, n_substeps: int | None = None) -> None:
            step(joint_targets, n_substeps)
            on_tick(self.world)

        self.world.reset = watched_reset  # type: ignore[method-assign]

    def _observe(self) -> Observation:
        return {'state': self.world.state()}


def _played(env: _Env, task: str, seed: int, config: ExpertConfig) -> Played:
    env.reset(seed=seed)
    entry = task_entry(task)
    expert = entry.make_expert(env.world, env.targets, config, seed)
    rng = np.random.default_rng([seed, 11])
    after_success, after_failure = int(rng.integers(2, 9)), int(rng.integers(2, 12))
    steps, success_step, end = 0, -1, entry.max_steps
    while steps < end:
        _, noisy = expert.act()
        action = np.clip(noisy, env.action_space.low, env.action_space.high)
        _, reward, _, _, info = env.step(action.astype(np.float32))
        steps += 1
        if 'error' in info:
            break
        if reward and success_step < 0:
            success_step, end = steps, min(end, steps + after_success)
        elif expert.finished and success_step < 0:
            end, after_failure = min(end, steps + after_failure), entry.max_steps
    return _result(env.world, steps, success_step)


def _result(world: World[Any], steps: int, success_step: int) -> Played:
    success = steps >= 0 and not world.blown and world.success()
    failure = f'physics: {world.blown}' if world.blown else world.failure_kind()
    return Played(
        success,
        steps,
        success_step if success else -1,
        '' if success else failure,
        world.instruction,
        tuple(world.events),
        tuple(world.event_kind(event) for event in world.events),
    )
