# SPDX-License-Identifier: Apache-2.0
"""Faults in a running graph, hundreds of them: does the arm ever break a rule?

The graph of pick_place runs as supervised processes around a simulated arm, its cameras through
camera nodes, every stream through a relay that can spoil it. Each fault has an episode of its own:
the policy moves the arm, the fault comes at a random moment, the true joints are watched. No joint,
speed or workspace limit may be broken, nothing may move on data older than the safety gate allows,
the arm has to stand within a bound and to move again afterwards, and the episode's bag has to be
readable. Exit code 1 where a rule was broken. A run that was stopped goes on where it was if --json
is given.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vvf.bench.faults_kinds import KINDS, Fault, plan
from vvf.bench.faults_table import markdown, summarise
from vvf.bench.notes import Notes
from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError

_LINES = 5  # of the nodes' own, where a graph was lost
_ATTEMPTS = 3  # at one fault; a graph that is not well before it says nothing about it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vvf bench faults`."""
    parser.add_argument(
        '--faults', type=int, default=200, help=f'{len(KINDS)} sorts, in turn [200]'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the sequence of faults [0]')
    parser.add_argument(
        '--only', metavar='WORD', default='', help='faults whose name has this word'
    )
    parser.add_argument(
        '--table', type=Path, metavar='FILE', help='write the table there, Markdown'
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf bench faults`."""
    if args.faults < 1:
        raise UserError('--faults must be at least 1.')
    faults = [f for f in plan(args.faults, args.seed) if args.only in f.kind.name]
    if not faults:
        raise UserError(f'no fault is called {args.only!r}; without --only all are listed.')
    from vvf.bench.faults_rig import check_possible
    from vvf.client import refuse_second_graph

    check_possible()
    notes = Notes(args.json)
    wanted = {fault.index for fault in faults}

    def is_mine(line: dict[str, Any]) -> bool:
        return bool(line['seed'] == args.seed and line['index'] in wanted)

    results = [line for line in notes.lines if is_mine(line)]
    done = {line['index'] for line in results}
    todo = [fault for fault in faults if fault.index not in done]
    if todo:
        refuse_second_graph()
    with (
        tempfile.TemporaryDirectory(prefix='vvf-faults-') as scratch,
        progress_bar('faults') as bar,
    ):
        row = bar.add_task('faults', total=len(todo))
        for result in campaign(todo, Path(scratch), bar.console.print):
            results.append(result)
            notes.add({**result, 'seed': args.seed})
            for violation in result['violations']:
                bar.console.print(f'{result["index"]} {result["kind"]}: {violation}', markup=False)
            bar.update(row, advance=1)
    rows = summarise(results)
    table = markdown(rows)
    print(table)
    if args.table:
        args.table.parent.mkdir(parents=True, exist_ok=True)
        args.table.write_text(table + '\n', 'utf-8')
    violations = sum(len(result['violations']) for result in results)
    print(f'{len(results)} faults, {violations} violations')
    write_json(
        args.json,
        {'faults': len(results), 'seed': args.seed, 'violations': violations, 'rows': rows,
         'results': sorted(results, key=lambda result: result['index'])},
    )  # fmt: skip
    notes.finish(is_mine)
    return int(violations > 0)


def campaign(
    faults: list[Fault], folder: Path, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Inject faults one after another; a graph serves many of them.

    Args:
        faults: in this order.
        folder: for bags and logs.
        say: gets a line where something had to be begun anew.

    Yields:
        `Result.plain()` of each.

    Raises:
        UserError: the graph does not come up, or is not well before a fault three times in a row.
    """
    from vvf.bench.faults_rig import GraphLostError, Rig
    from vvf.bench.faults_run import rules_of, run_fault

    rules = rules_of()
    left, attempts, graphs = list(faults), 0, 0
    while left:
        graphs += 1
        rig = Rig(folder / f'graph_{graphs}', seed=left[0].index)
        try:
            with rig:
                while left and rig.failure is None and not rig.worn:
                    result = run_fault(rig, left[0], rules)
                    left.pop(0)
                    attempts = 0
                    yield result.plain()
        except GraphLostError as error:
            attempts += 1
            for line in rig.lines[-_LINES:]:
                say(line)
            say(f'before fault {left[0].index} ({left[0].kind.name}): {error}; a new graph')
            if attempts == _ATTEMPTS:
                raise UserError(f'the graph is not well before a fault: {error}.') from error
