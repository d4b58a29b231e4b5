# SPDX-License-Identifier: Apache-2.0
"""The simulated world that a task file describes."""

from __future__ import annotations

from typing import Any

from vvf.errors import UserError
from vvf.task import SimSpec, TaskSpec
from vvf_sim.registry import CONTROL_HZ, TASKS, TaskEntry
from vvf_sim.worlds.ticks import TICK_S, control_ticks
from vvf_sim.worlds.world_config import WorldConfig


def world_entry(sim: SimSpec) -> TaskEntry:
    """The simulated task that a task file names by its Gymnasium id.

    Raises:
        UserError: there is no such world.
    """
    for entry in TASKS.values():
        if entry.env_id == sim.world:
            return entry
    known = ', '.join(entry.env_id for entry in TASKS.values())
    raise UserError(f'there is no world {sim.world!r}; known: {known}.')


def world_config(sim: SimSpec, **overrides: Any) -> WorldConfig:
    """Configuration of the world, with some entries replaced.

    Raises:
        UserError: there is no such world, or it knows no such entry, object or container.
    """
    entries: dict[str, Any] = {'setting': sim.setting}
    entries.update(
        (key, tuple(value) if isinstance(value, list) else value)
        for key, value in sim.config.items()
    )
    if sim.target:
        entries['targets'] = (sim.target,)
    if sim.container:
        entries['containers'] = (sim.container,)
    if sim.n_distractors is not None:
        entries['n_distractors'] = sim.n_distractors
    return world_entry(sim).make_config(**{**entries, **overrides})


def simulated_rate(task: TaskSpec) -> float:
    """Actions a second of a task in simulation: its own, as near as the physics' ticks come to it.

    Raises:
        UserError: (of `vvf_sim`) the rate is out of the simulation's range.
    """
    if task.action is None:
        return CONTROL_HZ
    return 1.0 / (control_ticks(task.action.rate_hz) * TICK_S)
