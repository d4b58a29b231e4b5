# SPDX-License-Identifier: Apache-2.0
"""What stands in a cell: the paper's number, and ours over all training seeds.

Success rates are those of the pooled episodes of all seeds, with an interval that knows that all
seeds meet the same layouts (`vvf.success_interval`). It does not know how much trainings differ, so
the least and the largest rate stand beside. Other numbers are means over seeds, with the least and
the largest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vvf.stored_results import StoredResult
from vvf.success_interval import layout_interval, success_ratio
from vvf.viz.result_tables.papers import (
    KEYS,
    SUCCESS,
    Column,
    Figure,
    Paper,
    Row,
    Table,
    Theirs,
    parse_theirs,
)


@dataclass(frozen=True)
class Ours:
    """Results of one method under one condition, of one task and robot, over all seeds.

    Attributes:
        results: What it is made of, by seed.
        measure: 'success', or the name of a number.
        values: For each seed; a success rate in percent, and NaN where a number is unknown.
    """

    results: tuple[StoredResult, ...]
    measure: str
    values: tuple[float, ...]

    @property
    def known(self) -> list[float]:
        """The values that are finite."""
        return [value for value in self.values if math.isfinite(value)]

    @property
    def episodes(self) -> int:
        """Of all seeds."""
        return sum(result.episodes for result in self.results)

    @property
    def successes(self) -> int:
        """Of all seeds."""
        return sum(result.successes for result in self.results)

    @property
    def value(self) -> float:
        """The pooled success rate in percent, or the mean of a number; NaN if there is none."""
        if self.measure == SUCCESS:
            return 100 * self.successes / self.episodes if self.episodes else math.nan
        return sum(self.known) / len(self.known) if self.known else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Of the pooled success rate in percent; of a number, the least and the largest seed."""
        if self.measure == SUCCESS:
            low, high = layout_interval(self.results)
            return 100 * low, 100 * high
        return (min(self.known), max(self.known)) if self.known else (math.nan, math.nan)


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        theirs: The paper's; None where it has none.
        ours: More than one where results differ in something that the table leaves open, such as
            the robot.
        wanted: Which results belong here; None where none can, e.g. a real object.
        unit: Of its numbers; '%' of success rates.
        measure: What it shows.
    """

    theirs: Theirs | None
    ours: tuple[Ours, ...]
    wanted: Mapping[str, str] | None
    unit: str
    measure: str

    @property
    def is_missing(self) -> bool:
        """Whether a result belongs here and is not there."""
        return self.wanted is not None and not self.ours

    def apart(self, ours: Ours) -> list[str]:
        """What tells one of `ours` from the others: nothing where there is one."""
        found = []
        for key in KEYS:
            values = {str(getattr(other.results[0], key)) for other in self.ours}
            if len(values) > 1:
                found.append(str(getattr(ours.results[0], key)))
        return found


def fill_table(paper: Paper, table: Table, results: Sequence[StoredResult]) -> list[list[Cell]]:
    """The cells of a table: a list for each row."""
    return [
        [
            _cell(paper, row, column, index, table.measure, table.unit, results)
            for index, column in enumerate(table.columns)
        ]
        for row in table.rows
    ]


def fill_figure(paper: Paper, figure: Figure, results: Sequence[StoredResult]) -> list[list[Cell]]:
    """The cells of a figure: a list for each panel, with a cell for each line."""
    measure = SUCCESS if figure.kind == 'improvement' else figure.y
    return [
        [_cell(paper, row, line, i, measure, '', results) for i, line in enumerate(figure.lines)]
        for row in figure.panels
    ]


def same_world(better: Cell, base: Cell) -> list[tuple[str, Ours, Ours]]:
    """Results of two methods that may be compared: of one task, robot and condition.

    Returns:
        For each pair what tells it from other pairs, '' where it is the only one, and both results.
    """
    found = []
    for ours in better.ours:
        for other in base.ours:
            first, second = ours.results[0], other.results[0]
            if all(getattr(first, key) == getattr(second, key) for key in KEYS if key != 'method'):
                found.append((', '.join(better.apart(ours)), ours, other))
    return found


def improvement(better: Ours, base: Ours) -> tuple[float, float, float]:
    """By how many percent one success rate is above another, with a 95 % interval.

    Of the layouts that both met (`vvf.success_interval`).

    Returns:
        The improvement in percent, its lower and its upper limit.
    """
    ratio, low, high = success_ratio(better.results, base.results)
    return 100 * (ratio - 1), 100 * (low - 1), 100 * (high - 1)


def _cell(
    paper: Paper, row: Row, column: Column, index: int, measure: str, unit: str,
    results: Sequence[StoredResult],
) -> Cell:  # fmt: skip
    measure = column.measure or measure
    unit = '%' if measure == SUCCESS else column.unit or unit
    theirs = parse_theirs(row.paper[index]) if row.paper else None
    if row.where is None or column.where is None:
        return Cell(theirs, (), None, unit, measure)
    wanted = {'experiment': paper.experiment, **row.where, **column.where}
    groups: dict[tuple[str, ...], list[StoredResult]] = {}
    for result in results:
        if all(getattr(result, key) == value for key, value in wanted.items()):
            # What the table does not tell apart is not thrown together.
            groups.setdefault(tuple(getattr(result, key) for key in KEYS), []).append(result)
    ours = (_ours(group, measure) for _, group in sorted(groups.items()))
    return Cell(theirs, tuple(one for one in ours if one is not None), wanted, unit, measure)


def _ours(group: Sequence[StoredResult], measure: str) -> Ours | None:
    """None where none of the results has what is asked for."""
    ordered = sorted(group, key=lambda result: result.seed)
    if measure == SUCCESS:
        kept = [result for result in ordered if result.episodes]
        values = [100 * result.successes / result.episodes for result in kept]
    else:
        kept = [result for result in ordered if measure in result.numbers]
        said = [result.numbers[measure] for result in kept]
        # Of a curve, its end counts.
        values = [(v[-1] if v else math.nan) if isinstance(v, list) else v for v in said]
    return Ours(tuple(kept), measure, tuple(values)) if kept else None
