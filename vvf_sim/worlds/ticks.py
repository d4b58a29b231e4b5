# SPDX-License-Identifier: Apache-2.0
"""How time passes in every world: in ticks, a whole number of which make the step of an action."""

from vvf_sim.errors import UserError

# Joint targets are refreshed and events looked for once in a tick.
TICK_S = 0.02
_LEAST_HZ, _MOST_HZ = 5.0, 10.0


def control_ticks(control_hz: float) -> int:
    """Ticks from one action to the next, as near to a rate as they come.

    Raises:
        UserError: the rate is out of range.
    """
    if not _LEAST_HZ <= control_hz <= _MOST_HZ:
        raise UserError(
            f'{control_hz:g} actions a second cannot be simulated: use {_LEAST_HZ:g} to '
            f"{_MOST_HZ:g} (control_hz, or rate_hz of the task's action)."
        )
    return round(1.0 / control_hz / TICK_S)
