# SPDX-License-Identifier: Apache-2.0
"""How a value moves at annotated events: the event scores of ViVa (arXiv 2604.08168).

The score of event k is d_k (V_after - V_before) / (|V_before| + ε) with d_k = 1 at milestones and
-1 at errors; MS and ES are its means, MDR and ErrDR the shares above 0. The paper leaves open the
window and ε. Here V_before and V_after are the means over the second before the event's frame and
over the second that begins with it, cut at the ends of the episode; ε is a twentieth of the spread
of all values (their 5th to 95th percentile), so that it has the value's own unit. The values of all
our models are 0 at the goal and fall with what is left to do; the score is the share of that by
which the event moves it. MDR and ErrDR depend on neither choice of unit nor of ε.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.episode import Event
from vvf_models.evaluation.bootstrap import Bootstrap

Values = NDArray[np.floating]

_EPSILON = 0.05
_SIGNS = {'milestone': 1.0, 'error': -1.0}
_NAMES = {
    'milestone': ('milestone_score_mean', 'milestone_detection'),
    'error': ('error_score_mean', 'error_detection'),
}


@dataclass(frozen=True)
class EventScore:
    """The score of one event of an episode."""

    episode: int
    event: Event
    score: float


def window_frames(rate_hz: float, seconds: float) -> int:
    """How many frames a window spans; at least one."""
    return max(1, round(rate_hz * seconds))


def event_scores(
    values: Sequence[Values],
    events: Sequence[Sequence[Event]],
    rates: Sequence[float] | Values,
    *,
    window_s: float = 1.0,
) -> list[EventScore]:
    """The scores of milestones and errors.

    Events without a kind, in the first frame, after the last one, or in an episode without a known
    rate are left out.

    Args:
        values: Per episode, (T,).
        events: Per episode, what happened.
        rates: Per episode, frames per second.
        window_s: Seconds before and after the event.
    """
    if not values:
        return []
    low, high = np.percentile(np.concatenate(list(values)), [5, 95])
    epsilon = max(_EPSILON * float(high - low), 1e-9)
    scores = []
    for episode, (series, happened, rate) in enumerate(zip(values, events, rates, strict=True)):
        for event in happened:
            inside = 0 < event.frame < len(series)
            if event.kind not in _SIGNS or not inside or not math.isfinite(rate):
                continue
            frames = window_frames(rate, window_s)
            before = float(np.mean(series[max(0, event.frame - frames) : event.frame]))
            after = float(np.mean(series[event.frame : event.frame + frames]))
            score = _SIGNS[event.kind] * (after - before) / (abs(before) + epsilon)
            scores.append(EventScore(episode, event, score))
    return scores


def event_metrics(
    values: Sequence[Values],
    events: Sequence[Sequence[Event]],
    rates: Sequence[float] | Values,
    success: Sequence[bool | None],
    *,
    window_s: float = 1.0,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """MS, ES, MDR and ErrDR, with the number of events; NaN where there are none.

    `<milestone|error>_detection_<name>` are the shares among the events of a name, of which there
    are `<milestones|errors>_<name>`. Intervals are by resampling episodes. Arguments as of
    `event_scores` and `value_metrics`.
    """
    scores = event_scores(values, events, rates, window_s=window_s)
    resample = Bootstrap(success, bootstrap, seed)
    count = len(values)
    result: dict[str, float] = {}
    for kind, (score_name, detection_name) in _NAMES.items():
        some = [s for s in scores if s.event.kind == kind]
        result[f'{kind}s'] = len(some)
        names = sorted({s.event.name for s in some})
        result |= {f'{kind}s_{n}': sum(s.event.name == n for s in some) for n in names}
        groups = [(score_name, some), (detection_name, some)]
        groups += [(f'{detection_name}_{n}', [s for s in some if s.event.name == n]) for n in names]
        for name, members in groups:
            sums, counts = np.zeros(count), np.zeros(count)
            for item in members:
                counts[item.episode] += 1
                sums[item.episode] += item.score if name == score_name else item.score > 0
            estimate = resample.ratio(sums, counts)
            result |= estimate.entries(name) if bootstrap else {name: estimate.value}
    return result
