# SPDX-License-Identifier: Apache-2.0
"""The state machine of the safety gate, as a table that code, tests and documentation share."""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    """What the gate does with the arm at this moment."""

    WAITING = 'waiting'
    HOLDING = 'holding'
    RUNNING = 'running'
    MOVING = 'moving'
    PARKING = 'parking'
    PARKED = 'parked'
    FAULT = 'fault'
    STOPPED = 'stopped'


class Cause(Enum):
    """What leads from one mode to another; the value says it to people."""

    READING = 'measured pose'
    FOLLOW = 'good action'
    HOLD = 'nothing good to follow'
    MOVE = 'move home'
    PARK = 'park'
    ARRIVED = 'arrived'
    GIVE_UP = 'way given up'
    RENEW = 'new scene'
    FAULT = 'fault'
    FAULT_OVER = 'fault over'
    E_STOP = 'emergency stop'
    RESET = 'reset'


class Reason(Enum):
    """Why a command was refused, held back or clamped; the value names it in `/diagnostics`."""

    NON_FINITE = 'non_finite'
    WRONG_SHAPE = 'wrong_shape'
    WRONG_KIND = 'wrong_kind'
    STALE_IMAGE = 'stale_image'
    STALE_JOINT_STATE = 'stale_joint_state'
    STALE_ACTION = 'stale_action'
    STALE_VALUE = 'stale_value'
    STALE_RECORDER = 'stale_recorder'
    FUTURE_STAMP = 'future_stamp'
    WAITING = 'waiting'
    E_STOP = 'e_stop'
    FAULT = 'fault'
    MOVING = 'moving'
    PARKED = 'parked'
    OUTDATED = 'outdated'
    NO_EPISODE = 'no_episode'
    HUMAN = 'human'
    NO_TAKEOVER = 'no_takeover'
    JOINT_LIMIT = 'joint_limit'
    VELOCITY_LIMIT = 'velocity_limit'
    ACCELERATION_LIMIT = 'acceleration_limit'


#: Why actions are refused in a mode; in the others they are looked at.
REFUSED_IN = {
    Mode.WAITING: Reason.WAITING,
    Mode.MOVING: Reason.MOVING,
    Mode.PARKING: Reason.PARKED,
    Mode.PARKED: Reason.PARKED,
    Mode.FAULT: Reason.FAULT,
    Mode.STOPPED: Reason.E_STOP,
}

_KNOWN = (Mode.HOLDING, Mode.RUNNING, Mode.MOVING, Mode.PARKING, Mode.PARKED)

#: Every change of mode there is; what is not listed changes nothing.
TRANSITIONS: dict[tuple[Mode, Cause], Mode] = {
    (Mode.WAITING, Cause.READING): Mode.HOLDING,
    (Mode.HOLDING, Cause.FOLLOW): Mode.RUNNING,
    (Mode.RUNNING, Cause.HOLD): Mode.HOLDING,
    **{(mode, Cause.MOVE): Mode.MOVING for mode in (Mode.HOLDING, Mode.PARKING, Mode.PARKED)},
    (Mode.MOVING, Cause.ARRIVED): Mode.HOLDING,
    (Mode.MOVING, Cause.GIVE_UP): Mode.HOLDING,
    **{(mode, Cause.PARK): Mode.PARKING for mode in (Mode.HOLDING, Mode.MOVING)},
    (Mode.PARKING, Cause.ARRIVED): Mode.PARKED,
    **{(mode, Cause.RENEW): Mode.WAITING for mode in _KNOWN},
    **{(mode, Cause.FAULT): Mode.FAULT for mode in (Mode.WAITING, *_KNOWN)},
    (Mode.FAULT, Cause.FAULT_OVER): Mode.WAITING,
    **{(mode, Cause.E_STOP): Mode.STOPPED for mode in Mode if mode is not Mode.STOPPED},
    (Mode.STOPPED, Cause.RESET): Mode.WAITING,
}


def after(mode: Mode, cause: Cause) -> Mode:
    """The mode that follows."""
    return TRANSITIONS.get((mode, cause), mode)


def mermaid() -> str:
    """The table as a Mermaid state diagram; what all modes with a known pose share is one arrow."""
    lines = ['stateDiagram-v2', '    [*] --> waiting', '    state "pose known" as known {']
    outside = []
    ways: dict[tuple[Cause, Mode], list[Mode]] = {}
    for (mode, cause), to in TRANSITIONS.items():
        ways.setdefault((cause, to), []).append(mode)
    for (cause, to), sources in ways.items():
        if set(_KNOWN) - {to} <= set(sources):
            outside.append(f'    known --> {to.value}: {cause.value}')
            sources = [mode for mode in sources if mode not in _KNOWN]
        for mode in sources:
            arrow = f'{mode.value} --> {to.value}: {cause.value}'
            if {mode, to} <= set(_KNOWN):
                lines.append(f'        {arrow}')
            else:
                outside.append(f'    {arrow}')
    return '\n'.join([*lines, '    }', *outside]) + '\n'


if __name__ == '__main__':
    print(mermaid(), end='')
