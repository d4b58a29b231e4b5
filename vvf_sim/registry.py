# SPDX-License-Identifier: Apache-2.0
"""The tasks that can be simulated: name, world, expert, limits.

Nothing of MuJoCo is loaded before a world is made.
"""

import importlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vvf_sim.errors import UserError

if TYPE_CHECKING:
    from vvf_sim.experts.script import Script
    from vvf_sim.worlds.world import World
    from vvf_sim.worlds.world_config import WorldConfig


#: Actions a second of a world, unless others are asked for.
CONTROL_HZ = 5.0


@dataclass(frozen=True)
class TaskEntry:
    """A task of the simulation.

    Attributes:
        name: as in `config/tasks/<name>.yaml`.
        env_id: Gymnasium's name.
        world: `module:Class` of its `World`.
        config: `module:Class` of its `WorldConfig`.
        expert: `module:Class` of its `Script`.
        max_steps: control steps of an episode at `CONTROL_HZ`.
    """

    name: str
    env_id: str
    world: str
    config: str
    expert: str
    max_steps: int

    def make_config(self, **entries: Any) -> 'WorldConfig':
        """What may vary in the world, with some entries set.

        Raises:
            UserError: an entry is unknown or out of range.
        """
        kind = _load(self.config)
        try:
            config: WorldConfig = replace(kind(), **entries)
            return config
        except TypeError as error:
            known = ', '.join(kind.__dataclass_fields__)
            wrong = ', '.join(sorted(set(entries) - set(kind.__dataclass_fields__)))
            raise UserError(f'task {self.name} has no {wrong or error}: use {known}.') from error

    def make_world(self, config: 'WorldConfig | None' = None) -> 'World[Any]':
        """The world, before its first reset.

        Raises:
            UserError: the configuration is another task's.
        """
        kind = _load(self.config)
        config = kind() if config is None else config
        if type(config) is not kind:
            raise UserError(f'task {self.name} takes a {kind.__name__}, not {config!r}.')
        world: World[Any] = _load(self.world)(config)
        return world

    def make_expert(self, *args: Any, **kwargs: Any) -> 'Script':
        """The scripted expert; arguments are those of `Script`."""
        expert: Script = _load(self.expert)(*args, **kwargs)
        return expert

    @property
    def mistakes(self) -> tuple[str, ...]:
        """What its expert can be told to do wrong."""
        return tuple(_load(self.expert).MISTAKES)


def _entry(name: str, camel: str, max_steps: int, module: str = '', world: str = '') -> TaskEntry:
    module = module or name
    world = world or camel
    return TaskEntry(
        name,
        f'vvf/{camel}-v0',
        f'vvf_sim.worlds.{module}:{world}World',
        f'vvf_sim.worlds.{module}:{world}Config',
        f'vvf_sim.experts.{module}:{world}Expert',
        max_steps,
    )


TASKS: dict[str, TaskEntry] = {
    entry.name: entry
    for entry in (
        _entry('pick_place', 'PickPlace', 60),
        _entry('box_assembly', 'BoxAssembly', 120),
        _entry('open_microwave', 'OpenMicrowave', 70),
        _entry('paper_towel', 'PaperTowel', 120),
        _entry('sweep_beans', 'SweepBeans', 100),
        _entry('shirt_folding', 'ShirtFolding', 120, module='folding'),
        _entry('pants_folding', 'PantsFolding', 100, module='folding'),
        _entry('window_open', 'WindowOpen', 50),
    )
}


def task_entry(name: str) -> TaskEntry:
    """The task of a name.

    Raises:
        UserError: there is none.
    """
    if name not in TASKS:
        raise UserError(f'there is no simulated task {name!r}: use {", ".join(TASKS)}.')
    return TASKS[name]


def _load(path: str) -> Any:
    module, _, name = path.partition(':')
    return getattr(importlib.import_module(module), name)
