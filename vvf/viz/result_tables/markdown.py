# SPDX-License-Identifier: Apache-2.0
"""The tables as Markdown, with the pictures as files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vvf.stored_results import StoredResult
from vvf.viz.film import save_few_colours
from vvf.viz.result_tables.cells import Cell
from vvf.viz.result_tables.content import (
    HEAD_OF_RUNS,
    INTRODUCTION,
    Content,
    Part,
    numbers_of_run,
    row_of_run,
    rows_of_improvement,
    said_of_ours,
    said_of_theirs,
)
from vvf.viz.result_tables.papers import columns, rows


def write_markdown(path: Path, content: Content, title: str) -> None:
    """Write a file, and a folder `<its name>_pictures` beside it where there are pictures."""
    folder = path.with_name(f'{path.stem}_pictures')
    text = [f'# {title}', INTRODUCTION]
    for paper, parts in content.papers:
        text += [f'## {paper.title}', paper.cite]
        for part in parts:
            text += _part(part, folder)
    if content.left:
        text += ['## In no table', _runs(content.left, numbers=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n\n'.join(filter(None, text)) + '\n', 'utf-8')


def _part(part: Part, folder: Path) -> list[str]:
    spec = part.spec
    text = [f'### {spec.title}', ' '.join(filter(None, (spec.source, spec.note)))]
    if any(cell.theirs or cell.ours for line in part.cells for cell in line):
        text.append(_cells(part))
    if part.picture is not None:
        save_few_colours(part.picture.image(), folder / f'{spec.name}.png')
        text.append(f'![{spec.title}]({folder.name}/{spec.name}.png)')
    if improvements := rows_of_improvement(part):
        text.append(_table(('', 'improvement (95 % interval)'), improvements))
    if part.runs:
        counted = f'{len(part.runs)} result{"" if len(part.runs) == 1 else "s"}'
        summary = f'<summary>{counted}: command, seed, machine, time</summary>'
        text.append(f'<details>{summary}\n\n{_runs(part.runs)}\n\n</details>')
    if part.missing:
        lines = [f'- `{command}`: {places}' for command, places in part.missing]
        text.append('Missing, and what makes it:\n\n' + '\n'.join(lines))
    return text


def _cells(part: Part) -> str:
    head = ['', *(column.label for column in columns(part.spec))]
    lines, section = [], ''
    for row, line in zip(rows(part.spec), part.cells, strict=True):
        if row.section != section:
            section = row.section
            lines.append([f'*{section}*', *[''] * len(line)])
        lines.append([row.label, *map(_cell, line)])
    return _table(head, lines)


def _cell(cell: Cell) -> str:
    lines = [said_of_theirs(cell.theirs, cell.unit)] if cell.theirs else []
    for ours in cell.ours:
        value, rests = said_of_ours(ours, cell.unit)
        lines.append(f'**{value}** ({"; ".join([*cell.apart(ours), *rests])})')
    return '<br>'.join(lines)


def _runs(runs: Iterable[StoredResult], *, numbers: bool = False) -> str:
    head = [*HEAD_OF_RUNS, 'numbers'] if numbers else HEAD_OF_RUNS
    lines = [
        [*row_of_run(run)[:-1], f'`{run.command}`', *([numbers_of_run(run)] if numbers else [])]
        for run in runs
    ]
    return _table(head, lines)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *body]
    return '\n'.join(
        f'| {" | ".join(c.replace("|", chr(92) + "|") for c in row)} |' for row in lines
    )
