# SPDX-License-Identifier: Apache-2.0
"""V-PTR, what it is compared with, and what is left out of it (arXiv 2309.13041, tables 1 to 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Method:
    """What is trained on what.

    Attributes:
        kind: of the policy, as of `vvf train`.
        video: the value model of phase 1 whose encoder it starts from; '' for none.
        robot: whether there is a phase 2, on prior robot data.
        settings: entries of the policy's configuration.
        says: what it is, for people.
    """

    kind: str
    video: str
    says: str
    robot: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


_FROZEN = {'freeze_encoder': True}
_LANGUAGE = {'task_vector': 'language'}

#: By the names that stored results and `config/papers` have.
METHODS = {
    'vptr': Method('cql', 'icvf', 'ICVF on video, CQL on robot data, then on the target'),
    'ptr': Method('cql', '', 'no video'),
    'bc': Method('bc_task', '', 'cloning, of good and bad episodes alike'),
    'vip_cql': Method('cql', 'vip', "VIP on video in ICVF's place"),
    'vip_frozen_cql': Method('cql', 'vip', 'the same, its features frozen', settings=_FROZEN),
    'vip_reward': Method('rwr', 'vip', "cloning weighted by VIP's reward"),
    'frozen_bc': Method(
        'bc_task', 'vip', 'cloning on frozen features, as with R3M and MVP', settings=_FROZEN
    ),
    'vptr_no_phase2': Method('cql', 'icvf', 'no prior robot data', robot=False),
    'bc_successes': Method(
        'bc_task', '', 'cloning of the successes', settings={'successes_only': True}
    ),
    'vptr_language': Method(
        'cql', 'icvf', 'V-PTR, told the task by a sentence', settings=_LANGUAGE
    ),
    'ptr_language': Method('cql', '', 'PTR, told the task by a sentence', settings=_LANGUAGE),
    'bc_language': Method('bc_task', '', 'BC, told the task by a sentence', settings=_LANGUAGE),
}
#: V-PTR, what it is compared with first, and cloning without the failures, which most of the prior
#: data are: the baseline that needs no reward to leave them out.
DEFAULT_METHODS = ('vptr', 'ptr', 'bc', 'bc_successes', 'vip_cql')
