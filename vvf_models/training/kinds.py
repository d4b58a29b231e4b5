# SPDX-License-Identifier: Apache-2.0
"""Which learner trains which kind of model."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from vvf_models.data.frames import FrameStore
from vvf_models.training.learner import Learner

# By name, since one kind's libraries need not be loaded for another.
_LEARNERS = {
    'icvf': ('vvf_models.training.icvf', 'IcvfLearner'),
    'vip': ('vvf_models.training.vip', 'VipLearner'),
    'distributional': ('vvf_models.training.distributional', 'DistributionalLearner'),
    'viva': ('vvf_models.training.viva', 'VivaLearner'),
    'bc': ('vvf_models.training.bc', 'BcLearner'),
    'bc_task': ('vvf_models.training.bc_task', 'BcTaskLearner'),
    'rwr': ('vvf_models.training.rwr', 'RwrLearner'),
    'cql': ('vvf_models.training.cql', 'CqlLearner'),
    'recap': ('vvf_models.training.recap', 'RecapLearner'),
}


def learner_of(kind: str, config: Any, store: FrameStore, seed: int) -> Learner:
    """The learner of a kind.

    Raises:
        ValueError: The episodes cannot be learned from.
        UserError: The episodes lack something that the kind needs.
    """
    learner: Learner = _class(kind).create(config, store, seed)
    return learner


def continued(kind: str, config: Any, earlier: Any) -> Any:
    """The configuration for a run that starts from the weights of an earlier one of its kind."""
    return _class(kind).continued(config, earlier)


def streams_of(kind: str, config: Any) -> Sequence[str]:
    """The cameras that training needs."""
    return _class(kind).streams_of(config)


def _class(kind: str) -> type[Learner]:
    module, name = _LEARNERS[kind]
    learner: type[Learner] = getattr(import_module(module), name)
    return learner
