# SPDX-License-Identifier: Apache-2.0
"""What becomes of a message on a faulty stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from vvf_msgs.msg import Action

#: (message, random numbers, how many were changed before) -> what is sent in its place.
Change = Callable[[Any, np.random.Generator, int], list[Any]]

_SHIFT_S = 5


def _fill(value: float) -> Change:
    """One number of an action, a joint state, a pose or a value becomes another."""

    def change(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
        if hasattr(message, 'data'):
            message.data[int(rng.integers(len(message.data)))] = value
        elif hasattr(message, 'pose'):
            message.pose.position.y = value
        elif hasattr(message, 'value'):
            message.value = message.progress = value
        else:
            message.position[int(rng.integers(len(message.position)))] = value
        return [message]

    return change


def _stamp(seconds: int | None) -> Change:
    def change(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
        stamp = message.header.stamp
        stamp.sec = 0 if seconds is None else stamp.sec + seconds
        return [message]

    return change


def _displace(*step: float, turn: bool = False) -> Change:
    """Every step of a chunk is this one; `turn`: to and fro."""

    def change(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
        sign = -1.0 if turn and count % 2 else 1.0
        message.data = [sign * s for s in step] * int(message.horizon)
        return [message]

    return change


def _wide(dim: int) -> Change:
    def change(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
        message.dim = dim
        message.data = [0.02] * (dim * int(message.horizon))
        return [message]

    return change


def _too_short(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    message.data = message.data[:-1]
    return [message]


def _no_steps(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    message.horizon, message.data, message.gripper = 0, [], []
    return [message]


def _joint_positions(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    message.kind, message.names = Action.KIND_JOINT_POSITION, []
    return [message]


def _dt_zero(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    message.dt = 0.0
    return [message]


def _cut_off(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    message.data = message.data[: int(rng.integers(len(message.data)))]
    return [message]


def _odd_encoding(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    message.encoding = 'yuv9000'
    return [message]


def _joint_missing(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    left = int(rng.integers(len(message.name)))
    for field in ('name', 'position', 'velocity'):
        values = list(getattr(message, field))
        setattr(message, field, values[:left] + values[left + 1 :])
    return [message]


def _another_order(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    for field in ('name', 'position', 'velocity'):
        setattr(message, field, list(getattr(message, field))[::-1])
    return [message]


def _off(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    message.position = [p + 3.0 for p in message.position]
    return [message]


def _again(times: int) -> Change:
    return lambda message, rng, count: [message] * times


def _nan_again(message: Any, rng: np.random.Generator, count: int) -> list[Any]:
    return _fill(float('nan'))(message, rng, count) * 50


#: By what a `Kind` calls them. Those in `GOOD` leave data that may be acted upon.
CHANGES: dict[str, Change] = {
    'lost': lambda message, rng, count: [],
    'NaN': _fill(float('nan')),
    'infinite': _fill(float('-inf')),
    '10 m': _displace(10.0, -10.0, 10.0, 0.0, 0.0, 0.0, turn=True),
    '100 rad': _displace(0.0, 0.0, 0.0, 100.0, -100.0, 100.0),
    'into the table': _displace(0.0, 0.0, -0.05, 0.0, 0.0, 0.0),
    'to a joint limit': _displace(0.0, 0.0, 0.0, 0.6, 0.0, 0.0),
    'back and forth': _displace(0.05, 0.05, 0.05, 0.6, 0.6, 0.6, turn=True),
    '3 rad off': _off,
    '5 wide': _wide(5),
    '8 wide': _wide(8),
    'too short': _too_short,
    'no steps': _no_steps,
    'joint positions': _joint_positions,
    'dt 0': _dt_zero,
    'cut off': _cut_off,
    'odd encoding': _odd_encoding,
    'a joint missing': _joint_missing,
    'another order': _another_order,
    'from the future': _stamp(_SHIFT_S),
    'from the past': _stamp(-_SHIFT_S),
    'stamped zero': _stamp(None),
    '50 times': _again(50),
    '50 times NaN': _nan_again,
    '20 times': _again(20),
}
GOOD = frozenset(
    {
        '10 m', '100 rad', 'into the table', 'to a joint limit', 'back and forth', '3 rad off',
        'another order', '50 times', '20 times',
    }
)  # fmt: skip
