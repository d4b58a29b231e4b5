# SPDX-License-Identifier: Apache-2.0
"""Names that worlds share, free of MuJoCo so that a command line can be parsed without it."""

from typing import Literal

Setting = Literal['train', 'held_out', 'any']
SETTINGS: tuple[Setting, ...] = ('train', 'held_out', 'any')

Axis = Literal[
    'textures',
    'lighting',
    'camera_pose',
    'distractors',
    'objects',
    'arm_colour',
    'robot_invisible',
]
