# SPDX-License-Identifier: Apache-2.0
"""The simulated world that a task file describes."""

from __future__ import annotations

from typing import Any

from vvf.errors import UserError
from vvf.task import SimSpec
from vvf_sim.worlds.layout import PickPlaceConfig

_KNOWN = 'vvf/PickPlace-v0'


def world_config(sim: SimSpec, **overrides: Any) -> PickPlaceConfig:
    """Configuration of the world, with some entries replaced.

    Raises:
        UserError: there is no such world, object or container.
    """
    if sim.world != _KNOWN:
        raise UserError(f'there is no world {sim.world!r}; known: {_KNOWN}.')
    entries: dict[str, Any] = {
        'n_distractors': sim.n_distractors,
        'setting': sim.setting,
    }
    if sim.target:
        entries['targets'] = (sim.target,)
    if sim.container:
        entries['containers'] = (sim.container,)
    return PickPlaceConfig(**{**entries, **overrides})
