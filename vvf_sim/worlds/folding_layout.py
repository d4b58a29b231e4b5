# SPDX-License-Identifier: Apache-2.0
"""What a seed decides about a garment on the table, and the scene around it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel
from vvf_sim.rotations import Array
from vvf_sim.worlds.cloth import add_garment
from vvf_sim.worlds.cloth_garments import Garment
from vvf_sim.worlds.cloth_texture import Fabric, draw_fabric
from vvf_sim.worlds.domain import axis_rng
from vvf_sim.worlds.layout import Placed
from vvf_sim.worlds.mount import Mount
from vvf_sim.worlds.object_kinds import PALETTE
from vvf_sim.worlds.objects import OBJECT_NAMES
from vvf_sim.worlds.pick_place_scene import add_object
from vvf_sim.worlds.spec import Looks, add_looks, add_table, add_wrist_camera, look_at
from vvf_sim.worlds.variation import draw_looks, draw_place
from vvf_sim.worlds.world_config import WorldConfig

MIDDLE_X = 0.3
TABLE_SIZE = (0.45, 0.65, 0.02)
_AREA = ((MIDDLE_X - 0.02, -0.015), (MIDDLE_X + 0.02, 0.015))
_YAW = 0.14
# Wrinkles: height, length of the waves, and how much of its length the cloth is pushed together.
_WAVES = 3
_HEIGHT = (0.003, 0.007)
_LENGTH = (0.05, 0.11)
_SQUEEZE = 0.02
# Where distractors stand, out of the arms' way.
_SPOTS = ((0.02, -0.17), (0.01, 0.17), (0.53, -0.14), (0.56, 0.0), (0.54, 0.15))


@dataclass(frozen=True)
class FoldingLayout:
    """Everything that a seed decided.

    Attributes:
        place: (x, y) of the garment's middle, m.
        yaw: of the garment, rad; 0 has the collar away from the front camera.
        wrinkles: (n, 3) displacements of the vertices, m, before the cloth settles.
        fabric: its colours.
        looks: of table and light.
        distractors: other things on the table.
    """

    place: tuple[float, float]
    yaw: float
    wrinkles: Array
    fabric: Fabric
    looks: Looks
    distractors: tuple[Placed, ...]

    def on_table(self, garment: Garment) -> Array:
        """Places (n, 2) of the flat garment's vertices in the table frame."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.asarray(garment.places @ np.array([[c, s], [-s, c]]) + self.place)


def draw_layout(
    config: WorldConfig, garment: Garment, rng: np.random.Generator, seed: int
) -> FoldingLayout:
    """Draw what a seed decides."""
    place = draw_place(config.setting, rng, _AREA)
    yaw = float(rng.uniform(-_YAW, _YAW))
    wrinkles = _draw_wrinkles(garment.places, rng)
    fabric = draw_fabric(rng, held_out=False)
    if 'objects' in config.axes:
        fabric = draw_fabric(axis_rng('objects', seed), held_out=True)
    distractors: tuple[Placed, ...] = ()
    if 'distractors' in config.axes:
        distractors = _draw_distractors(axis_rng('distractors', seed))
    return FoldingLayout(place, yaw, wrinkles, fabric, draw_looks(config.setting, rng), distractors)


def _draw_wrinkles(places: Array, rng: np.random.Generator) -> Array:
    moved = np.zeros((len(places), 3))
    for _ in range(_WAVES):
        angle, phase = rng.uniform(0.0, np.pi), rng.uniform(0.0, 2 * np.pi)
        along = places @ np.array([np.cos(angle), np.sin(angle)])
        wave = np.sin(2 * np.pi * along / rng.uniform(*_LENGTH) + phase)
        moved[:, 2] += rng.uniform(*_HEIGHT) * np.maximum(wave, 0.0)
    moved[:, :2] = -_SQUEEZE * rng.uniform(0.0, 1.0) * places
    return moved


def _draw_distractors(rng: np.random.Generator) -> tuple[Placed, ...]:
    count = int(rng.integers(2, len(_SPOTS) + 1))
    spots = rng.permutation(len(_SPOTS))[:count]
    kinds = rng.choice(OBJECT_NAMES, count)
    placed = []
    for spot, kind in zip(spots, kinds, strict=True):
        x, y = np.array(_SPOTS[spot]) + rng.uniform(-0.01, 0.01, 2)
        yaw = float(rng.uniform(-np.pi, np.pi))
        colour = PALETTE[str(rng.choice(list(PALETTE)))]
        placed.append(Placed(str(kind), (float(x), float(y)), yaw, colour))
    return tuple(placed)


def arm_mounts(arm: ArmModel) -> tuple[Mount, Mount]:
    """Two arms that face each other across the table, the left one at positive y.

    The garment's middle is a little beyond the middle of their reach, as each has to get hold of
    the far edge but not of the near one.
    """
    reach = 0.5 * (arm.workspace.low[0] + arm.workspace.high[0]) + 0.03
    height = arm.base_xyz[2]
    left = Mount('left_', (MIDDLE_X, reach, height), -math.pi / 2)
    return left, Mount('right_', (MIDDLE_X, -reach, height), math.pi / 2)


def furnish(
    spec: 'mujoco.MjSpec',
    layout: FoldingLayout,
    garment: Garment,
    arm: ArmModel,
    prefixes: Sequence[str],
) -> None:
    """Add looks, table, garment and cameras to a scene that holds the arms.

    Cameras: `front`, well above the near edge, and one on each wrist.
    """
    add_looks(spec, layout.looks)
    add_table(spec, TABLE_SIZE)
    holders = [spec.site(f'{prefix}ee').parent.name for prefix in prefixes]
    add_garment(spec, garment, layout.fabric, layout.on_table(garment), holders)
    for index, placed in enumerate(layout.distractors):
        add_object(spec, f'distractor_{index}', placed)
    camera = spec.worldbody.add_camera(name='front')
    look_at(camera, (0.03, 0.0, 0.62), (0.295, 0.0, 0.0), (1.0, 0.0, 0.0), 33.0)
    for prefix in prefixes:
        add_wrist_camera(spec, arm, prefix)
