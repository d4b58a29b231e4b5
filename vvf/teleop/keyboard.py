# SPDX-License-Identifier: Apache-2.0
"""Keys to motion and commands.

A terminal says that a key is down only by repeating it, and never that it was let go. So each key
counts for a while, and that while is short: whatever a key moves is over `STOP_S` after its last
repetition, the time that the arm takes for the last step included.
"""

from __future__ import annotations

import numpy as np

from vvf.teleop.commands import AXES, Array, Command
from vvf_sim.controllers import RAMP_FRACTION

#: From the last repetition of a key to the end of the motion that it commands, s.
STOP_S = 0.25

#: Key -> axis and sense: x forward, y to the left, z up.
MOTION_KEYS = {
    'up': ('x', 1.0),
    'down': ('x', -1.0),
    'left': ('y', 1.0),
    'right': ('y', -1.0),
    'pageup': ('z', 1.0),
    'pagedown': ('z', -1.0),
    'k': ('z', 1.0),
    'j': ('z', -1.0),
    '1': ('roll', -1.0),
    '2': ('roll', 1.0),
    '3': ('pitch', -1.0),
    '4': ('pitch', 1.0),
    '5': ('yaw', -1.0),
    '6': ('yaw', 1.0),
}
COMMAND_KEYS = {
    'i': Command.INTERVENE,
    'g': Command.GRIPPER,
    '+': Command.FASTER,
    '=': Command.FASTER,
    '-': Command.SLOWER,
    'tab': Command.SIDE,
    'l': Command.CLUTCH,
    ' ': Command.START,
    's': Command.SUCCESS,
    'f': Command.FAILURE,
    'a': Command.ABORT,
    'r': Command.SAVE,
    'esc': Command.STOP,
    'backspace': Command.STOP,
    # What must not happen by a slip of a finger takes the shift key.
    'U': Command.RESET,
    'H': Command.HOME,
    'C': Command.RECOVER,
}


class Keyboard:
    """Remembers when each key came last."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def press(self, key: str, now: float) -> Command | None:
        """Take a key; returns the command that it is, if it is one."""
        if key in MOTION_KEYS:
            self._last[key] = now
            return None
        return COMMAND_KEYS.get(key)

    def touched(self, now: float, within: float) -> bool:
        """Whether a key that moves the arm came in the last `within` seconds."""
        return any(now - last <= within for last in self._last.values())

    def release_all(self) -> None:
        """Forget the keys that are held."""
        self._last.clear()

    def shares(self, now: float, period: float) -> Array:
        """How much of a step of `period` seconds, begun now, the keys ask for.

        Returns:
            (6,) in [-1, 1]: the sense, times the part of the step that is over in time.
        """
        wanted = np.zeros(len(AXES))
        for key, last in self._last.items():
            axis, sign = MOTION_KEYS[key]
            left = STOP_S - (now - last)
            wanted[AXES.index(axis)] += sign * np.clip(left / (RAMP_FRACTION * period), 0.0, 1.0)
        return np.clip(wanted, -1.0, 1.0)
