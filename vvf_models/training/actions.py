# SPDX-License-Identifier: Apache-2.0
"""What learners of policies have in common: actions that fit, successes, units that stay."""

from dataclasses import replace
from typing import Any

from vvf_models.data.frames import FAILURE, FrameStore
from vvf_models.errors import UserError
from vvf_models.training.learner import Indices


def check_actions(store: FrameStore, config: Any) -> None:
    """That there is something to learn a policy from.

    Raises:
        UserError: There is no action, or one of another length than the configuration's.
    """
    if store.actions is None:
        raise UserError('The episodes have no actions; no policy can be learned from them.')
    found = store.actions.shape[1]
    if found != config.action_dim:
        entries = '"action_dim", "arms" and "action_scale"'
        if not hasattr(config, 'arms'):
            entries = '"action_dim"'
        raise UserError(
            f'The episodes have actions of {found} numbers, the configuration says '
            f'{config.action_dim}; set {entries}.'
        )


def split_of_successes(store: FrameStore, config: Any, seed: int) -> tuple[Indices, Indices]:
    """Episodes to clone and to judge by; without failures if `successes_only` says so.

    Raises:
        UserError: There is none to clone.
    """
    training, held_out = store.split(config.held_out_fraction, seed)
    if config.successes_only:
        training = training[store.outcome[training] != FAILURE]
        held_out = held_out[store.outcome[held_out] != FAILURE]
    if not len(training):
        raise UserError('No episode succeeded; collect demonstrations that do.')
    return training, held_out


def with_meaning_of(config: Any, earlier: Any) -> Any:
    """A configuration with what the network of an earlier run means: tasks, their places, units."""
    same_state = earlier.state_dim == config.state_dim
    arms = {'arms': earlier.arms} if hasattr(earlier, 'arms') else {}
    return replace(
        config,
        tasks=earlier.tasks,
        task_slots=earlier.task_slots,
        action_scale=earlier.action_scale,
        state_mean=earlier.state_mean if same_state else (),
        state_std=earlier.state_std if same_state else (),
        **arms,
    )
