# SPDX-License-Identifier: Apache-2.0
"""Are errors noticed? An alarm on a falling value, its detections, false alarms and delay.

An alarm is on while the value is lower, by more than a threshold, than the best of the last
seconds. The threshold is set so that a wanted share of flawless successes has no alarm at all, on
other episodes than those it is judged on: even and odd episodes set it for each other. An error
counts as noticed if the alarm is on at its frame or within a second after it, so an alarm that was
on before it, for whatever reason, counts, too; the false alarms say how much that can matter.
Nobody watches a task that is done: after success_index an alarm is neither right nor false.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.episode import Event
from vvf_models.evaluation.bootstrap import Bootstrap, Estimate
from vvf_models.evaluation.events import window_frames

Values = NDArray[np.floating]


@dataclass(frozen=True)
class AlarmRules:
    """What an alarm is.

    Attributes:
        memory_s: Seconds whose best value the present one is compared with.
        within_s: Seconds after an error in which it has to be noticed.
        false_alarm_share: Share of flawless successes that may have an alarm.
    """

    memory_s: float = 2.0
    within_s: float = 1.0
    false_alarm_share: float = 0.05


def falls(values: Values, memory: int) -> Values:
    """(T,) how far each value lies below the best of the `memory` frames before it; at least 0."""
    padded = np.concatenate([np.full(memory, -np.inf), values])
    best = np.lib.stride_tricks.sliding_window_view(padded, memory + 1).max(1)
    return np.asarray(best - values)


def alarm_threshold(largest: Sequence[float] | Values, share: float) -> float:
    """The fall that at most a share of flawless episodes exceeds.

    Args:
        largest: The largest fall of each episode to set it by.
        share: Of further episodes like them, how many may exceed it, on average (a conformal
            quantile). Too few episodes for so small a share give the largest fall of all.

    Returns:
        Infinity without episodes: no alarm is ever raised.
    """
    if not len(largest):
        return math.inf
    rank = math.ceil((len(largest) + 1) * (1 - share))
    return float(np.sort(largest)[min(rank, len(largest)) - 1])


@dataclass(frozen=True)
class Noticed:
    """Whether an error was noticed, and seconds until then (NaN if not)."""

    episode: int
    event: Event
    delay_s: float

    @property
    def seen(self) -> bool:
        """Whether it was."""
        return math.isfinite(self.delay_s)


@dataclass(frozen=True)
class Alarms:
    """What the alarm did.

    Attributes:
        falls: Per episode, (T,), or up to where the task is done.
        thresholds: Per episode, the threshold that other episodes set.
        noticed: The errors.
        flawless: Successes without an error, whose alarms are false.
        loud: Per error, the largest fall in its window.
        quiet: The same in every equally long window of flawless successes.
        quiet_episodes: The episode of each.
    """

    falls: list[Values]
    thresholds: Values
    noticed: list[Noticed]
    flawless: NDArray[np.int64]
    loud: Values
    quiet: Values
    quiet_episodes: NDArray[np.int64]


def raise_alarms(
    values: Sequence[Values],
    events: Sequence[Sequence[Event]],
    rates: Sequence[float] | Values,
    success: Sequence[bool | None],
    success_index: Sequence[int],
    rules: AlarmRules | None = None,
) -> Alarms:
    """Sets thresholds crosswise and applies them.

    Episodes without a known rate take part in nothing. Arguments as of `events.event_metrics` and
    `value_metrics.value_metrics`.
    """
    rules = rules or AlarmRules()
    count = len(values)
    timed = [math.isfinite(rate) for rate in rates]
    ends = [
        index + 1 if index >= 0 else len(v) for index, v in zip(success_index, values, strict=True)
    ]
    down = [
        falls(values[e][: ends[e]], window_frames(rates[e], rules.memory_s) if timed[e] else 1)
        for e in range(count)
    ]
    flawless = np.array(
        [
            e
            for e in range(count)
            if success[e] is True and timed[e] and all(k.kind != 'error' for k in events[e])
        ],
        np.int64,
    )
    # By rank among themselves, so that both halves have as many.
    halves = np.arange(count) % 2
    halves[flawless] = np.arange(len(flawless)) % 2
    thresholds = np.zeros(count)
    for half in (0, 1):
        others = [float(down[e].max()) for e in flawless if halves[e] != half]
        thresholds[halves == half] = alarm_threshold(others, rules.false_alarm_share)
    noticed: list[Noticed] = []
    loud: list[float] = []
    quiet: list[tuple[float, int]] = []
    for e in range(count):
        if not timed[e]:
            continue
        frames = window_frames(rates[e], rules.within_s)
        for event in events[e]:
            if event.kind == 'error' and event.frame < len(down[e]):
                window = down[e][event.frame : event.frame + frames + 1]
                hits = np.flatnonzero(window > thresholds[e])
                delay = float(hits[0] / rates[e]) if len(hits) else math.nan
                noticed.append(Noticed(e, event, delay))
                loud.append(float(window.max()))
        if e in flawless:
            starts = range(0, max(1, len(down[e]) - frames), frames + 1)
            quiet += [(float(down[e][s : s + frames + 1].max()), e) for s in starts]
    return Alarms(
        down,
        thresholds,
        noticed,
        flawless,
        np.array(loud),
        np.array([fall for fall, _ in quiet]),
        np.array([episode for _, episode in quiet], np.int64),
    )


def alarm_metrics(
    values: Sequence[Values],
    events: Sequence[Sequence[Event]],
    rates: Sequence[float] | Values,
    success: Sequence[bool | None],
    success_index: Sequence[int],
    rules: AlarmRules | None = None,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """How many errors are noticed, how soon, and at what price.

    Arguments as of `raise_alarms` and `value_metrics`.

    Returns:
        `errors_noticed` and `errors_noticed_<name>` (shares), `alarm_delay_s` (median of those
        noticed), `false_alarm_share` (flawless successes with an alarm; the one wanted is
        `false_alarm_share_wanted`), `false_alarms_per_minute` (alarms going on, on them), and
        `error_auc`, free of any threshold: the largest fall in an error's window against that in
        equally long windows of flawless successes.
    """
    rules = rules or AlarmRules()
    alarms = raise_alarms(values, events, rates, success, success_index, rules)
    resample = Bootstrap(success, bootstrap, seed)
    count = len(values)
    result: dict[str, float] = {'flawless_successes': len(alarms.flawless)}

    def add(name: str, estimate: Estimate) -> None:
        result.update(estimate.entries(name) if bootstrap else {name: estimate.value})

    names = sorted({item.event.name for item in alarms.noticed})
    for name, wanted in [('', names), *((f'_{n}', [n]) for n in names)]:
        seen, total = np.zeros(count), np.zeros(count)
        for item in alarms.noticed:
            if item.event.name in wanted:
                seen[item.episode] += item.seen
                total[item.episode] += 1
        add(f'errors_noticed{name}', resample.ratio(seen, total))
    delays = [(item.delay_s, item.episode) for item in alarms.noticed if item.seen]
    late = np.array([delay for delay, _ in delays])
    owners = np.array([episode for _, episode in delays], np.int64)
    add('alarm_delay_s', resample.of(late, owners, lambda part: float(np.median(part))))
    any_alarm, onsets, minutes = np.zeros(count), np.zeros(count), np.zeros(count)
    for e in alarms.flawless:
        on = alarms.falls[e] > alarms.thresholds[e]
        any_alarm[e] = on.any()
        onsets[e] = np.count_nonzero(np.diff(on.astype(int), prepend=0) > 0)
        minutes[e] = len(on) / rates[e] / 60
    result['false_alarm_share_wanted'] = rules.false_alarm_share
    add('false_alarm_share', resample.mean(any_alarm, alarms.flawless))
    add('false_alarms_per_minute', resample.ratio(onsets, minutes))
    owners = np.array([item.episode for item in alarms.noticed], np.int64)
    add('error_auc', resample.auc(alarms.loud, alarms.quiet, owners, alarms.quiet_episodes))
    return result


def noticed_against_false(alarms: Alarms) -> tuple[Values, Values]:
    """Both rates at every threshold, for a curve.

    The same threshold for all episodes, so the curve describes these episodes; what a threshold is
    worth on others, only `alarm_metrics` says.

    Returns:
        False alarms (share of flawless successes) and errors noticed, from the highest threshold.
    """
    largest = np.array([float(alarms.falls[e].max()) for e in alarms.flawless])
    thresholds = np.unique(np.concatenate([largest, alarms.loud, [0.0]]))[::-1]
    false = np.array([(largest > t).mean() if len(largest) else math.nan for t in thresholds])
    seen = np.array([(alarms.loud > t).mean() if len(alarms.loud) else 0.0 for t in thresholds])
    return false, seen
