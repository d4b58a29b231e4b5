# SPDX-License-Identifier: Apache-2.0
"""`vvf report tables`: the papers' tables with ours beside theirs, from stored results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vvf.cli.output import add_json_option, write_json
from vvf.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `vvf report tables`."""
    parser = subparsers.add_parser(
        'report_tables',
        prog='vvf report tables',
        description="Write the papers' tables and figures with ours beside theirs, from what "
        'experiments stored below FOLDER; nothing is trained or tried. Cells without a result stay '
        'empty and are listed with the command that makes them. Every number comes with command, '
        'seeds, machine and time.',
        epilog='examples: vvf report tables runs/vptr runs/recap; '
        'vvf report tables runs --out docs/tables.md --json tables.json',
    )
    parser.add_argument('folders', nargs='+', type=Path, metavar='FOLDER',
                        help='where stored results (.json) are, at any depth')  # fmt: skip
    parser.add_argument('--out', type=Path, metavar='FILE',
                        help='a page (.html) or Markdown (.md) [FOLDER/tables.html]')  # fmt: skip
    parser.add_argument('--papers', type=Path, metavar='DIR',
                        help="other papers' files (YAML) than those of config/papers")  # fmt: skip
    parser.add_argument(
        '--title', default='Results beside the papers', help='heading [%(default)s]'
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf report tables`."""
    from vvf.stored_results import read_results
    from vvf.viz.result_tables.content import as_numbers, fill
    from vvf.viz.result_tables.html import write_html
    from vvf.viz.result_tables.markdown import write_markdown
    from vvf.viz.result_tables.papers import read_papers

    first = args.folders[0]
    target = args.out or (first.parent if first.is_file() else first) / 'tables.html'
    writers = {'.html': write_html, '.md': write_markdown}
    if target.suffix not in writers:
        raise UserError(f'--out {target}: give a file in .html or .md.')
    results = read_results(args.folders)
    if not results:
        raise UserError(
            f'no stored results below {", ".join(map(str, args.folders))}: run an experiment with '
            'its results there.'
        )
    content = fill(read_papers(args.papers), results)
    writers[target.suffix](target, content, args.title)
    numbers = as_numbers(content)
    write_json(args.json, numbers)
    missing = numbers['cells_missing']
    said = f'{len(results)} result{"" if len(results) == 1 else "s"}'
    print(f'{said}, {missing} cell{"" if missing == 1 else "s"} without one: {target}')
    return 0
