# SPDX-License-Identifier: Apache-2.0
"""What a value gate would have said in rollouts that were only watched, and how right it was.

A gate that does nothing changes nothing, so that one watched rollout tells of every bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vvf.rollouts.job import Rollout
from vvf.rollouts.rates import wilson
from vvf.value_gate import GateConfig, ValueGate

#: Seconds after a disturbance within which a fall counts as noticed.
WITHIN_S = 1.0


@dataclass(frozen=True)
class Judged:
    """How right a gate was with one bound.

    Attributes:
        drop: the bound.
        disturbed: episodes in which the disturbance came about.
        noticed: of these, those with a fall within `WITHIN_S` after it.
        low: of the 95 % interval of that share.
        high: of it.
        delay_s: median of the time from a disturbance to its fall; NaN without.
        clean: undisturbed episodes that succeeded without an error.
        false_alarms: falls in them.
    """

    drop: float
    disturbed: int
    noticed: int
    low: float
    high: float
    delay_s: float
    clean: int
    false_alarms: int

    @property
    def share(self) -> float:
        """Noticed in time, of those that came about."""
        return self.noticed / self.disturbed if self.disturbed else math.nan

    @property
    def false_per_100(self) -> float:
        """False alarms in a hundred clean episodes."""
        return 100.0 * self.false_alarms / self.clean if self.clean else math.nan


def falls_of(rollout: Rollout, config: GateConfig, period_s: float) -> list[float]:
    """Stamps (s) at which a gate that only reports would have noticed a fall.

    Args:
        rollout: with its progress.
        config: of the gate; whatever it is to do, here it only reports.
        period_s: between two observations.
    """
    gate = ValueGate(replace(config, reaction='report'))
    stamps = [index * period_s for index in range(len(rollout.progress))]
    seen = zip(stamps, rollout.progress, strict=True)
    return [stamp for stamp, progress in seen if gate.see(stamp, progress) is not None]


def judge(
    disturbed: Sequence[Rollout],
    undisturbed: Sequence[Rollout],
    config: GateConfig,
    period_s: float,
) -> Judged:
    """How right a gate is.

    Args:
        disturbed: watched rollouts; those whose disturbance never came about are passed over.
        undisturbed: the same without a disturbance; those in which the policy itself erred are
            passed over, as noticing that is no false alarm.
        config: of the gate.
        period_s: between two observations.
    """
    came = [r for r in disturbed if math.isfinite(r.disturbed_at)]
    delays = []
    for rollout in came:
        after = (stamp - rollout.disturbed_at for stamp in falls_of(rollout, config, period_s))
        # The value of the very frame in which it began cannot tell of it yet, and its stamp is of
        # the physics' clock, which is not that of the falls to the last digit.
        delays += [delay for delay in after if period_s / 2 < delay <= WITHIN_S + 1e-6][:1]
    clean = [r for r in undisturbed if r.success and not r.errors]
    return Judged(
        config.drop,
        len(came),
        len(delays),
        *wilson(len(delays), len(came)),
        delay_s=float(np.median(delays)) if delays else math.nan,
        clean=len(clean),
        false_alarms=sum(len(falls_of(r, config, period_s)) for r in clean),
    )


def best_bound(judged: Sequence[Judged], most_false: float) -> Judged:
    """The bound that notices most among those with few enough false alarms in 100 episodes.

    Of equals the largest. Where all have too many, the one that has fewest.

    Args:
        judged: one for each bound; at least one.
        most_false: false alarms that are put up with.
    """
    few = [each for each in judged if each.false_per_100 <= most_false]
    if not few:
        return min(judged, key=lambda each: (each.false_per_100, -each.drop))
    return max(few, key=lambda each: (each.share, each.drop))
