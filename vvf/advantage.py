# SPDX-License-Identifier: Apache-2.0
"""Advantage and improvement indicator from a series of values.

After the n-step advantage of Evo-RL (``n_step``, ``positive_ratio``), with the dense reward of the
value model itself. A value here is minus the discounted number of steps to the goal, so the reward
is -1 per step and, with s steps from frame t to frame u,

    A = -(1 - gamma^s) / (1 - gamma) + gamma^s V(u) - V(t).

It is 0 where the robot comes as much nearer as the model expects of good behaviour and negative
where it does not. Steps are counted by the stamps at the model's rate and not by frames, so neither
a camera that is faster than the data the model was trained on nor a lost frame changes the scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

N_STEPS = 10
POSITIVE_RATIO = 0.3


def lookahead(
    stamps: FloatArray,
    values: FloatArray,
    *,
    gamma: float,
    rate_hz: float,
    n_steps: int = N_STEPS,
    success: bool = False,
) -> FloatArray:
    """Advantage of each frame over the next n steps: what training uses.

    Near the end the horizon is cut to the last frame. At the last frame of a success the goal is
    reached, so its value counts as 0; that of any other episode is the model's own.

    Args:
        stamps: (T,) seconds, rising.
        values: (T,) in the model's unit.
        gamma: The model's discount per step.
        rate_hz: Steps per second of the data the model was trained on.
        n_steps: Horizon.
        success: Whether the episode ended in success.

    Returns:
        (T,) advantages.
    """
    if not len(stamps):
        return np.zeros(0)
    ahead = np.searchsorted(stamps, stamps + (n_steps - 1e-3) / rate_hz)
    ahead = np.minimum(ahead, len(stamps) - 1)
    reached = np.asarray(values, np.float64).copy()
    if success:
        reached[-1] = 0.0
    return _gain(stamps, values, reached, np.arange(len(stamps)), ahead, gamma, rate_hz)


def lookback(
    stamps: FloatArray,
    values: FloatArray,
    *,
    gamma: float,
    rate_hz: float,
    n_steps: int = N_STEPS,
) -> FloatArray:
    """Advantage of the last n steps up to each frame: what a live node can know.

    Args and unit are those of :func:`lookahead`; NaN until n steps have passed.
    """
    if not len(stamps):
        return np.zeros(0)
    before = np.searchsorted(stamps, stamps - (n_steps - 1e-3) / rate_hz, side='right') - 1
    now = np.arange(len(stamps))
    out = _gain(stamps, values, values, np.maximum(before, 0), now, gamma, rate_hz)
    return np.where(before >= 0, out, np.nan)


def threshold(advantages: FloatArray, positive_ratio: float = POSITIVE_RATIO) -> float:
    """Return the advantage from which on a frame counts as improvement, NaN without frames."""
    finite = np.asarray(advantages)[np.isfinite(advantages)]
    return float(np.quantile(finite, 1.0 - positive_ratio)) if finite.size else float('nan')


def _gain(
    stamps: FloatArray,
    values: FloatArray,
    reached: FloatArray,
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    gamma: float,
    rate_hz: float,
) -> FloatArray:
    steps = (stamps[end] - stamps[start]) * rate_hz
    kept = np.power(gamma, steps)
    cost = steps if gamma == 1.0 else (1.0 - kept) / (1.0 - gamma)
    return np.asarray(kept * reached[end] - cost - np.asarray(values)[start], np.float64)
