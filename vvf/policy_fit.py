# SPDX-License-Identifier: Apache-2.0
"""Whether a policy's actions are those that are taken, by a robot or by a simulation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from vvf.errors import UserError

if TYPE_CHECKING:
    from vvf_models.runtime import Policy

_OFF = 0.05  # part of a period by which a policy's may differ


def check_actions(
    policy: Policy, name: str, taker: str, *, dim: int, period_s: float, displacements: bool
) -> None:
    """Check what a policy gives; what it does not say of itself is not asked.

    Args:
        policy: That is to act.
        name: Of it, for the user.
        taker: Of its actions, for the user.
        dim: Numbers per action, grippers among them.
        period_s: From one action to the next.
        displacements: Whether actions say how far to move; False: they are joint positions.

    Raises:
        UserError: Its actions are others.
    """
    if policy.action_dim != dim:
        raise UserError(
            f'policy {name} gives {policy.action_dim} numbers, an action of {taker} has {dim}.'
        )
    if math.isfinite(policy.dt) and abs(policy.dt / period_s - 1.0) > _OFF:
        raise UserError(
            f'policy {name} gives a step every {policy.dt:g} s, {taker} takes one every '
            f"{period_s:g} s: give it a policy of that rate, or change rate_hz of the task's "
            'action.'
        )
    if policy.displacements not in (None, displacements):
        kinds = 'joint positions', 'displacements'
        raise UserError(
            f'policy {name} gives {kinds[policy.displacements]}, {taker} takes '
            f'{kinds[displacements]}: give it a policy that was trained on those.'
        )


def wrong(chunk: Any, horizon: int, width: int) -> str:
    """What is wrong with what a policy answered, in words; '' if it is a chunk that can be used."""
    if np.shape(chunk) != (horizon, width):
        return f'the policy gave an array of shape {np.shape(chunk)}, not {(horizon, width)}'
    return '' if np.isfinite(chunk).all() else 'the policy gave numbers that are not finite'
