# SPDX-License-Identifier: Apache-2.0
"""What the rollouts of a policy come to, and which of two policies is the better one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vvf.rollouts.job import Rollout
from vvf.rollouts.rates import wilson


def summary(rollouts: Sequence[Rollout], rate_hz: float, reset_s: float = 0.0) -> dict[str, Any]:
    """Numbers of a policy, with stable keys.

    Args:
        rollouts: of one policy; at least one.
        rate_hz: of actions.
        reset_s: time of an episode that the robot spends between two, for the successes per hour.

    Returns:
        milestones: the share of episodes that reached each; milestones_mean: how often on
        average, which differs where one can be reached several times; errors: the share of
        episodes that made each; interventions: how often the stand-in took over, in all;
        human_share: of all steps; successes_alone: those without a person; falls: how often the
        gate noticed one, in all; the other keys say what they are.
    """
    count = len(rollouts)
    successes = sum(r.success for r in rollouts)
    low, high = wilson(successes, count)
    steps = sum(r.steps for r in rollouts)
    hours = (steps / rate_hz + reset_s * count) / 3600.0
    disturbed = [r for r in rollouts if math.isfinite(r.disturbed_at)]
    return {
        'episodes': count,
        'successes': successes,
        'success_rate': successes / count,
        'wilson_low': low,
        'wilson_high': high,
        'successes_per_hour': successes / hours if hours else math.nan,
        'interventions': sum(r.takeovers for r in rollouts),
        'successes_alone': sum(r.success and not r.takeovers for r in rollouts),
        'human_share': sum(r.human_steps for r in rollouts) / steps if steps else 0.0,
        'steps_mean': steps / count,
        'failures': dict(Counter(r.failure_kind for r in rollouts if not r.success)),
        'milestones': _shares([r.milestones for r in rollouts]),
        'milestones_mean': _means([r.milestones for r in rollouts]),
        'errors': _shares([r.errors for r in rollouts]),
        'falls': sum(len(r.falls) for r in rollouts),
        'episodes_with_falls': sum(bool(r.falls) for r in rollouts),
        'disturbed': len(disturbed),
    }


def in_words(numbers: Mapping[str, Any]) -> list[str]:
    """What a person reads of a policy."""
    low, high = numbers['wilson_low'], numbers['wilson_high']
    lines = [
        f'{numbers["policy"]}: {numbers["successes"]} of {numbers["episodes"]} succeed (95 % '
        f'interval {low:.2f} to {high:.2f}), {numbers["steps_mean"]:.1f} steps on average, '
        f'{numbers["successes_per_hour"]:.0f} successes per hour'
    ]
    for name in ('milestones', 'errors'):
        mean = numbers['milestones_mean'] if name == 'milestones' else {}
        parts = []
        for event, share in numbers[name].items():
            often = mean.get(event, share)
            times = f' ({often:.1f} each)' if often > share + 0.005 else ''
            parts.append(f'{event} {share:.0%}{times}')
        if parts:
            lines.append(f'  {name}, share of episodes: ' + ', '.join(parts))
    failures = sorted(numbers['failures'].items(), key=lambda item: -item[1])
    if failures:
        lines.append('  failures: ' + ', '.join(f'{count} {kind}' for kind, count in failures))
    if numbers['interventions']:
        lines.append(
            f'  interventions: {numbers["interventions"]}, {numbers["human_share"]:.0%} of the '
            f'steps; {numbers["successes_alone"]} succeed without'
        )
    if numbers['falls']:
        episodes = numbers['episodes_with_falls']
        lines.append(f'  falls of the value: {numbers["falls"]}, in {episodes} episodes')
    if numbers['disturbed']:
        lines.append(f'  disturbed: {numbers["disturbed"]} episodes')
    return lines


@dataclass(frozen=True)
class Comparison:
    """Two policies on the same seeds.

    Attributes:
        episodes: seeds that both were tried on.
        only_first: where only the first succeeded.
        only_second: where only the second did.
        difference: success rate of the second less that of the first.
        low: of its 95 % interval.
        high: of it.
        p_value: of McNemar's exact test that neither is better.
    """

    episodes: int
    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p_value: float


def compare(first: Sequence[Rollout], second: Sequence[Rollout], z: float = 1.96) -> Comparison:
    """Compare on the seeds that both have.

    The interval is Agresti and Min's (2005, "Simple improved confidence intervals for comparing
    matched proportions"): Wald's with half an episode added to each of the four outcomes.
    """
    from scipy.stats import binomtest

    others = {r.seed: r.success for r in second}
    pairs = [(r.success, others[r.seed]) for r in first if r.seed in others]
    count = len(pairs)
    b = sum(one and not other for one, other in pairs)
    c = sum(other and not one for one, other in pairs)
    n = count + 2.0
    middle = (c - b) / n
    half = z * math.sqrt(b + c + 1.0 - (c - b) ** 2 / n) / n
    return Comparison(
        episodes=count,
        only_first=b,
        only_second=c,
        difference=(c - b) / count if count else math.nan,
        low=max(-1.0, middle - half),
        high=min(1.0, middle + half),
        p_value=float(binomtest(b, b + c).pvalue) if b + c else 1.0,
    )


def _counts(named: Sequence[Sequence[str]]) -> Counter[str]:
    # In the order in which they were first met.
    return Counter(name for names in named for name in names)


def _shares(named: Sequence[Sequence[str]]) -> dict[str, float]:
    names = _counts(named)
    return {name: sum(name in each for each in named) / len(named) for name in names}


def _means(named: Sequence[Sequence[str]]) -> Mapping[str, float]:
    return {name: n / len(named) for name, n in _counts(named).items()}
