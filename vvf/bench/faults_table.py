# SPDX-License-Identifier: Apache-2.0
"""The results of a campaign as a table: fault, reaction, time to hold, what was counted."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 3  # reasons in a cell
# What a policy's ordinary steps are counted as, too.
_ORDINARY = ('velocity_limit', 'acceleration_limit')


def summarise(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each kind of fault, by name.

    Returns:
        Rows with `kind`, `reaction`, `count`, `bound_s`, `hold_s_median`, `hold_s_worst`,
        `recovered_s_median`, `recovered_s_worst`, `counted` (a sum by reason), `messages_lost`,
        `bags_without_an_end` and `violations`; times are `None` where there are none.
    """
    rows = []
    for kind in sorted({result['kind'] for result in results}):
        mine = [result for result in results if result['kind'] == kind]
        counted: dict[str, int] = {}
        for result in mine:
            for reason, count in result['counted'].items():
                counted[reason] = counted.get(reason, 0) + count
        row = {
            'kind': kind,
            'reaction': mine[0]['reaction'],
            'count': len(mine),
            'bound_s': mine[0]['bound_s'],
            'counted': counted,
            'messages_lost': sum(result['lost'] for result in mine),
            'bags_without_an_end': sum(not result['complete'] for result in mine),
            'violations': sum(len(result['violations']) for result in mine),
        }
        for key in ('hold_s', 'recovered_s'):
            known = [result[key] for result in mine if result[key] is not None]
            row[f'{key}_median'] = round(statistics.median(known), 3) if known else None
            row[f'{key}_worst'] = max(known, default=None)
        rows.append(row)
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table for a page."""
    head = (
        'fault', 'the arm', 'stands after, s: median', 'worst', 'allowed', 'moves again after, s',
        'counted as', 'faults', 'violations',
    )  # fmt: skip
    lines = [f'| {" | ".join(head)} |', '|---|---|---:|---:|---:|---:|---|---:|---:|']
    for row in rows:
        cells = [row['kind'], row['reaction']]
        times = ('hold_s_median', 'hold_s_worst', 'bound_s', 'recovered_s_median')
        cells += ['-' if row[key] is None else f'{row[key]:.2f}' for key in times]
        counted = row['counted']
        often = sorted(counted, key=lambda reason: -counted[reason])
        telling = [reason for reason in often if reason not in _ORDINARY] or often
        cells += [', '.join(telling[:_SHOWN]) or '-']
        cells += [str(row['count']), str(row['violations'])]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
