# SPDX-License-Identifier: Apache-2.0
"""From one action chunk to the next without a jump: a weighted mean where both know what to do.

Displacements and joint positions are both averaged at equal times. A mean of two displacements lies
between them, so the way that is gone lies between the two ways; rotation vectors of one step are
small enough (the task's bounds) to be averaged like the rest. Grippers are open or closed and
nothing between: theirs are the new chunk's, which has seen more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


def blend(old: Rows, new: Rows, steps: int, grippers: NDArray[np.bool_]) -> Rows:
    """The new chunk, led into from the old one.

    The old chunk's weight falls in equal parts, from steps / (steps + 1) in the first step to
    1 / (steps + 1) in the last: a difference of the two chunks is spread over steps + 1 changes.

    Args:
        old: (N, A) what was left of the last chunk, from the same moment on; may be empty.
        new: (M, A) the new chunk.
        steps: over how many steps at most; fewer where a chunk is shorter.
        grippers: (A,) which numbers are grippers.

    Returns:
        (M, A).
    """
    count = min(steps, len(old), len(new))
    weight = np.arange(count, 0, -1, dtype=np.float32)[:, None] / np.float32(count + 1)
    weight = np.where(grippers, np.float32(0.0), weight)
    led = new.copy()
    led[:count] += weight * (old[:count] - new[:count])
    return led
