# SPDX-License-Identifier: Apache-2.0
"""Advantage and improvement indicator from a series of values.

After the n-step advantage of RECAP (arXiv 2511.14759) and Evo-RL (``n_step``, ``positive_ratio``),
with the dense reward of the value model itself. A value here is minus the discounted number of
steps to the goal, times what a step costs in the model's unit (1 for an ICVF, 1 over the
normaliser for returns in [-1, 0]); so the reward is minus that cost c per step and, with s steps
from frame t to frame u,

    A = -c (1 - gamma^s) / (1 - gamma) + gamma^s V(u) - V(t),

where the fraction is s for a gamma of 1.

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
    step_cost: float = 1.0,
    end_value: float | None = None,
) -> FloatArray:
    """Advantage of each frame over the next n steps: what training uses.

    Near the end the horizon is cut to the last frame.

    Args:
        stamps: (T,) seconds, rising.
        values: (T,) in the model's unit.
        gamma: The model's discount per step.
        rate_hz: Steps per second of the data the model was trained on.
        n_steps: Horizon.
        step_cost: What a step costs in the model's unit.
        end_value: What the last frame is known to be worth: 0 at the end of a success, and what a
            failure costs for a model that counts it; None: the model's own value.

    Returns:
        (T,) advantages.
    """
    if not len(stamps):
        return np.zeros(0)
    ahead = np.searchsorted(stamps, stamps + (n_steps - 1e-3) / rate_hz)
    ahead = np.minimum(ahead, len(stamps) - 1)
    reached = np.asarray(values, np.float64).copy()
    if end_value is not None:
        reached[-1] = end_value
    now = np.arange(len(stamps))
    return _gain(stamps, values, reached, now, ahead, gamma, rate_hz, step_cost)


def lookback(
    stamps: FloatArray,
    values: FloatArray,
    *,
    gamma: float,
    rate_hz: float,
    n_steps: int = N_STEPS,
    step_cost: float = 1.0,
) -> FloatArray:
    """Advantage of the last n steps up to each frame: what a live node can know.

    Args and unit are those of :func:`lookahead`; NaN until n steps have passed.
    """
    if not len(stamps):
        return np.zeros(0)
    before = np.searchsorted(stamps, stamps - (n_steps - 1e-3) / rate_hz, side='right') - 1
    now = np.arange(len(stamps))
    start = np.maximum(before, 0)
    out = _gain(stamps, values, values, start, now, gamma, rate_hz, step_cost)
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
    step_cost: float,
) -> FloatArray:
    steps = (stamps[end] - stamps[start]) * rate_hz
    kept = np.power(gamma, steps)
    cost = steps if gamma == 1.0 else (1.0 - kept) / (1.0 - gamma)
    gain = kept * reached[end] - step_cost * cost - np.asarray(values)[start]
    return np.asarray(gain, np.float64)
