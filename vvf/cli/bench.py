# SPDX-License-Identifier: Apache-2.0
"""`vvf bench`: measure speed and losses on this machine."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

#: Name -> help line. The module is `vvf.bench.<name>`, with `add_arguments` and `run`.
BENCHMARKS = {
    'transport': 'do camera images arrive, and how late',
    'latency': 'from an image to its value and to the command, in the real graph',
    'relabel': 'how fast are recorded bags scored, beside a plain loop',
    'record': 'does the recorder lose messages, and what is left when it is killed',
    'faults': 'does the arm ever break a rule, whatever fails around it',
    'kinematics': 'are random poses reached, and how fast, beside the usual ways',
    'gate': 'does the value gate notice slips and pushes, and what is it worth',
    'worlds': 'how well do the scripted experts do, and how fast is the simulation',
}


def add_parser(subparsers: Any) -> None:
    """Add `vvf bench`, with one sub-command for each measurement."""
    parser = subparsers.add_parser(
        'bench',
        help='measure speed and losses on this machine',
        epilog='example: vvf bench transport --seconds 20 --json transport.json',
    )
    names = parser.add_subparsers(dest='benchmark', metavar='NAME', required=True)
    for name, line in BENCHMARKS.items():
        module = importlib.import_module(f'vvf.bench.{name}')
        benchmark = names.add_parser(name, help=line, description=module.__doc__)
        module.add_arguments(benchmark)


def run(args: argparse.Namespace) -> int:
    """Run the measurement that was asked for."""
    return int(importlib.import_module(f'vvf.bench.{args.benchmark}').run(args))
