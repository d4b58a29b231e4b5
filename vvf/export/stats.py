# SPDX-License-Identifier: Apache-2.0
"""Statistics of features as LeRobot keeps them: by episode, and of all episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Stats = dict[str, Any]

_QUANTILES = {'q01': 0.01, 'q10': 0.1, 'q50': 0.5, 'q90': 0.9, 'q99': 0.99}
_SIDE = 128


class ImageStats:
    """Of every frame of a camera, at most 128 pixels a side, exactly: it counts grey levels."""

    def __init__(self) -> None:
        self._levels = np.zeros((3, 256), np.int64)
        self._frames = 0

    def add(self, image: npt.NDArray[np.uint8]) -> None:
        """Count the pixels of an (H, W, 3) image."""
        step = max(1, -(-max(image.shape[:2]) // _SIDE))
        pixels = image[::step, ::step]
        for channel in range(3):
            self._levels[channel] += np.bincount(pixels[..., channel].ravel(), minlength=256)
        self._frames += 1

    def result(self) -> Stats:
        """Lists of shape (3, 1, 1), in [0, 1]."""
        grey = np.arange(256) / 255.0
        share = self._levels / self._levels.sum(axis=1, keepdims=True)
        mean = share @ grey
        found = [np.flatnonzero(levels) for levels in self._levels]
        below = np.cumsum(share, axis=1)
        columns = {
            'min': np.array([grey[levels[0]] for levels in found]),
            'max': np.array([grey[levels[-1]] for levels in found]),
            'mean': mean,
            'std': np.sqrt(np.maximum(0.0, share @ grey**2 - mean**2)),
        }
        for name, quantile in _QUANTILES.items():
            levels = [int(np.searchsorted(row, quantile - 1e-12)) for row in below]
            columns[name] = grey[np.minimum(levels, 255)]
        stats = {name: values.reshape(3, 1, 1).tolist() for name, values in columns.items()}
        return {**stats, 'count': [self._frames]}


def vector_stats(rows: npt.NDArray[Any]) -> Stats:
    """Of (T, D) or (T,) numbers: lists of D.

    NaN, which a label may hold, does not count; what is NaN throughout has the statistics of 0.
    """
    values = np.asarray(rows, np.float64).reshape(len(rows), -1)
    values = np.where(np.isfinite(values), values, np.nan)
    values[:, np.isnan(values).all(axis=0)] = 0.0
    stats = {
        'min': np.nanmin(values, axis=0),
        'max': np.nanmax(values, axis=0),
        'mean': np.nanmean(values, axis=0),
        'std': np.nanstd(values, axis=0),
        **{name: np.nanquantile(values, q, axis=0) for name, q in _QUANTILES.items()},
    }
    return {**{name: value.tolist() for name, value in stats.items()}, 'count': [len(values)]}


def combined(episodes: Sequence[Mapping[str, Stats]]) -> dict[str, Stats]:
    """Of all episodes: exact but for the quantiles, which are weighted means as in LeRobot."""
    result = {}
    for feature in episodes[0] if episodes else ():
        parts = [episode[feature] for episode in episodes]
        counts = np.array([part['count'][0] for part in parts], np.float64)
        columns = {
            name: np.array([part[name] for part in parts]) for name in parts[0] if name != 'count'
        }
        weights = (counts / counts.sum()).reshape(-1, *[1] * (columns['mean'].ndim - 1))
        mean = (weights * columns['mean']).sum(axis=0)
        spread = columns['std'] ** 2 + (columns['mean'] - mean) ** 2
        total = {
            'min': columns['min'].min(axis=0),
            'max': columns['max'].max(axis=0),
            'mean': mean,
            'std': np.sqrt((weights * spread).sum(axis=0)),
            **{name: (weights * columns[name]).sum(axis=0) for name in _QUANTILES},
        }
        result[feature] = {
            **{name: value.tolist() for name, value in total.items()},
            'count': [int(counts.sum())],
        }
    return result
