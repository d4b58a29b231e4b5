# SPDX-License-Identifier: Apache-2.0
"""`vvf up`: runs the graph of a task as supervised processes, or replays a bag into it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from vvf.errors import UserError
from vvf.graph import ARGUMENT_HELP, GraphArguments, build_graph, build_replay_graph
from vvf.node_parameters import with_settings
from vvf.node_spec import NodeSpec
from vvf.processes import terminate_as_interrupt

LIFECYCLE_NODES = ('value', 'policy')


def add_parser(subparsers: Any) -> None:
    """Add `vvf up`."""
    parser = subparsers.add_parser(
        'up',
        help='run the graph of a task, or replay a bag into it',
        description='Run the graph of a task; Ctrl-C parks the arm, closes the bag and stops.',
        epilog='examples: vvf up pick_place --episodes 3; '
        'vvf up replay --bag runs/bags/pick_place-20261120-101500-001',
    )
    parser.add_argument('task', help='a task of config/tasks, a task file, or "replay"')
    for item in fields(GraphArguments):
        kind = _boolean if isinstance(item.default, bool) else type(item.default)
        parser.add_argument(
            f'--{item.name.replace("_", "-")}',
            type=kind,
            default=None,
            metavar='BOOL' if kind is _boolean else item.name.upper(),
            help=f'{ARGUMENT_HELP[item.name]} [{item.default}]',
        )
    parser.add_argument('--episodes', type=int, default=0, help='run so many, then stop')
    parser.add_argument('--bag', type=Path, help='replay: the recorded bag')
    parser.add_argument('--task-file', default='', help='replay: task of the bag, if it has none')
    parser.add_argument('--rate', type=float, default=1.0, help='replay: pace [1.0]')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='NODE.PARAMETER=VALUE',
        dest='settings',
        help='parameter of a node (config/nodes), such as policy.gate=resample',
    )
    parser.add_argument('--log-dir', type=Path, default=Path('runs/log'), help='[runs/log]')


def run(args: argparse.Namespace) -> int:
    """Run `vvf up`."""
    given = {f.name: getattr(args, f.name) for f in fields(GraphArguments)}
    given = {k: v for k, v in given.items() if v is not None}
    if args.episodes < 0 or given.get('seed', 0) < 0:
        raise UserError('--episodes and --seed must not be negative.')
    if args.task == 'replay':
        return _replay(args, given)
    if args.bag is not None or args.task_file or args.rate != 1.0:
        raise UserError('--bag, --task-file and --rate are for `vvf up replay`.')
    arguments = GraphArguments(**given)
    specs = build_graph(args.task, arguments)
    if arguments.policy_node and not any(s.name == 'policy' for s in specs):
        print('no policy acts: name a checkpoint with --policy, or drive with --teleop', flush=True)
    # A simulation draws its next scene itself; on a table somebody has to.
    specs = with_settings(specs, args.settings)
    return _supervise(specs, args.log_dir, args.episodes, reset=not arguments.sim)


def _replay(args: argparse.Namespace, given: dict[str, Any]) -> int:
    from vvf.bags.reader import open_bag
    from vvf.bags.replay import replay_task

    if args.bag is None:
        raise UserError('vvf up replay needs --bag DIR, the recorded bag.')
    own = {'value_model', 'engine_device', 'bag_dir', 'record', 'rviz'}
    unknown = sorted(given.keys() - own)
    if unknown:
        raise UserError(f'--{unknown[0].replace("_", "-")} is for a robot, not for a replay.')
    if not 0.01 <= args.rate <= 100.0:
        raise UserError('--rate must lie between 0.01 and 100.')
    with open_bag(args.bag) as bag:
        task = replay_task(bag, args.task_file)
    bag_dir = given.get('bag_dir', 'runs/replay')
    specs = build_replay_graph(
        args.bag.absolute(),
        task,
        value_model=given.get('value_model', ''),
        engine_device=given.get('engine_device', 'auto'),
        bag_dir=bag_dir,
        rate=args.rate,
        record=given.get('record', True),
        rviz=given.get('rviz', False),
    )
    return _supervise(with_settings(specs, args.settings), args.log_dir)


def _supervise(
    specs: list[NodeSpec], log_dir: Path, episodes: int = 0, *, reset: bool = False
) -> int:
    from vvf.client import refuse_second_graph
    from vvf.supervisor import Supervisor

    refuse_second_graph()
    terminate_as_interrupt()
    print(f'nodes: {", ".join(s.name for s in specs)}; their logs: {log_dir}', flush=True)
    with Supervisor(specs, log=_say, log_dir=log_dir) as supervisor:
        try:
            if episodes:
                _run_episodes(supervisor, specs, episodes, reset=reset)
            else:
                if any(s.name == 'teleop' for s in specs):
                    _say('a human drives with `vvf teleop`, in another terminal')
                if any(s.name == 'arm' for s in specs):
                    _say('waiting for episodes: --episodes N, or /vvf/episode/start and .../run')
                while not supervisor.wait(0.5):
                    pass
        except KeyboardInterrupt:
            print('stopping: the arm parks first', flush=True)
    if supervisor.failure:
        print(f'vvf: {supervisor.failure}; see {log_dir}.', file=sys.stderr)
        return 2
    return 0


def _run_episodes(supervisor: Any, specs: list[NodeSpec], episodes: int, *, reset: bool) -> None:
    from vvf.client import GraphClient
    from vvf.terminal import wait_for_line

    names = {s.name for s in specs}
    with GraphClient(lambda: supervisor.failure is None) as client:
        client.wait_ready(tuple(n for n in LIFECYCLE_NODES if n in names))
        for index in range(episodes):
            if reset and index:
                print('put things back, then press Enter for the next episode', flush=True)
                wait_for_line(lambda: supervisor.failure is None)
            result = client.run_episode()
            if result.message:
                raise UserError(f'the episode did not begin: {result.message}')
            where = f', {result.path}' if result.path else ''
            print(
                f'episode {index + 1} of {episodes}: {result.outcome} after '
                f'{result.seconds:.1f} s, {result.steps} actions{where}',
                flush=True,
            )


def _say(line: str) -> None:
    print(line, flush=True)


def _boolean(text: str) -> bool:
    if text.lower() in ('true', '1', 'yes', 'on'):
        return True
    if text.lower() in ('false', '0', 'no', 'off'):
        return False
    raise argparse.ArgumentTypeError(f'{text!r} is neither true nor false')
