# SPDX-License-Identifier: Apache-2.0
"""`vvf teleop`: drive the arm, take over from a policy and give back, by the keys of a terminal."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from vvf.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `vvf teleop`."""
    parser = subparsers.add_parser(
        'teleop',
        help='drive the arm, take over from a policy and give back',
        description='The keys of this terminal for the teleop node of the graph that runs; with '
        '--task, a teleop node is started for as long as this screen is open.',
        epilog='examples: vvf up pick_place --teleop keyboard   and in another terminal: '
        'vvf teleop   or: vvf teleop --task pick_place --source gamepad',
    )
    parser.add_argument('--task', default='', help='start a teleop node for this task')
    parser.add_argument('--robot', default='', help="arm, if not the task's")
    parser.add_argument('--rig', default='', help='real table, a file of config/rigs')
    parser.add_argument(
        '--source',
        default='keyboard',
        choices=('keyboard', 'gamepad', 'leader'),
        help='what moves the arm besides keys [keyboard]',
    )
    parser.add_argument('--gamepad', default='', help='mapping of the pad, of config/teleop')
    parser.add_argument('--leader-topic', default='', help='joint states of the leader arm')
    parser.add_argument('--leader-robot', default='', help='kind of the leader arm')


def run(args: argparse.Namespace) -> int:
    """Run `vvf teleop`."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError('`vvf teleop` needs a terminal, and a human before it.')
    spec = _spec(args) if args.task else None
    from vvf.teleop.screen import TeleopClient, run_screen

    with TeleopClient() as client:
        if spec is None:
            run_screen(client)
            return 0
        from vvf.supervisor import Supervisor

        client.refuse_second()
        with Supervisor([spec], quiet=True, log_dir=Path('runs/log')) as supervisor:
            run_screen(client, lambda: not supervisor.wait(0.0))
    return 0


def _spec(args: argparse.Namespace) -> Any:
    from vvf.node_spec import NodeSpec
    from vvf.task import load_task

    load_task(args.task, args.robot, args.rig)  # what is wrong with them is said here
    given = {
        'gamepad': args.gamepad,
        'leader_topic': args.leader_topic,
        'leader_robot': args.leader_robot,
    }
    parameters = {k: v for k, v in given.items() if v}
    parameters |= {k: getattr(args, k) for k in ('task', 'robot', 'rig', 'source')}
    return NodeSpec('teleop', 'teleop', parameters=parameters)
