# SPDX-License-Identifier: Apache-2.0
"""Entry point of the `vvf` command.

A sub-command is a module of `vvf.cli` with two functions: `add_parser(subparsers)`, which adds its
parser under its own name, and `run(args)`, which returns the exit code. Only the module that is
asked for is imported, so `vvf --help` is quick and `vvf doctor` runs where torch or ROS is broken.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from vvf import __version__, environment
from vvf.errors import is_user_error
from vvf.processes import USER_ERROR

INTERRUPTED = 130
#: What is wrong with a place that the user named, and no fault of the program.
_PLACE_ERRORS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EISDIR, errno.EEXIST
}  # fmt: skip
BROKEN_PIPE = 141

#: Name -> the line in `vvf --help`. The module is `vvf.cli.<name>`.
COMMANDS = {
    'doctor': 'what is installed, what is missing, and the command that mends it',
    'up': 'run the graph of a task, or replay a bag into it',
    'cameras': 'list the cameras of this machine and the image topics of a running graph',
    'episode': 'start, end, judge and save episodes of a running graph',
    'teleop': 'drive the arm, take over from a policy and give back',
    'calibrate': "measure a camera's lens, and where it is on the robot",
    'demo': 'run, record, relabel and report some episodes in simulation',
    'collect': 'record episodes of the scripted expert in simulation',
    'clips': "draw videos of a person's hand at a table, as a stand-in for Ego4D",
    'train': 'train a value model or a policy',
    'vptr': 'offline RL from video, robot data and a few demonstrations, and its baselines',
    'recap': 'improve a policy by its own rollouts, told by a value which actions improve',
    'rl': 'online reinforcement learning in simulation, with a value in the reward',
    'relabel': 'score recorded episodes with value models',
    'episodes': 'list recorded episodes: outcome, length, value, interventions, complaints',
    'edit': 'split, trim, merge or label recorded episodes, into new bags',
    'export': 'write episodes as a LeRobot data set or as HDF5',
    'eval': 'measure a value model or a policy',
    'bench': 'measure speed and losses on this machine',
    'report': "write an HTML page about recorded episodes, or the papers' tables with ours",
    'overlay': 'write videos of episodes with their value',
    'view': 'show a bag in the Rerun viewer, or a simulated task done by its expert',
}
#: Where a first argument makes another command of one; its module is `vvf.cli.<name>_<word>`.
TWO_WORDS = {('report', 'tables')}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the arguments; default: those of this process, whose environment is put right first.
    """
    if argv is None:
        environment.ensure()
        argv = sys.argv[1:]
    try:
        return _run(argv)
    except KeyboardInterrupt:
        print('\nvvf: stopped.', file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except ImportError as error:
        if (error.name or '').partition('.')[0] in {'vvf', 'vvf_models', 'vvf_sim'}:
            raise
        print(f'vvf: {error}: run `vvf doctor` to see what is missing.', file=sys.stderr)
        return USER_ERROR
    except OSError as error:
        if error.filename is None or error.errno not in _PLACE_ERRORS:
            raise
        place = f'{error.filename}: {str(error.strerror).lower()}'
        print(f'vvf: {place}; choose another place.', file=sys.stderr)
        return USER_ERROR
    except Exception as error:
        if not is_user_error(error):
            raise
        print(f'vvf: {error}', file=sys.stderr)
        return USER_ERROR


def _run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='vvf',
        description='Video value functions for robots.',
        epilog='example: vvf demo pick_place. Each command has its own --help.',
    )
    parser.add_argument('--version', action='version', version=f'vvf {__version__}')
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    commands = COMMANDS
    if tuple(argv[:2]) in TWO_WORDS:
        argv = ['_'.join(argv[:2]), *argv[2:]]
        commands = {argv[0]: ''}
    chosen = next((word for word in argv if not word.startswith('-')), None)
    module = None
    for name, line in commands.items():
        if name == chosen:
            module = importlib.import_module(f'vvf.cli.{name}')
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=line)
    args = parser.parse_args(argv)
    assert module is not None  # argparse has refused anything that is not in COMMANDS
    return int(module.run(args))


if __name__ == '__main__':
    sys.exit(main())
