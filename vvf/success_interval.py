# SPDX-License-Identifier: Apache-2.0
"""How sure a success rate is that several training seeds share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vvf.rollouts.rates import wilson
from vvf.stored_results import StoredResult

#: Of a stored result: whether each layout succeeded, 1 or 0, in the order of their seeds.
LAYOUTS = 'success_by_layout'


def layout_interval(results: Sequence[StoredResult]) -> tuple[float, float]:
    """A 95 % interval of the success rate over layouts, for the policies that were trained.

    All seeds meet the same layouts, and a hard one is hard for all of them, so that episodes of
    several seeds tell less than as many on layouts of their own. It is Wilson's interval of the
    effective number of episodes, p (1 - p) / v, where v is the variance of the mean over layouts
    (Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of
    positive counts"): at least the layouts, at most the episodes. Of one seed it is Wilson's.
    Results that do not say how each layout went count as if all seeds had gone alike.

    Returns:
        Its ends; (0, 1) without results.
    """
    if not results:
        return 0.0, 1.0
    episodes = sum(r.episodes for r in results)
    rate = sum(r.successes for r in results) / episodes if episodes else 0.0
    layouts = max(r.episodes for r in results)
    found = [r.numbers.get(LAYOUTS) for r in results]
    rows = [row for row in found if isinstance(row, list) and len(row) == layouts]
    effective = float(layouts)
    if len(rows) == len(results) and layouts > 1:
        of_layout = np.mean(rows, axis=0)
        variance = float(of_layout.var(ddof=1)) / layouts
        of_one = rate * (1 - rate)
        if of_one > variance * episodes:
            effective = float(episodes)
        elif variance:
            effective = max(effective, of_one / variance)
    return wilson(rate * effective, effective)
