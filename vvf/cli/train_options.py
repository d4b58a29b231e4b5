# SPDX-License-Identifier: Apache-2.0
"""Options of `vvf train`, and for which kinds of model each of them is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vvf.cli.output import add_json_option
from vvf.cli.reading import add_reading_options
from vvf.errors import UserError

KINDS = {
    'icvf': 'value: minus the steps to a goal image (also from video without actions)',
    'vip': 'value: minus the distance to a goal image in an embedding learned from video',
    'distributional': "RECAP's value: the distribution of the return, reads the instruction",
    'viva': 'ViVa: a video generator that tells proprioception ahead and the value',
    'bc': 'a policy: behaviour cloning of action chunks',
    'bc_task': 'a policy of several tasks: cloning on any image encoder, frozen or not',
    'rwr': "a policy: cloning that heeds a VIP's reward, by reward-weighted regression",
    'cql': 'a policy by conservative Q-learning, from successes and failures',
    'recap': "RECAP's policy: told which actions improve on what a value model expects",
    'lerobot': 'a policy of LeRobot (--policy act, smolvla, pi0, ...), where that is installed',
}

_OF_READING = ('skip_bad', 'fps', 'crop', 'actions')
#: Kinds that an option is for; what is not here is for all.
_ONLY_FOR = {
    'task_data': ('cql', 'bc_task', 'rwr'),
    'value': ('recap', 'lerobot'),
    'demonstrations': ('recap', 'lerobot'),
    'no_goal_images': ('icvf', 'vip'),
    'policy': ('lerobot',),
    'lerobot_python': ('lerobot',),
    **dict.fromkeys(
        ('config', 'init', 'init_encoder', 'no_state', 'cache', *_OF_READING),
        tuple(kind for kind in KINDS if kind != 'lerobot'),
    ),
}
_OF_VALUE = ('positive_ratio', 'n_steps', 'over')  # which say how to use `--value`
#: What options come to that nobody gave; above they have none, so as to be told apart.
_DEFAULTS = {
    'policy': 'act',
    'lerobot_python': sys.executable,
    'positive_ratio': 0.3,
    'n_steps': 10,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all of them."""
    parser.add_argument('kind', choices=tuple(KINDS), metavar='KIND', help='see above')
    parser.add_argument(
        '--data',
        type=Path,
        nargs='+',
        required=True,
        help='bags, LeRobot datasets, folders of videos, of frames or of .npz episodes, BridgeData '
        'TFRecords',
    )
    parser.add_argument(
        '--task-data',
        type=Path,
        nargs='+',
        help='cql, bc_task, rwr: episodes of the task to fine-tune for; --data is prior data then, '
        'of which each batch has the share "mixing_ratio"',
    )
    _add_recap(parser)
    _add_lerobot(parser)
    parser.add_argument('--out', type=Path, required=True, help='folder of the checkpoint')
    parser.add_argument(
        '--config',
        metavar='NAME',
        help='a configuration of config/models, or a YAML file [the small one of KIND]',
    )
    parser.add_argument(
        '--init', metavar='CHECKPOINT', help='weights of the same kind to start from'
    )
    parser.add_argument(
        '--init-encoder',
        metavar='CHECKPOINT',
        help='image encoders to start from, of a checkpoint of any kind',
    )
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
        help='keep goals as latents, for data whose images may not be passed on',
    )
    parser.add_argument('--cache', type=Path, help='keep the decoded frames in this folder')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='any entry of the configuration, such as --set discount=0.95',
    )
    add_reading_options(parser)
    add_json_option(parser)


def _add_recap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--value',
        metavar='CHECKPOINT',
        help='recap, lerobot: the value model whose advantages say which actions improve',
    )
    parser.add_argument(
        '--positive-ratio',
        type=float,
        help='with --value: share of actions that count as improvement; .4 of rollouts [0.3]',
    )
    parser.add_argument(
        '--n-steps',
        type=int,
        help='with --value: how far ahead an advantage looks; 0: to the end of the episode [10]',
    )
    parser.add_argument(
        '--over',
        action='store_true',
        help='with --value: failures are over at their end, such as a broken cup; by default a '
        'time limit or somebody cut them off',
    )
    parser.add_argument(
        '--demonstrations',
        type=Path,
        nargs='+',
        help='recap, lerobot: episodes, beside --data, all of whose actions count as improvement',
    )


def _add_lerobot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--policy', help='lerobot: which of its policies: act, smolvla, ... [act]')
    parser.add_argument(
        '--lerobot-python',
        metavar='PYTHON',
        help='lerobot: the Python of an environment that has LeRobot [the one that vvf runs on]',
    )


def check_options(args: argparse.Namespace) -> None:
    """Refuse what this kind has no use for, and fill in what nobody gave.

    Raises:
        UserError: an option was given that would do nothing.
    """
    for name, kinds in _ONLY_FOR.items():
        if args.kind not in kinds and _given(args, name):
            raise UserError(f'{_written(name)} is for `vvf train` {_one_of(kinds)}: leave it out.')
    for name in _OF_VALUE:
        if args.value is None and _given(args, name):
            raise UserError(f'{_written(name)} says how to use --value: give that, too.')
    for name, default in _DEFAULTS.items():
        if not _given(args, name):
            setattr(args, name, default)


def _given(args: argparse.Namespace, name: str) -> bool:
    value = getattr(args, name)
    return value is not None and value is not False


def _written(name: str) -> str:
    return '--' + name.replace('_', '-')


def _one_of(kinds: tuple[str, ...]) -> str:
    return ' or '.join([', '.join(kinds[:-1]), kinds[-1]] if kinds[1:] else kinds)
