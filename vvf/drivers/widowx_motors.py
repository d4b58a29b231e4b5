# SPDX-License-Identifier: Apache-2.0
"""What a WidowX's motors say about themselves: errors, torque, and whether they are limp.

A Dynamixel that protects itself switches its torque off and stays limp until it is rebooted, while
the others go on; Interbotix's node does not tell. Bits of the register `Hardware_Error_Status`:
ROBOTIS e-Manual, XM430-W350, 'Shutdown(63)'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_BITS = {
    0x01: ('input voltage', 'check the power supply'),
    0x04: ('overheating', 'let it cool for 20 minutes'),
    0x08: ('encoder', 'check the cable to it'),
    0x10: ('electrical shock or too little power', 'check the power supply'),
    0x20: ('overload', 'take away what it pushes against'),
}
ERRORS = 'Hardware_Error_Status'
TORQUE = 'Torque_Enable'
_PATIENCE = 2  # readings that may be lost on the bus: one is
RECOVER = 'hold the arm and call /vvf/arm/recover'


def explain(status: int) -> tuple[str, str]:
    """What an error status means, and what to do before the motor is rebooted."""
    known = [text for bit, text in _BITS.items() if status & bit]
    if not known:
        return f'error {status:#04x}', 'look it up in the e-manual of the motor'
    advice = dict.fromkeys(what for _, what in known)
    return ', '.join(name for name, _ in known), ', '.join(advice)


class MotorHealth:
    """The newest registers of each motor."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, int]] = {ERRORS: {}, TORQUE: {}}
        self._silent: Counter[tuple[str, str]] = Counter()

    def saw(self, register: str, motors: Sequence[str], values: Sequence[int]) -> None:
        """Take an answer of `get_motor_registers`; it ends before the first motor that is silent.

        Args:
            register: `ERRORS` or `TORQUE`.
            motors: those that were asked, in the order of their values.
            values: what was answered.
        """
        for motor, value in zip(motors, values, strict=False):
            self._values[register][motor] = value
            self._silent.pop((register, motor), None)
        if len(values) < len(motors):
            self._silent[register, motors[len(values)]] += 1

    def problem(self) -> str:
        """What is wrong and what to do, in one sentence; '' while all is well."""
        failed = [motor for motor, status in self._values[ERRORS].items() if status]
        if failed:
            name, advice = explain(self._values[ERRORS][failed[0]])
            more = f' (and {", ".join(failed[1:])})' if failed[1:] else ''
            return f'motor {failed[0]}{more} is limp after an error ({name}): {advice}, {RECOVER}'
        limp = [motor for motor, on in self._values[TORQUE].items() if not on]
        if limp:
            return f'no torque on {", ".join(limp)}: {RECOVER}'
        silent = [motor for (_, motor), count in self._silent.items() if count >= _PATIENCE]
        if silent:
            names = ', '.join(dict.fromkeys(silent))
            return f'motor {names} does not answer: check its cable and the power supply, {RECOVER}'
        return ''
