# SPDX-License-Identifier: Apache-2.0
"""What the live plot remembers, and what the numbers of one value model mean on its axes.

A `ValueEstimate` carries neither the model's map from value to progress nor the scale of its
advantages. Both are learnt here from the estimates themselves.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_KEEP = 36_000  # twenty minutes at 30 Hz
_PAIRS = 256


class History:
    """The last values in plain arrays, oldest first; appending never copies more than it must."""

    COLUMNS = ('t', 'progress', 'uncertainty', 'advantage')

    def __init__(self, keep: int = _KEEP) -> None:
        self._keep = keep
        self._rows = np.empty((2 * keep, len(self.COLUMNS)))
        self._first = self._end = 0

    def __len__(self) -> int:
        return self._end - self._first

    def clear(self) -> None:
        """Forget everything."""
        self._first = self._end = 0

    def append(self, *row: float) -> None:
        """Add a row; the oldest goes when there are more than are kept."""
        if self._end == len(self._rows):
            kept = self._rows[self._first : self._end].copy()
            self._rows[: len(kept)] = kept
            self._first, self._end = 0, len(kept)
        self._rows[self._end] = row
        self._end += 1
        self._first = max(self._first, self._end - self._keep)

    def since(self, t: float) -> FloatArray:
        """The rows (N, 4) from time `t` on; the columns are `COLUMNS`."""
        rows = self._rows[self._first : self._end]
        return rows[np.searchsorted(rows[:, 0], t) :]

    @property
    def newest(self) -> FloatArray | None:
        """The last row (4,), or None before the first."""
        return self._rows[self._end - 1] if len(self) else None


class ProgressMap:
    """A model's monotone map from value to progress, from the pairs that it has published.

    Between two known values the map is taken as straight, beyond them as going on as it ended.
    """

    def __init__(self) -> None:
        self._values: list[float] = []
        self._progress: list[float] = []

    def learn(self, value: float, progress: float) -> None:
        """Add a pair; the nearest one is given up where there are too many."""
        # Progress that is cut off at 0 or 1 says nothing about how the map goes on.
        if not (math.isfinite(value) and 0.0 < progress < 1.0):
            return
        at = bisect_left(self._values, value)
        near = self._values[max(0, at - 1) : at + 1]
        span = self._values[-1] - self._values[0] if self._values else 0.0
        if any(abs(value - known) <= span / _PAIRS for known in near):
            return  # between two that are so near, the slope would be rounding
        self._values.insert(at, value)
        self._progress.insert(at, progress)
        if len(self._values) > _PAIRS:
            inner = np.diff(self._values)
            crowded = 1 + int(np.argmin(inner[:-1] + inner[1:]))
            del self._values[crowded], self._progress[crowded]

    def __call__(self, value: float) -> float:
        """Progress of a value, NaN before two pairs are known; not cut to [0, 1]."""
        values, progress = self._values, self._progress
        if len(values) < 2 or not math.isfinite(value):
            return math.nan
        at = min(max(bisect_left(values, value), 1), len(values) - 1)
        low, high = values[at - 1], values[at]
        slope = (progress[at] - progress[at - 1]) / (high - low)
        return progress[at - 1] + slope * (value - low)

    def half_width(self, value: float, uncertainty: float) -> float:
        """An uncertainty in the unit of the value as one in progress; NaN where there is none."""
        return abs(self(value + uncertainty) - self(value - uncertainty)) / 2.0


def strength(advantages: FloatArray) -> FloatArray:
    """Advantages in a model's own unit as -1 (much worse) to 1 (much better).

    Full strength is what nine of ten do not reach, so that one outlier does not make all others
    pale. NaN stays NaN.
    """
    size = np.abs(advantages[np.isfinite(advantages)])
    full = float(np.quantile(size, 0.9)) if size.size else 0.0
    if full <= 0.0:
        return np.where(np.isfinite(advantages), 0.0, np.nan)
    return np.asarray(np.clip(advantages / full, -1.0, 1.0))
