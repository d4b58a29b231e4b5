# SPDX-License-Identifier: Apache-2.0
"""Reasons to distrust an indicator, a sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating]

# From where on a number is worth a warning.
_TIES = 0.05  # more positives by >= than by >
_UNSTABLE = 0.10  # of the frames, between the ends of the threshold's interval
_CROWDED = 0.60  # of all positives in one quarter of the episodes
_STARVED = 0.10  # of a quarter of the successes
_LEAST = 5  # episodes or errors


def doubts(numbers: Mapping[str, Any], quarters: Mapping[str, Numbers]) -> list[str]:
    """What makes an indicator look useless.

    Args:
        numbers: of a diagnosis.
        quarters: by outcome, the share of positives in each quarter of the episodes.
    """
    said = []
    good, bad = numbers['share_in_successes'], numbers['share_in_failures']
    if min(numbers['successes'], numbers['failures']) < _LEAST:
        said.append(
            f'There are {numbers["successes"]} successes and {numbers["failures"]} failures: too '
            'few to say whether the indicator tells them apart.'
        )
    elif numbers['share_in_failures_high'] >= numbers['share_in_successes_low']:
        said.append(
            f'Positives are about as frequent in failures ({bad:.0%}) as in successes '
            f'({good:.0%}): the indicator does not say what succeeds.'
        )
    # Frames whose windows do not fit have one advantage by design, an episode's at a time.
    several = numbers['episodes_at_threshold'] > len(numbers['thresholds'])
    if several and numbers['share'] - numbers['share_strict'] > _TIES:
        said.append(
            f'Many advantages are equal: {numbers["share"]:.0%} are positive by ">=" and '
            f'{numbers["share_strict"]:.0%} by ">"; the value is flat.'
        )
    if numbers['share_between'] > _UNSTABLE:
        said.append(
            f'The threshold depends on the episodes: {numbers["share_between"]:.0%} of the frames '
            'lie within its interval; collect more.'
        )
    if numbers['errors'] >= _LEAST and (
        numbers['share_before_errors'] >= numbers['share_elsewhere']
    ):
        said.append(
            f'Frames just before an error are as often positive '
            f'({numbers["share_before_errors"]:.0%}) as others ({numbers["share_elsewhere"]:.0%}): '
            'the policy is taught the mistakes.'
        )
    shares: Sequence[float] = numbers['positives_by_quarter']
    if max(shares) > _CROWDED:
        said.append(
            f'{max(shares):.0%} of all positives lie in quarter {int(np.argmax(shares)) + 1} of '
            'the episodes: the others are hardly taught.'
        )
    lost = quarters.get('failures', np.zeros(0))
    if np.isfinite(lost).all() and len(lost) and lost[-1] > 2 * max(lost[:-1].max(), _STARVED):
        said.append(
            f'{lost[-1]:.0%} of the last quarter of failures are positive: their end looks like '
            'progress, since nothing is left that can be lost.'
        )
    won = quarters.get('successes', np.zeros(0))
    if np.isfinite(won).all() and len(won) and won.min() < _STARVED:
        said.append(
            f'In quarter {int(won.argmin()) + 1} of the successes only {won.min():.0%} '
            'are positive: what to do there is taught by demonstrations and corrections alone.'
        )
    return said
