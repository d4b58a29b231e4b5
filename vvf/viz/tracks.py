# SPDX-License-Identifier: Apache-2.0
"""What a value model said along an episode, and what stands out in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def _none() -> Numbers:
    return np.zeros(0)


@dataclass(frozen=True)
class Track:
    """One model along one episode.

    Attributes:
        name: What the page calls it, such as 'live'.
        times: (N,) seconds since the episode's first frame, rising.
        progress: (N,) in [0, 1], or NaN.
        value: (N,) in the model's unit; (0,) where it is not known, as the two below.
        advantage: (N,) in the unit of value.
        uncertainty: (N,) in the unit of value.
    """

    name: str
    times: Numbers
    progress: Numbers
    value: Numbers = field(default_factory=_none)
    advantage: Numbers = field(default_factory=_none)
    uncertainty: Numbers = field(default_factory=_none)

    def __len__(self) -> int:
        return len(self.times)

    def __bool__(self) -> bool:
        return bool(np.isfinite(self.progress).any())

    @property
    def end(self) -> float:
        """The last finite progress; NaN without any."""
        finite = self.progress[np.isfinite(self.progress)]
        return float(finite[-1]) if len(finite) else math.nan

    def at(self, rows: npt.NDArray[np.intp]) -> Track:
        """Only some of the samples."""
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name != 'name'}
        return replace(self, **{k: v[rows] if len(v) else v for k, v in columns.items()})

    def thinned(self, most: int) -> Track:
        """At most so many samples: the extremes of every stretch, so no fall is smoothed away."""
        if len(self) <= most:
            return self
        kept = {0, len(self) - 1}
        filled = np.nan_to_num(self.progress, nan=0.0)
        for part in np.array_split(np.arange(len(self)), max(1, (most - 2) // 2)):
            kept |= {int(part[filled[part].argmin()]), int(part[filled[part].argmax()])}
        return self.at(np.array(sorted(kept)))


class Fall(NamedTuple):
    """How far progress fell, from its best until when; all 0 where it never does."""

    size: float = 0.0
    begin: float = 0.0
    end: float = 0.0


def largest_fall(track: Track) -> Fall:
    """The largest fall of progress below what had been reached before.

    The best may lie any time back: an episode that goes wrong slowly has gone wrong, too.
    """
    finite = np.isfinite(track.progress)
    times, progress = track.times[finite], track.progress[finite]
    if not len(progress):
        return Fall()
    falls = np.maximum.accumulate(progress) - progress
    low = int(falls.argmax())
    if falls[low] <= 0:
        return Fall()
    high = int(progress[: low + 1].argmax())
    return Fall(float(falls[low]), float(times[high]), float(times[low]))


def spearman_with_time(track: Track) -> float:
    """Rank correlation of progress with time; NaN for fewer than three points or a flat curve."""
    finite = np.isfinite(track.progress)
    if finite.sum() < 3:
        return math.nan
    a, b = _ranks(track.times[finite]), _ranks(track.progress[finite])
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / spread if spread else math.nan


def _ranks(values: Numbers) -> Numbers:
    """Ranks from 0, ties sharing their mean."""
    _, groups, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return np.asarray((last - (counts - 1) / 2)[groups], np.float64)
