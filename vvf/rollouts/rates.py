# SPDX-License-Identifier: Apache-2.0
"""What success rates of rollouts say."""

from __future__ import annotations

import math


def wilson(successes: float, episodes: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a success rate, 95 % by default; (0, 1) without episodes.

    Numbers that are not whole are of episodes that count as fewer, since they are alike.
    """
    if episodes == 0:
        return 0.0, 1.0
    p = successes / episodes
    scale = 1.0 + z * z / episodes
    middle = (p + z * z / (2 * episodes)) / scale
    half = z * math.sqrt(p * (1 - p) / episodes + z * z / (4 * episodes**2)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)
