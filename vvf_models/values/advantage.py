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

An episode of RECAP and Evo-RL ends with success, but a recording goes on: the arm draws back, and
values sink or stay below 0. So from the frame in which the task is done (`done`) V(u) is 0, as at a
terminal state, and steps cost nothing; V(t) stays the model's. Such a frame has the advantage
-V(t), as the last frame of a success has in both, whatever the model makes of the arm that leaves.
Thresholds are taken of the frames up to it only (`until_done`), since theirs know no others.
"""

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
    done: int = -1,
    limit: npt.NDArray[np.int64] | None = None,
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
        end_value: What the last frame is known to be worth, such as what a failure costs for a
            model that counts it; None: the model's own value.
        done: First frame in which the task is done, -1 where there is none.
        limit: (T,) frame that each may look to at most; None: the last.

    Returns:
        (T,) advantages.
    """
    if not len(stamps):
        return np.zeros(0)
    ahead = np.searchsorted(stamps, stamps + (n_steps - 1e-3) / rate_hz)
    ahead = np.minimum(ahead, len(stamps) - 1 if limit is None else limit)
    reached = np.asarray(values, np.float64).copy()
    if end_value is not None:
        reached[-1] = end_value
    stamps, reached = _ended(stamps, reached, done)
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
    done: int = -1,
) -> FloatArray:
    """Advantage of the last n steps up to each frame: what a live node can know.

    Args and unit are those of :func:`lookahead`; NaN until n steps have passed.
    """
    if not len(stamps):
        return np.zeros(0)
    before = np.searchsorted(stamps, stamps - (n_steps - 1e-3) / rate_hz, side='right') - 1
    now = np.arange(len(stamps))
    start = np.maximum(before, 0)
    stamps, reached = _ended(stamps, np.asarray(values, np.float64).copy(), done)
    out = _gain(stamps, values, reached, start, now, gamma, rate_hz, step_cost)
    return np.where(before >= 0, out, np.nan)


def until_done(advantages: FloatArray, done: int = -1) -> FloatArray:
    """The advantages that a threshold is taken of: up to the frame in which the task is done."""
    return advantages if done < 0 else advantages[: done + 1]


def threshold(advantages: FloatArray, positive_ratio: float = POSITIVE_RATIO) -> float:
    """Return the advantage from which on a frame counts as improvement, NaN without frames."""
    finite = np.asarray(advantages)[np.isfinite(advantages)]
    return float(np.quantile(finite, 1.0 - positive_ratio)) if finite.size else float('nan')


def _ended(stamps: FloatArray, reached: FloatArray, done: int) -> tuple[FloatArray, FloatArray]:
    """Time stands still, and is worth 0, once the task is done."""
    if done >= 0:
        stamps = np.minimum(stamps, stamps[done])
        reached[done:] = 0.0
    return stamps, reached


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
