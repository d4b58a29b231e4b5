# SPDX-License-Identifier: Apache-2.0
"""What V-PTR's evaluation varies in pick-and-place, as sets of objects and named scenarios.

Six source targets; then, along each axis, five kinds for the small target data set and five that
neither data set has (appendix C.2). Distractors and targets never overlap (appendix B.3). The
three scenarios of its table 1 are new places, novel distractors, and novel targets.
"""

from typing import Any

from vvf_sim.errors import UserError

SOURCE_TARGETS = ('carrot', 'cucumber', 'eggplant', 'banana', 'cube', 'can')
TARGETS = ('mushroom', 'ball', 'brick', 'bottle', 'pepper')
NEW_TARGETS = ('croissant', 'corn', 'pear', 'sushi', 'cheese')
SOURCE_DISTRACTORS = ('spool',)
DISTRACTORS = ('tomato', 'egg', 'battery', 'pawn', 'jar')
NEW_DISTRACTORS = ('marker', 'domino', 'hammer', 'tower', 'strawberry')
SOURCE_CONTAINERS = ('bowl',)
CONTAINERS = ('plate', 'pot', 'bin', 'basket', 'tray')
NEW_CONTAINERS = ('dish', 'pan', 'crate', 'nest', 'tub')

_SOURCE: dict[str, Any] = {
    'targets': SOURCE_TARGETS,
    'containers': SOURCE_CONTAINERS,
    'distractors': SOURCE_DISTRACTORS,
    'n_distractors': 1,
    'setting': 'train',
}
_NEW_PLACES: dict[str, Any] = {**_SOURCE, 'setting': 'held_out'}

SCENARIOS: dict[str, dict[str, Any]] = {
    'source': _SOURCE,
    'targets': {**_SOURCE, 'targets': TARGETS},
    'new_targets': {**_SOURCE, 'targets': NEW_TARGETS},
    'containers': {**_SOURCE, 'containers': CONTAINERS},
    'new_containers': {**_SOURCE, 'containers': NEW_CONTAINERS},
    'distractors': {**_SOURCE, 'distractors': DISTRACTORS, 'n_distractors': 2},
    'new_distractors': {**_SOURCE, 'distractors': NEW_DISTRACTORS, 'n_distractors': 2},
    'scenario_1': _NEW_PLACES,
    'scenario_2': {**_NEW_PLACES, 'distractors': NEW_DISTRACTORS, 'n_distractors': 3},
    'scenario_3': {**_NEW_PLACES, 'targets': NEW_TARGETS},
}


def scenario(name: str) -> dict[str, Any]:
    """Entries of `PickPlaceConfig` that make a scenario.

    Raises:
        UserError: there is none of that name.
    """
    if name not in SCENARIOS:
        raise UserError(f'there is no scenario {name!r}: use {", ".join(SCENARIOS)}.')
    return dict(SCENARIOS[name])
