# SPDX-License-Identifier: Apache-2.0
"""`vvf train`: a value model or a policy from recorded or simulated episodes."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

from vvf.cli.output import add_json_option, write_json
from vvf.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `vvf train`."""
    parser = subparsers.add_parser(
        'train',
        help='train a value model or a policy',
        description='Train; Ctrl-C keeps what is done, --resume goes on from there.',
        epilog='example: vvf train bc --data data/demonstrations --out runs/my_policy --minutes 10',
    )
    parser.add_argument(
        'algorithm', choices=('icvf', 'bc'), help='icvf: a value model; bc: a policy'
    )
    parser.add_argument(
        '--data',
        type=Path,
        nargs='+',
        required=True,
        help='folders of .npz episodes, or BridgeData TFRecords',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the checkpoint')
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument('--minutes', type=float, help='how long to train [10]')
    budget.add_argument('--steps', type=int, help='how many steps to train')
    parser.add_argument('--seed', type=int, default=0, help='[0]')
    parser.add_argument('--resume', action='store_true', help='go on from a stopped run')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads [1]')
    parser.add_argument('--cameras', nargs='+', help='cameras to look through [all of the data]')
    parser.add_argument('--no-state', action='store_true', help='images only')
    parser.add_argument(
        '--no-goal-images',
        action='store_true',
        help='icvf: keep goals as latents, for data whose images may not be passed on',
    )
    parser.add_argument('--cache', type=Path, help='keep the decoded frames in this folder')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='any entry of the configuration, such as --set discount=0.95',
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf train`."""
    from vvf_models.config import from_mapping
    from vvf_models.data.chain import ChainedEpisodes
    from vvf_models.data.open import open_episodes
    from vvf_models.policies.bc import BcConfig
    from vvf_models.training.bc import train_bc
    from vvf_models.training.icvf import train_icvf
    from vvf_models.training.loop import is_unfinished
    from vvf_models.values.icvf import IcvfConfig

    if args.resume and (args.out / 'config.yaml').is_file() and not is_unfinished(args.out):
        print(f'{args.out} is trained to its end already')
        return 0
    if not args.resume and any((args.out / n).exists() for n in ('config.yaml', '.resume')):
        raise UserError(
            f'{args.out} holds a checkpoint or an unfinished run: add --resume to go on with it, '
            'or choose another folder.'
        )
    episodes = ChainedEpisodes([open_episodes(path) for path in args.data])
    first = episodes[0]
    entries: dict[str, Any] = {
        'cameras': list(args.cameras or first.images),
        'state_dim': 0 if args.no_state or first.state is None else int(first.state.shape[1]),
    }
    if args.algorithm == 'bc' and first.actions is not None:
        entries['action_dim'] = int(first.actions.shape[1])
    entries |= _settings(args.set)
    minutes = 10.0 if args.minutes is None and args.steps is None else args.minutes
    options: dict[str, Any] = {
        'seconds': None if minutes is None else 60.0 * minutes,
        'steps': args.steps,
        'seed': args.seed,
        'resume': args.resume,
        'threads': args.threads,
        'cache': args.cache,
        'command': shlex.join(['vvf', *sys.argv[1:]]),
    }
    if args.algorithm == 'icvf':
        icvf = from_mapping(IcvfConfig, entries, '--set', partial=True)
        options['goal_images'] = not args.no_goal_images
        metrics = train_icvf(episodes, icvf, args.out, **options)
    else:
        bc = from_mapping(BcConfig, entries, '--set', partial=True)
        metrics = train_bc(episodes, bc, args.out, **options)
    for name, value in metrics.items():
        print(f'{name:34} {value:.4g}')
    if metrics.get('interrupted'):
        print(f'stopped; go on with: {options["command"]} --resume')
    else:
        print(f'written to {args.out}')
    write_json(args.json, metrics)
    return 0


def _settings(pairs: list[str]) -> dict[str, Any]:
    settings = {}
    for pair in pairs:
        key, separator, value = pair.partition('=')
        if not separator or not key:
            raise UserError(f'--set {pair}: write it as KEY=VALUE.')
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f'--set {pair}: the value is not valid YAML.') from error
    return settings
