# SPDX-License-Identifier: Apache-2.0
"""The paper's first table with ours beside it, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table as RichTable

from vvf.offline.methods import METHODS
from vvf.stored_results import StoredResult
from vvf.success_interval import layout_interval
from vvf.viz.result_tables.papers import Theirs, parse_theirs, read_papers

_TABLE = 'vptr_table_1'


@dataclass(frozen=True)
class Counts:
    """How a method did in a scenario, with all its seeds.

    Attributes:
        successes: of all seeds.
        episodes: of all seeds.
        by_seed: successes of each seed, in their order.
        interval: of the rate, 95 %, see `vvf.success_interval`; (0, 1) without episodes.
    """

    successes: int
    episodes: int
    by_seed: tuple[int, ...]
    interval: tuple[float, float]


def counts(results: Sequence[StoredResult], method: str, scenario: str) -> Counts:
    """Of those results that are of the method and the scenario."""
    some = [r for r in results if (r.method, r.condition) == (method, scenario)]
    some.sort(key=lambda result: result.seed)
    return Counts(
        successes=sum(r.successes for r in some),
        episodes=sum(r.episodes for r in some),
        by_seed=tuple(r.successes for r in some),
        interval=layout_interval(some),
    )


def paper_numbers() -> Mapping[tuple[str, str], Theirs]:
    """What table 1 of the paper says, by method and scenario."""
    found = {}
    for paper in read_papers(None):
        for table in paper.tables:
            for row in table.rows if table.name == _TABLE else ():
                for column, said in zip(table.columns, row.paper, strict=True):
                    theirs = parse_theirs(said)
                    if theirs and row.where and column.where:
                        found[column.where['method'], row.where['condition']] = theirs
    return found


def table_of(
    results: Sequence[StoredResult], methods: Sequence[str], scenarios: Sequence[str]
) -> RichTable:
    """A row for each method, a column for each scenario, all seeds together."""
    theirs = paper_numbers()
    table = RichTable(title="Successes with 95 % intervals; in brackets V-PTR's table 1 (real arm)")
    table.add_column('method')
    for scenario in scenarios:
        table.add_column(scenario)
    for method in methods:
        cells = []
        for scenario in scenarios:
            ours = counts(results, method, scenario)
            low, high = ours.interval
            said = f'{ours.successes} of {ours.episodes}, {low:.2f} to {high:.2f}'
            if len(ours.by_seed) > 1:
                said += f' (seeds: {" ".join(str(count) for count in ours.by_seed)})'
            said = said if ours.episodes else '-'
            paper = theirs.get((method, scenario))
            if paper:
                said += f' [{paper.successes} of {paper.trials}]'
            cells.append(said.replace('[', '\\['))
        table.add_row(method, *cells)
    for method in methods:
        table.caption = f'{table.caption or ""}{method}: {METHODS[method].says}. '
    return table
