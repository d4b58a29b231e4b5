# SPDX-License-Identifier: Apache-2.0
"""An operator in words and numbers, for the status topic, the diagnostics and the screen."""

from __future__ import annotations

from typing import Any

from vvf.teleop.operator import Operator


def report(operator: Operator, now: float) -> dict[str, Any]:
    """What keys move and how fast, and which devices are heard."""
    side = operator.sides[operator.side]
    values: dict[str, Any] = {
        'side': operator.names[operator.side],
        'speed': operator.speed,
        'gripper': 'open' if side.known_opening() > 0.5 else 'shut',
        'terminal': operator.terminal_alive(now),
    }
    if (pad := operator.gamepad) is not None:
        values |= {'gamepad': pad.alive(now), 'deadman': pad.deadman(now)}
        values['refused_joy'] = pad.refused
    leaders = [side.leader for side in operator.leaders if side.leader is not None]
    if leaders:
        values['leader'] = all(leader.alive(now) for leader in leaders)
        values['engaged'] = operator.engaged
        values['refused_leader'] = sum(leader.refused for leader in leaders)
    return values
