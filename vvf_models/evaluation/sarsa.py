# SPDX-License-Identifier: Apache-2.0
"""How well a value of the data's own behaviour can be fitted on frozen features.

V-PTR (arXiv 2309.13041, section 5.5 and figure 6, right) fits a SARSA value on frozen
representations, which has a closed form, and reports its error on held-out data. Its reward,
discount and features' size are not told. Here the reward is 1 on reaching the goal and nothing
else, γ = .98: the return is γ^(steps left) in successes and 0 in failures. Frames after the goal
are left out, as the value there is no news and their number would weigh in the fit. The value is
linear in the standardised features, and the closed form is that of least-squares temporal
differences (Bradtke and Barto 1996) with a ridge, whose strength is chosen on a part of the
training episodes. Every episode is judged by a fit that has not seen it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vvf_models.evaluation.bootstrap import Bootstrap

Floats = NDArray[np.floating]
Indices = NDArray[np.int64]

DISCOUNT = 0.98
_FOLDS = 5
_COMPONENTS = 256
_WIDEST = 1024
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def goal_steps(length: int, success: bool | None, success_index: int) -> float:
    """The step at which the goal is reached; infinity in a failure.

    A clip that nobody labelled counts as one that reaches its goal at its end.
    """
    if success is False:
        return math.inf
    return float(success_index) if success and success_index >= 0 else float(length - 1)


def returns(length: int, reached: float, discount: float = DISCOUNT) -> Floats:
    """(T,) the discounted return of an episode that reaches the goal at its last step, or never."""
    if math.isinf(reached):
        return np.zeros(length)
    return np.asarray(discount ** (reached - np.arange(length)))


def fit(
    features: Sequence[Floats], reached: Sequence[float], ridge: float, discount: float = DISCOUNT
) -> Floats:
    """The weights (L + 1,) of the linear SARSA value, that of the constant last.

    V(s) = r + γ V(s') along the data; at the goal r = 1; there and at the end of a failure there is
    no V(s').

    Args:
        features: Per episode, (T, L).
        reached: Per episode, from `goal_steps`.
        ridge: Relative to the mean square of the features.
        discount: γ.
    """
    size = features[0].shape[1] + 1
    gram, reward = np.zeros((size, size)), np.zeros(size)
    for part, goal in zip(features, reached, strict=True):
        rows = _with_constant(part)
        arrived = np.arange(len(rows)) == goal
        following = np.zeros_like(rows)
        following[:-1] = rows[1:]
        gram += rows.T @ (rows - discount * following)
        reward += rows.T @ arrived.astype(float)
    frames = sum(len(part) for part in features)
    penalty = np.full(size, ridge * frames)
    penalty[-1] = 0.0
    return np.asarray(np.linalg.lstsq(gram + np.diag(penalty), reward, rcond=None)[0])


def predict(features: Floats, weights: Floats) -> Floats:
    """(T,) values of (T, L) features."""
    return np.asarray(_with_constant(features) @ weights)


def _with_constant(features: Floats) -> Floats:
    return np.concatenate([features, np.ones((len(features), 1))], 1).astype(np.float64)


def held_out_values(
    features: Sequence[Floats], reached: Sequence[float], *, seed: int = 0
) -> list[Floats]:
    """Per episode, (T,) values by a fit on the episodes of the other folds.

    Features are standardised and, where there are more than 256, reduced to as many principal
    components, both by the training episodes; more than 1024 are mixed at random into as many
    before, since components of tens of thousands take minutes.
    """
    features = _narrowed(features, seed)
    order = np.random.default_rng([seed, 6]).permutation(len(features))
    result: list[Floats] = [np.zeros(0)] * len(features)
    for fold in np.array_split(order, min(_FOLDS, len(features))):
        training = np.setdiff1d(order, fold)
        project = _projection([features[e] for e in training])
        small = [project(part) for part in features]
        inner = np.random.default_rng([seed, 7]).permutation(training)
        some, rest = np.split(inner, [max(1, len(inner) // _FOLDS)])
        errors = [_error(small, reached, rest, some, ridge) for ridge in _RIDGES]
        best = _RIDGES[int(np.argmin(errors))]
        weights = fit([small[e] for e in training], [reached[e] for e in training], best)
        for e in fold:
            result[e] = predict(small[e], weights)
    return result


def _error(
    features: Sequence[Floats],
    reached: Sequence[float],
    training: Indices,
    judged: Indices,
    ridge: float,
) -> float:
    if not len(training):
        return 0.0
    weights = fit([features[e] for e in training], [reached[e] for e in training], ridge)
    parts = [
        (predict(features[e], weights) - returns(len(features[e]), reached[e])) ** 2 for e in judged
    ]
    return float(np.concatenate(parts).mean())


def _narrowed(features: Sequence[Floats], seed: int) -> Sequence[Floats]:
    width = features[0].shape[1]
    if width <= _WIDEST:
        return features
    rng = np.random.default_rng([seed, 8])
    mix = rng.standard_normal((width, _WIDEST), np.float32) / math.sqrt(width)
    return [np.asarray(part, np.float32) @ mix for part in features]


class _Projection:
    """Standardised features, or their main components."""

    def __init__(self, mean: Floats, matrix: Floats) -> None:
        self.mean, self.matrix = mean, matrix

    def __call__(self, features: Floats) -> Floats:
        return np.asarray((features - self.mean) @ self.matrix)


def _projection(features: Sequence[Floats]) -> _Projection:
    rows = np.concatenate(list(features)).astype(np.float64)
    mean, std = rows.mean(0), rows.std(0)
    scale = np.where(std > 1e-6 * max(float(std.max()), 1e-12), 1 / np.maximum(std, 1e-12), 0.0)
    if rows.shape[1] <= _COMPONENTS:
        return _Projection(mean, np.diag(scale))
    whitened = (rows - mean) * scale
    strengths, directions = np.linalg.eigh(whitened.T @ whitened / len(rows))
    main = directions[:, ::-1][:, :_COMPONENTS]
    spread = np.sqrt(np.maximum(strengths[::-1][:_COMPONENTS], 1e-9))
    return _Projection(mean, scale[:, None] * main / spread)


def sarsa_metrics(
    features: Sequence[Floats],
    success: Sequence[bool | None],
    success_index: Sequence[int],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """The fitting error on held-out episodes.

    Args:
        features: Per episode, (T, L), from a frozen encoder.
        success: Outcome per episode, None if nobody labelled it.
        success_index: First frame in which the task is done, -1 where there is none.
        bootstrap: Resamples for the intervals, 0 for none.
        seed: Of folds and resampling.

    Returns:
        `sarsa_error`, the root of the mean squared error of the return (which lies in [0, 1]), and
        `sarsa_unexplained`, that mean square as a share of the return's variance: 1 is no better
        than a constant.

    Raises:
        ValueError: There are fewer than four episodes.
    """
    if len(features) < 4:
        raise ValueError('a fit judged on held-out episodes needs at least four of them')
    reached = [
        goal_steps(len(part), outcome, index)
        for part, outcome, index in zip(features, success, success_index, strict=True)
    ]
    features = [
        part if math.isinf(goal) else part[: int(goal) + 1]
        for part, goal in zip(features, reached, strict=True)
    ]
    fitted = held_out_values(features, reached, seed=seed)
    truth = [returns(len(part), goal) for part, goal in zip(features, reached, strict=True)]
    lengths = np.array([float(len(part)) for part in features])
    squares = np.array([((f - t) ** 2).sum() for f, t in zip(fitted, truth, strict=True)])
    spread = np.concatenate(truth)
    resample = Bootstrap(success, bootstrap, seed)
    mean_square = resample.ratio(squares, lengths)
    centred = np.array([((t - spread.mean()) ** 2).sum() for t in truth])
    unexplained = resample.ratio(squares, centred)
    result = {
        'sarsa_error': math.sqrt(mean_square.value),
        'sarsa_unexplained': unexplained.value,
    }
    if bootstrap:
        result |= {
            'sarsa_error_low': math.sqrt(mean_square.low),
            'sarsa_error_high': math.sqrt(mean_square.high),
            'sarsa_unexplained_low': unexplained.low,
            'sarsa_unexplained_high': unexplained.high,
        }
    return result
