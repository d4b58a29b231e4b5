# SPDX-License-Identifier: Apache-2.0
"""`vvf eval`: measures value models on recorded episodes, or policies in simulation."""

from __future__ import annotations

import argparse
from typing import Any

from vvf.cli import eval_policy, eval_value


def add_parser(subparsers: Any) -> None:
    """Add `vvf eval`."""
    parser = subparsers.add_parser(
        'eval',
        help='measure a value model or a policy',
        epilog='examples: vvf eval policy checkpoints/bc_pick_place --episodes 50; '
        'vvf eval value checkpoints/icvf_pick_place --data data/held_out --baseline data/mixed',
    )
    what = parser.add_subparsers(dest='what', required=True, metavar='WHAT')
    value = what.add_parser(
        'value', help='do values rise in successes, tell failures, and notice errors?'
    )
    eval_value.add_arguments(value)
    policy = what.add_parser('policy', help='how often does it succeed, in simulation?')
    eval_policy.add_arguments(policy)


def run(args: argparse.Namespace) -> int:
    """Run `vvf eval`."""
    if args.what == 'value':
        return eval_value.run(args)
    return eval_policy.run(args)
