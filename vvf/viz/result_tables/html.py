# SPDX-License-Identifier: Apache-2.0
"""The tables as one page with everything in it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from vvf.stored_results import StoredResult
from vvf.viz import canvas
from vvf.viz.parts import page
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

_FOOTER = 'Written by vvf report tables from stored results; nothing was measured for this page.'


def write_html(path: Path, content: Content, title: str) -> None:
    """Write the page; its folder is made."""
    body = [f'<p class="lead">{escape(INTRODUCTION)}</p>']
    for paper, parts in content.papers:
        body.append(f'<h2>{escape(paper.title)}</h2><p class="facts">{escape(paper.cite)}</p>')
        body += [_part(part) for part in parts]
    if content.left:
        body.append('<h2>In no table</h2>' + _runs(content.left, numbers=True))
    results = {id(run) for _, parts in content.papers for part in parts for run in part.runs}
    count = len(results) + len(content.left)
    lead = f'{count} stored result{"" if count == 1 else "s"}'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(title, ''.join(body), lead=lead, footer=_FOOTER), 'utf-8')


def _part(part: Part) -> str:
    spec = part.spec
    text = [f'<article class="card result" id="{escape(spec.name)}">']
    text.append(f'<header><h3>{escape(spec.title)}</h3></header>')
    text.append(f'<p class="facts">{escape(" ".join(filter(None, (spec.source, spec.note))))}</p>')
    if any(cell.theirs or cell.ours for line in part.cells for cell in line):
        text.append(_cells(part))
    if part.picture is not None:
        text.append(_picture(part.picture, spec.title))
    if improvements := rows_of_improvement(part):
        text.append(_table(('', 'improvement (95 % interval)'), improvements))
    if part.runs:
        counted = f'{len(part.runs)} result{"" if len(part.runs) == 1 else "s"}'
        summary = f'<summary>{counted}: command, seed, machine, time</summary>'
        text.append(f'<details>{summary}{_runs(part.runs)}</details>')
    if part.missing:
        items = ''.join(
            f'<li><code>{escape(command)}</code>: {escape(places)}</li>'
            for command, places in part.missing
        )
        text.append(f'<p class="facts below">Missing, and what makes it:</p><ul>{items}</ul>')
    return ''.join(text) + '</article>'


def _cells(part: Part) -> str:
    specs = columns(part.spec)
    head = ''.join(f'<th>{escape(column.label)}</th>' for column in specs)
    lines, section = [], ''
    for row, line in zip(rows(part.spec), part.cells, strict=True):
        if row.section != section:
            section = row.section
            lines.append(
                f'<tr class="section"><td colspan="{len(specs) + 1}">{escape(section)}</td></tr>'
            )
        inner = ''.join(f'<td>{_cell(cell)}</td>' for cell in line)
        lines.append(f'<tr><td>{escape(row.label)}</td>{inner}</tr>')
    return (
        f'<div class="table wide"><table><thead><tr><th></th>{head}</tr></thead>'
        f'<tbody>{"".join(lines)}</tbody></table></div>'
    )


def _cell(cell: Cell) -> str:
    text = ''
    if cell.theirs:
        text += f'<span class="theirs">{escape(said_of_theirs(cell.theirs, cell.unit))}</span>'
    for ours in cell.ours:
        value, rests = said_of_ours(ours, cell.unit)
        text += f'<b class="ours">{escape(value)}</b>'
        text += ''.join(f'<small>{escape(line)}</small>' for line in [*cell.apart(ours), *rests])
    return text


def _runs(runs: Iterable[StoredResult], *, numbers: bool = False) -> str:
    head = [*HEAD_OF_RUNS, 'numbers'] if numbers else HEAD_OF_RUNS
    lines = [[*row_of_run(run), *([numbers_of_run(run)] if numbers else [])] for run in runs]
    return _table(head, lines)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    top = ''.join(f'<th class="words">{escape(name)}</th>' for name in head)
    lines = ''.join(
        '<tr>' + ''.join(f'<td class="words">{escape(cell)}</td>' for cell in row) + '</tr>'
        for row in body
    )
    return (
        f'<div class="table"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>'
        '</div>'
    )


def _picture(figure: canvas.Figure, title: str) -> str:
    few = Image.fromarray(figure.image()).quantize(256, dither=Image.Dither.NONE)
    data = io.BytesIO()
    few.save(data, 'png', optimize=True)
    source = base64.b64encode(data.getvalue()).decode()
    return (
        f'<div class="scroll"><img class="picture" alt="{escape(title)}" '
        f'src="data:image/png;base64,{source}"></div>'
    )
