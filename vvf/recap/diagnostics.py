# SPDX-License-Identifier: Apache-2.0
"""What a value model's indicator is worth, before any policy is trained on it.

RECAP's policy learns from what the indicator says and from nothing else of the value, so a value
that looks fine as a curve may still be useless here: where failures get as many positives as
successes, where the frames before a mistake are positive, or where the threshold is a matter of
which episodes happened to be in the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.recap.doubts import doubts
from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.evaluation.bootstrap import Bootstrap, Estimate
from vvf_models.evaluation.events import window_frames
from vvf_models.training.indicators import Indicators

Numbers = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

QUARTERS = 4
AROUND_S = 3.0  # seconds shown before and after an error
BEFORE_S = 1.0  # frames so long before an error made it
_REPEATS = 300
_OUTCOMES = (('successes', SUCCESS), ('failures', FAILURE))
_LEAST = 5  # frames that a share takes


@dataclass
class Diagnosis:
    """What was found.

    Attributes:
        numbers: For `--json`, with stable snake_case keys.
        warnings: One sentence for each reason to distrust the indicator.
        advantages: By outcome, those of the judged frames.
        thresholds: By instruction, and by batch where there are several: the threshold and its
            95 % interval over episodes.
        quarters: By outcome, the share of positives in each quarter of the episodes.
        reached: By outcome, the share of positives after 0, 1, 2, ... milestones; NaN for few.
        around_errors: Seconds, the share of positives there, and how many errors.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    advantages: dict[str, Numbers] = field(default_factory=dict)
    thresholds: dict[str, Estimate] = field(default_factory=dict)
    quarters: dict[str, Numbers] = field(default_factory=dict)
    reached: dict[str, Numbers] = field(default_factory=dict)
    around_errors: tuple[Numbers, Numbers, int] = (np.zeros(0), np.zeros(0), 0)


def diagnose(store: FrameStore, found: Indicators, positive_ratio: float) -> Diagnosis:
    """Looks at an indicator.

    Frames after the one in which the task is done, demonstrations and what a human did count
    nowhere: they take no part in the threshold.

    Args:
        store: Whose frames they are.
        found: Their advantages and thresholds.
        positive_ratio: The share that was asked for.
    """
    judged = found.judged
    positive = np.asarray(found.advantages >= found.limits[store.episode_of])
    boot = Bootstrap([str(outcome) for outcome in store.outcome], _REPEATS)
    seen = Diagnosis()
    numbers = seen.numbers
    counts = _per_episode(store, judged)
    numbers |= {
        'episodes': int((counts > 0).sum()),
        'successes': int(((store.outcome == SUCCESS) & (counts > 0)).sum()),
        'failures': int(((store.outcome == FAILURE) & (counts > 0)).sum()),
        'frames': int(judged.sum()),
        'positive_ratio': positive_ratio,
        'share': found.share,
        'share_strict': found.share_strict,
        'episodes_at_threshold': _episodes_at_threshold(store, found),
        'forced_frames': found.forced,
        'thresholds': dict(found.thresholds),
    }
    _outcomes(seen, store, found, positive, boot)
    _phases(seen, store, positive & judged, judged)
    _errors(seen, store, found, positive, boot)
    _thresholds(seen, store, found, positive_ratio, boot)
    seen.warnings = doubts(numbers, seen.quarters)
    numbers['warnings'] = list(seen.warnings)
    return seen


def _episodes_at_threshold(store: FrameStore, found: Indicators) -> int:
    """How many episodes have an advantage that is their threshold."""
    at = found.judged & (found.advantages == found.limits[store.episode_of])
    return len(np.unique(store.episode_of[at]))


def _per_episode(store: FrameStore, frames: Mask) -> Numbers:
    return np.bincount(store.episode_of[frames], minlength=store.n_episodes).astype(float)


def _outcomes(
    seen: Diagnosis, store: FrameStore, found: Indicators, positive: Mask, boot: Bootstrap
) -> None:
    outcome = store.outcome[store.episode_of]
    parts = {}
    for name, code in _OUTCOMES:
        frames = found.judged & (outcome == code)
        parts[name] = _share(store, positive, frames, boot)
        seen.advantages[name] = found.advantages[frames]
        seen.numbers |= parts[name].entries(f'share_in_{name}')
    unknown = found.judged & (outcome != SUCCESS) & (outcome != FAILURE)
    if unknown.any():
        seen.advantages['unlabelled'] = found.advantages[unknown]
    good, bad = (seen.advantages[name] for name, _ in _OUTCOMES)
    seen.numbers['auc_of_advantages'] = _auc(good, bad)


def _share(store: FrameStore, positive: Mask, frames: Mask, boot: Bootstrap) -> Estimate:
    """Of some frames that are positive, with its interval over episodes."""
    return boot.ratio(_per_episode(store, positive & frames), _per_episode(store, frames))


def _auc(good: Numbers, bad: Numbers) -> float:
    """P(an advantage of a success is above one of a failure), by ranks."""
    if not len(good) or not len(bad):
        return math.nan
    order = np.sort(bad)
    below = np.searchsorted(order, good, 'left') + np.searchsorted(order, good, 'right')
    return float(below.mean() / (2 * len(bad)))


def _phases(seen: Diagnosis, store: FrameStore, positive: Mask, judged: Mask) -> None:
    offset = np.arange(store.n_frames) - np.repeat(store.starts, store.lengths)
    # To the last frame that is judged: those of humans may lie between.
    last = np.maximum.reduceat(np.where(judged, offset + 1, 0), store.starts)
    length = np.repeat(last, store.lengths)
    quarter = np.minimum(QUARTERS * offset / np.maximum(length, 1), QUARTERS - 1).astype(int)
    reached = _milestones_before(store)
    outcome = store.outcome[store.episode_of]
    for name, code in _OUTCOMES:
        frames = judged & (outcome == code)
        if not frames.any():
            continue
        seen.quarters[name] = _shares_by(quarter, positive, frames, QUARTERS)
        most = int(reached[frames].max()) + 1
        seen.reached[name] = _shares_by(reached, positive, frames, most)
    everywhere = np.bincount(quarter[positive], minlength=QUARTERS)
    seen.numbers['share_by_quarter'] = {k: v.tolist() for k, v in seen.quarters.items()}
    seen.numbers['share_by_milestones'] = {k: v.tolist() for k, v in seen.reached.items()}
    seen.numbers['positives_by_quarter'] = (everywhere / max(1, everywhere.sum())).tolist()


def _milestones_before(store: FrameStore) -> npt.NDArray[np.int64]:
    """How many milestones were reached up to each frame (N,)."""
    steps = np.zeros(store.n_frames, np.int64)
    for start, events in zip(store.starts, store.events, strict=True):
        for event in events:
            if event.kind == 'milestone':
                steps[start + event.frame] += 1
    total = np.cumsum(steps)
    before = np.concatenate([[0], total])[store.starts]
    return np.asarray(total - np.repeat(before, store.lengths))


def _shares_by(group: npt.NDArray[np.int64], positive: Mask, frames: Mask, count: int) -> Numbers:
    every = np.bincount(group[frames], minlength=count)[:count]
    good = np.bincount(group[frames & positive], minlength=count)[:count]
    return np.where(every >= _LEAST, good / np.maximum(every, 1), np.nan)


def _errors(
    seen: Diagnosis, store: FrameStore, found: Indicators, positive: Mask, boot: Bootstrap
) -> None:
    rate = float(np.nanmedian(store.rates)) if np.isfinite(store.rates).any() else math.nan
    before = np.zeros(store.n_frames, bool)
    rows: list[Numbers] = []
    if math.isfinite(rate):
        steps = np.arange(-window_frames(rate, AROUND_S), window_frames(rate, AROUND_S) + 1)
        made_it = window_frames(rate, BEFORE_S)
        for start, count, events in zip(store.starts, store.lengths, store.events, strict=True):
            for event in events:
                if event.kind == 'error' and found.judged[start + event.frame]:
                    before[start + max(0, event.frame - made_it) : start + event.frame] = True
                    rows.append(_row(positive, found.judged, start, count, event.frame + steps))
        if rows:
            table = np.stack(rows)
            known = np.isfinite(table).sum(0)
            curve = np.where(known, np.nansum(table, 0) / np.maximum(known, 1), np.nan)
            seen.around_errors = (steps / rate, curve, len(rows))
    before &= found.judged
    seen.numbers['errors'] = len(rows)
    seen.numbers |= _share(store, positive, before, boot).entries('share_before_errors')
    elsewhere = _share(store, positive, found.judged & ~before, boot)
    seen.numbers |= elsewhere.entries('share_elsewhere')


def _row(positive: Mask, judged: Mask, start: int, count: int, at: npt.NDArray[Any]) -> Numbers:
    inside = (at >= 0) & (at < count)
    frames = start + np.clip(at, 0, count - 1)
    return np.where(inside & judged[frames], positive[frames].astype(float), np.nan)


def _thresholds(
    seen: Diagnosis, store: FrameStore, found: Indicators, ratio: float, boot: Bootstrap
) -> None:
    """How far the threshold moves with the episodes, and how many frames lie in between."""
    group = np.array(found.groups)[store.episode_of]
    between = total = 0
    for name, threshold in found.thresholds.items():
        frames = found.judged & (group == name)
        advantages = found.advantages[frames]
        estimate = Estimate(threshold)
        if len(advantages):
            estimate = boot.of(advantages, store.episode_of[frames], _quantile(ratio))
        seen.thresholds[name] = estimate
        between += int(((advantages >= estimate.low) & (advantages < estimate.high)).sum())
        total += len(advantages)
    seen.numbers['threshold_intervals'] = {n: [e.low, e.high] for n, e in seen.thresholds.items()}
    seen.numbers['share_between'] = between / total if total else math.nan


def _quantile(ratio: float) -> Any:
    return lambda samples: float(np.quantile(samples, 1.0 - ratio))
