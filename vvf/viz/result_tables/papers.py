# SPDX-License-Identifier: Apache-2.0
"""What the papers' tables look like, what they say, and which results of ours belong beside it.

Read from `config/papers/*.yaml`: no number of a paper is in the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from vvf.errors import UserError
from vvf.paths import config_path
from vvf.schema import build

#: What may be asked of a result; what is not asked may be anything.
KEYS = ('method', 'condition', 'task', 'robot')
SUCCESS = 'success'


@dataclass(frozen=True)
class Column:
    """A column of a table, or a line of a figure.

    Attributes:
        label: Its head.
        where: Which results are in it; None for a column of the paper's alone.
        measure: What of them, where it is not that of the table.
        unit: Of the measure.
    """

    label: str
    where: Mapping[str, str] | None = None
    measure: str = ''
    unit: str = ''


@dataclass(frozen=True)
class Row:
    """A row of a table, or a panel of a figure.

    Attributes:
        label: Its name.
        where: Which results are in it; None for a row of the paper's alone, such as a real object.
        section: Above it.
        paper: What the paper says, for each column: '7/12' (successes of trials), a number, or
            None; empty for a row that the paper has not.
    """

    label: str
    where: Mapping[str, str] | None = None
    section: str = ''
    paper: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of a paper, or of ours alone.

    Attributes:
        name: snake_case; that of its picture, too.
        title: Above it.
        columns: Of numbers.
        rows: As of the paper.
        source: Where the numbers of the paper are from.
        note: What has to be known to compare.
        measure: 'success', or one of the numbers of the results.
        unit: Of it.
        picture: Whether it is drawn as bars as well.
        command: That makes a cell; `{method}` and the like are filled in.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    source: str = ''
    note: str = ''
    measure: str = SUCCESS
    unit: str = ''
    picture: bool = False
    command: str = ''


@dataclass(frozen=True)
class Figure:
    """A figure of a paper, from our results alone: a text gives no heights of bars.

    Attributes:
        name: snake_case.
        title: Above it.
        kind: 'curves': numbers over steps, one line for each method. 'improvement': by how much the
            success rate of the first line is above that of the second, in percent.
        lines: Methods.
        panels: Conditions.
        source: What the paper says about it.
        note: What has to be known to read it.
        x: Name of the numbers on the x axis, of curves.
        y: And on the y axis.
        x_label: What they are.
        y_label: What they are.
        command: As of a table.
    """

    name: str
    title: str
    kind: Literal['curves', 'improvement']
    lines: tuple[Column, ...]
    panels: tuple[Row, ...]
    source: str = ''
    note: str = ''
    x: str = 'curve_steps'
    y: str = 'curve_success'
    x_label: str = 'steps'
    y_label: str = 'success rate'
    command: str = ''


@dataclass(frozen=True)
class Paper:
    """A paper, and what of it is made again.

    Attributes:
        title: Of the section.
        experiment: Which results are meant.
        cite: Authors, title and number.
        tables: In the order of the paper.
        figures: Likewise.
    """

    title: str
    experiment: str
    cite: str = ''
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Theirs:
    """A number of a paper: counts, or `value` alone (trials 0)."""

    value: float
    successes: int = 0
    trials: int = 0


def parse_theirs(said: object) -> Theirs | None:
    """A number as it is written in a paper's file: '7/12', 58 or None.

    Raises:
        ValueError: It is none of these.
    """
    if said is None:
        return None
    if isinstance(said, str):
        # What is no count fails here as well; so do 13 of 12.
        successes, trials = map(int, said.split('/'))
        if 0 <= successes <= trials > 0:
            return Theirs(100 * successes / trials, successes, trials)
    elif isinstance(said, int | float) and not isinstance(said, bool):
        return Theirs(float(said))
    raise ValueError(f'{said!r} is no number of a paper')


def columns(spec: Table | Figure) -> tuple[Column, ...]:
    """Of a table its columns, of a figure its lines."""
    return spec.columns if isinstance(spec, Table) else spec.lines


def rows(spec: Table | Figure) -> tuple[Row, ...]:
    """Of a table its rows, of a figure its panels."""
    return spec.rows if isinstance(spec, Table) else spec.panels


def read_papers(folder: Path | None = None) -> list[Paper]:
    """All papers, by the names of their files.

    Args:
        folder: Of YAML files; default: `config/papers`.

    Raises:
        UserError: There is none, or a file is wrong; the message names it and the entry.
    """
    folder = folder or config_path('papers')
    paths = sorted(folder.glob('*.yaml'))
    if not paths:
        raise UserError(f'{folder} holds no papers: name a folder with files in .yaml.')
    return [_read(path) for path in paths]


def _read(path: Path) -> Paper:
    try:
        content = yaml.safe_load(path.read_text('utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is no YAML: {error}') from None
    paper: Paper = build(Paper, content, str(path), '')
    parts: list[Table | Figure] = [*paper.tables, *paper.figures]
    for part in parts:
        asked = [c.where for c in columns(part)] + [r.where for r in rows(part)]
        for where in asked:
            if unknown := set(where or ()) - set(KEYS):
                raise UserError(
                    f"{path}: {part.name}: '{unknown.pop()}' says nothing about a result; "
                    f'known: {", ".join(KEYS)}'
                )
        for row in rows(part):
            if row.paper and len(row.paper) != len(columns(part)):
                raise UserError(
                    f"{path}: {part.name}: the row '{row.label}' has {len(row.paper)} numbers for "
                    f'{len(columns(part))} columns'
                )
            for said in row.paper:
                _check(path, part, row, said)
        try:
            part.command.format_map(dict.fromkeys(KEYS, ''))
        except (LookupError, ValueError, TypeError, AttributeError):
            raise UserError(
                f"{path}: {part.name}: the command '{part.command}' cannot be filled in; known in "
                f'braces: {", ".join(KEYS)}'
            ) from None
    return paper


def _check(path: Path, part: Table | Figure, row: Row, said: object) -> None:
    try:
        parse_theirs(said)
    except ValueError:
        raise UserError(
            f"{path}: {part.name}: the row '{row.label}' says '{said}': write a number, successes "
            'of trials such as 7/12, or null'
        ) from None
