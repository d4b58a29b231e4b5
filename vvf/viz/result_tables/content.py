# SPDX-License-Identifier: Apache-2.0
"""All tables filled, what is missing, and the words in their cells; for a page or for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from vvf.stored_results import StoredResult
from vvf.viz import canvas
from vvf.viz.result_tables.cells import (
    Cell,
    Ours,
    fill_figure,
    fill_table,
    improvement,
    same_world,
)
from vvf.viz.result_tables.figures import draw_bars, draw_curves, draw_improvement
from vvf.viz.result_tables.papers import KEYS, SUCCESS, Figure, Paper, Table, Theirs, columns, rows

INTRODUCTION = (
    "Each cell has the paper's number above and ours below. Success rates are those of the pooled "
    'episodes of all training seeds, with a 95 % interval for seeds that all met the same layouts; '
    'the least and the largest seed stand beside. Other numbers are means over seeds. '
    "The papers' robots, tasks, data and trainings are larger than ours: compare methods within a "
    'row, not ours with theirs.'
)
HEAD_OF_RUNS = ('method', 'condition', 'task', 'robot', 'seed', 'succeed', 'machine', 'time',
                'command')  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A table or a figure, filled.

    Attributes:
        spec: What it is.
        cells: A list for each row or panel.
        picture: Of it, if there is one.
        missing: What makes the cells that are missing: (command, what they are).
    """

    spec: Table | Figure
    cells: list[list[Cell]]
    picture: canvas.Figure | None
    missing: list[tuple[str, str]]

    @property
    def runs(self) -> list[StoredResult]:
        """The results that it is made of."""
        found: dict[int, StoredResult] = {}
        for line in self.cells:
            for cell in line:
                for ours in cell.ours:
                    found |= {id(result): result for result in ours.results}
        return list(found.values())


@dataclass(frozen=True)
class Content:
    """What is written: for each paper its parts, and the results that belong to none."""

    papers: list[tuple[Paper, list[Part]]]
    left: list[StoredResult]


def fill(papers: Sequence[Paper], results: Sequence[StoredResult]) -> Content:
    """Fill all tables and draw all figures.

    Raises:
        UserError: A curve has more or fewer steps than numbers.
    """
    filled = [(paper, _parts(paper, results)) for paper in papers]
    used = {id(run) for _, parts in filled for part in parts for run in part.runs}
    return Content(filled, [result for result in results if id(result) not in used])


def said_of_theirs(theirs: Theirs, unit: str) -> str:
    """A paper's number in words."""
    if theirs.trials:
        return f'{theirs.successes} of {theirs.trials}, {theirs.value:.0f} %'
    return f'{short(theirs.value)} {unit}'.rstrip()


def said_of_ours(ours: Ours, unit: str) -> tuple[str, list[str]]:
    """Our number in words, and what it rests on, line by line."""
    low, high = ours.interval
    several = len(ours.values) > 1
    counted = f'{len(ours.values)} seed{"s" if several else ""}'
    if ours.measure == SUCCESS:
        spread = f': {min(ours.values):.0f} to {max(ours.values):.0f}' if several else ''
        return (
            f'{ours.successes} of {ours.episodes}, {ours.value:.0f} %',
            [f'{low:.0f} to {high:.0f}', counted + spread],
        )
    if ours.episodes:
        counted += f', {ours.episodes} episodes'
    if not ours.known:
        return 'never', [counted]
    if len(ours.known) < len(ours.values):
        counted = f'{len(ours.known)} of {counted}'
    between = [f'{short(low)} to {short(high)}'] if len(ours.known) > 1 else []
    return f'{short(ours.value)} {unit}'.rstrip(), [*between, counted]


def rows_of_improvement(part: Part) -> list[tuple[str, str]]:
    """For each panel of a figure of improvements, its name and the percentage in words."""
    if not isinstance(part.spec, Figure) or part.spec.kind != 'improvement':
        return []
    found = []
    for row, line in zip(rows(part.spec), part.cells, strict=True):
        for apart, better, base in same_world(*line[:2]):
            middle, low, high = improvement(better, base)
            name = ', '.join(filter(None, (row.label, apart)))
            found.append((name, f'{middle:+.0f} % ({low:+.0f} to {high:+.0f})'))
    return found


def row_of_run(run: StoredResult) -> tuple[str, ...]:
    """A result as a row below `HEAD_OF_RUNS`."""
    succeed = f'{run.successes} of {run.episodes}' if run.episodes else ''
    time = f'{run.seconds / 60:.1f} min' if math.isfinite(run.seconds) else ''
    return (
        run.method, run.condition, run.task, run.robot, str(run.seed), succeed, run.machine, time,
        run.command,
    )  # fmt: skip


def numbers_of_run(run: StoredResult) -> str:
    """The further numbers of a result that are no curves, in words."""
    pairs = [(k, v) for k, v in run.numbers.items() if not isinstance(v, list)]
    return ', '.join(f'{key} {short(value)}' for key, value in pairs)


def short(value: float) -> str:
    """A number with three figures; thousands whole."""
    if not math.isfinite(value):
        return '–'
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'


def as_numbers(content: Content) -> dict[str, Any]:
    """Everything for `--json`."""
    parts = [(paper, part) for paper, parts in content.papers for part in parts]
    return {
        'cells_missing': sum(c.is_missing for _, p in parts for row in p.cells for c in row),
        'commands_missing': list(dict.fromkeys(c for _, p in parts for c, _ in p.missing)),
        'parts': [
            {
                'experiment': paper.experiment,
                'name': part.spec.name,
                'title': part.spec.title,
                'source': part.spec.source,
                'cells': [
                    {
                        'section': row.section,
                        'row': row.label,
                        'column': column.label,
                        **_numbers(cell),
                    }
                    for row, line in zip(rows(part.spec), part.cells, strict=True)
                    for column, cell in zip(columns(part.spec), line, strict=True)
                    if cell.theirs or cell.wanted
                ],
            }
            for paper, part in parts
        ],
        'in_no_table': [
            {f.name: getattr(run, f.name) for f in fields(run)} for run in content.left
        ],
    }


def _parts(paper: Paper, results: Sequence[StoredResult]) -> list[Part]:
    parts = []
    for table in paper.tables:
        cells = fill_table(paper, table, results)
        picture = draw_bars(table, cells) if table.picture else None
        parts.append(Part(table, cells, picture, _missing(table, cells)))
    for figure in paper.figures:
        cells = fill_figure(paper, figure, results)
        draw = draw_curves if figure.kind == 'curves' else draw_improvement
        parts.append(Part(figure, cells, draw(figure, cells), _missing(figure, cells)))
    return parts


def _missing(spec: Table | Figure, cells: list[list[Cell]]) -> list[tuple[str, str]]:
    commands: dict[str, list[str]] = {}
    for row, line in zip(rows(spec), cells, strict=True):
        for column, cell in zip(columns(spec), line, strict=True):
            if cell.is_missing and cell.wanted is not None:
                place = ', '.join(filter(None, (row.section, row.label, column.label)))
                # What is left open may be anything, so it is left to who types the command.
                known = {key: key.upper() for key in KEYS} | dict(cell.wanted)
                commands.setdefault(spec.command.format_map(known), []).append(place)
    return [(command, '; '.join(dict.fromkeys(places))) for command, places in commands.items()]


def _numbers(cell: Cell) -> dict[str, Any]:
    theirs = cell.theirs
    return {
        'measure': cell.measure,
        'unit': cell.unit,
        'paper': None if theirs is None else {
            'value': theirs.value,
            'successes': theirs.successes if theirs.trials else None,
            'trials': theirs.trials or None,
        },
        'ours': [
            {
                **{key: getattr(ours.results[0], key) for key in KEYS},
                'value': ours.value,
                'low': ours.interval[0],
                'high': ours.interval[1],
                'episodes': ours.episodes,
                'successes': ours.successes,
                'seeds': [result.seed for result in ours.results],
                'by_seed': list(ours.values),
                'commands': [result.command for result in ours.results],
                'machines': [result.machine for result in ours.results],
                'seconds': [result.seconds for result in ours.results],
            }
            for ours in cell.ours
        ],
    }  # fmt: skip
