# SPDX-License-Identifier: Apache-2.0
"""Action chunks as rows of numbers, and as the fields of `vvf_msgs/Action`.

A row is, for each arm in turn, what moves it and then its gripper. In a message the grippers are
apart: `data` is (horizon, dim) without them, `gripper` (horizon, arms), both row-major.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DELTA = ('x', 'y', 'z', 'rx', 'ry', 'rz')

#: Numbers of a displacement and the gripper, of one arm.
DELTA_DIM = len(_DELTA) + 1


def delta_names(sides: tuple[str, ...]) -> list[str]:
    """What the numbers of `data` are called in a displacement of these arms."""
    return [f'{side}_{name}' if side else name for side in sides for name in _DELTA]


def split_rows(rows: ArrayLike, arms: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The fields `data` and `gripper` of rows (horizon, D) for so many arms."""
    chunk = np.asarray(rows, np.float32)
    parts = chunk.reshape(len(chunk), arms, -1)
    return parts[:, :, :-1].ravel(), parts[:, :, -1].ravel()


def join_rows(
    data: ArrayLike, gripper: ArrayLike, horizon: int, dim: int, openings: ArrayLike
) -> NDArray[np.float64] | None:
    """The rows of a message.

    Older recordings of two arms have the first gripper among the other numbers; in rows that makes
    no difference.

    Args:
        data: horizon x dim numbers.
        gripper: horizon x arms numbers; empty leaves the grippers as they are.
        horizon: number of steps.
        dim: numbers per step, without the grippers.
        openings: (arms,) how far the grippers are open now.

    Returns:
        (horizon, D), or `None` where the lengths contradict each other.
    """
    numbers = np.asarray(data, np.float64)
    grips = np.asarray(gripper, np.float64)
    if horizon < 1 or numbers.size != horizon * dim:
        return None
    if not grips.size:
        grips = np.tile(np.asarray(openings, np.float64), horizon)
    count, rest = divmod(grips.size, horizon)
    if rest or not count or dim % count:
        return None
    moves = numbers.reshape(horizon, count, dim // count)
    return np.concatenate([moves, grips.reshape(horizon, count, 1)], axis=2).reshape(horizon, -1)
