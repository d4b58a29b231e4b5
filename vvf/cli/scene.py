# SPDX-License-Identifier: Apache-2.0
"""What is simulated, as options that several commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vvf.task import TaskSpec


def add_scene_options(parser: argparse.ArgumentParser, setting: str = "the task's") -> None:
    """Add the options that say what is simulated.

    Args:
        parser: of a command.
        setting: what `--setting` is by default, for the help.
    """
    parser.add_argument(
        '--arm', '--robot', choices=('wx250s', 'fer', 'fr3'), help="[the task's robot]"
    )
    parser.add_argument('--setting', choices=('train', 'held_out'), help=f'[{setting}]')
    parser.add_argument(
        '--axes', nargs='+', default=(), metavar='AXIS',
        help='domain axes to switch on: textures, lighting, camera_pose, distractors, objects, '
        'arm_colour, robot_invisible [none]',
    )  # fmt: skip
    parser.add_argument('--cameras', nargs='+', default=(), metavar='NAME', help='[all]')
    parser.add_argument('--image-size', type=int, metavar='PX', help="[the first camera's]")
    parser.add_argument(
        '--scenario',
        metavar='NAME',
        help="pick_place: one of V-PTR's, 1 to 3 or a name (see docs/tasks.md)",
    )
    parser.add_argument(
        '--targets', nargs='+', metavar='KIND', help="pick_place: objects to pick [the task's]"
    )
    parser.add_argument(
        '--containers', nargs='+', metavar='KIND', help="pick_place: where to [the task's]"
    )
    parser.add_argument(
        '--distractors', type=int, metavar='N', help="pick_place: other objects [the task's]"
    )


def scenario_name(given: str) -> str:
    """The name of a scenario, of which those of V-PTR's table 1 can be given as numbers."""
    return f'scenario_{given}' if given.isdigit() else given


def scene_of(args: argparse.Namespace, task: TaskSpec, setting: str = '') -> dict[str, Any]:
    """Entries of the world's configuration that the command line sets.

    Args:
        args: with those of `add_scene_options`.
        task: says what is not given.
        setting: taken where neither option nor scenario gives one; empty for the task's.

    Raises:
        UserError: there is no such scenario.
    """
    from vvf_sim.worlds.scenarios import scenario

    world: dict[str, Any] = {
        **({'setting': setting} if setting else {}),
        'arm': args.arm or task.robot,
        'axes': tuple(args.axes),
        'cameras': tuple(args.cameras),
        'image_size': args.image_size or task.cameras[0].width or 128,
    }
    if args.scenario:
        world.update(scenario(scenario_name(args.scenario)))
    if args.setting:
        world['setting'] = args.setting
    if args.targets:
        world['targets'] = tuple(args.targets)
    if args.containers:
        world['containers'] = tuple(args.containers)
    if args.distractors is not None:
        world['n_distractors'] = args.distractors
    return world
