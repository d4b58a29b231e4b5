# SPDX-License-Identifier: Apache-2.0
"""The paper's first table with ours beside it, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table as RichTable

from vvf.offline.methods import METHODS
from vvf.rollouts import wilson
from vvf.stored_results import StoredResult
from vvf.viz.result_tables.cells import Theirs, parse_theirs
from vvf.viz.result_tables.papers import read_papers

_TABLE = 'vptr_table_1'


def counts(
    results: Sequence[StoredResult], method: str, scenario: str
) -> tuple[int, int, tuple[float, float]]:
    """Successes and episodes of all seeds, and Wilson's interval (0, 1 without episodes)."""
    some = [r for r in results if (r.method, r.condition) == (method, scenario)]
    successes, episodes = sum(r.successes for r in some), sum(r.episodes for r in some)
    return successes, episodes, wilson(successes, episodes)


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
            successes, episodes, (low, high) = counts(results, method, scenario)
            said = f'{successes} of {episodes}, {low:.2f} to {high:.2f}' if episodes else '-'
            paper = theirs.get((method, scenario))
            if paper:
                said += f' [{paper.successes} of {paper.trials}]'
            cells.append(said.replace('[', '\\['))
        table.add_row(method, *cells)
    for method in methods:
        table.caption = f'{table.caption or ""}{method}: {METHODS[method].says}. '
    return table
