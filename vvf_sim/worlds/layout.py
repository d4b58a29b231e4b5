# SPDX-License-Identifier: Apache-2.0
"""What a seed decides about a pick-and-place scene: kinds, places, colours, light, cameras."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from vvf_sim.errors import UserError
from vvf_sim.rotations import Array
from vvf_sim.worlds.domain import axis_rng
from vvf_sim.worlds.object_kinds import PALETTE, Vector
from vvf_sim.worlds.objects import CONTAINERS, OBJECT_NAMES, OBJECTS
from vvf_sim.worlds.scenarios import NEW_DISTRACTORS
from vvf_sim.worlds.variation import colour, draw_place, draw_table_colour
from vvf_sim.worlds.world_config import WorldConfig

OBJECT_AREA = ((0.2, -0.2), (0.38, 0.2))
CONTAINER_AREA = ((0.18, 0.13), (0.32, 0.22))
OBJECT_SPACING = 0.085
CONTAINER_CLEARANCE = 0.082
# Colours nearer than this in RGB look alike at 64 pixels.
COLOUR_DISTANCE = 0.35
_AXIS_DISTRACTORS = 2


@dataclass(frozen=True)
class PickPlaceConfig(WorldConfig):
    """What may vary between seeds. The defaults are the demo: carrot, bowl, two distractors.

    Attributes:
        targets: kinds that the object to pick is drawn from.
        containers: kinds that the container is drawn from.
        distractors: kinds that the other objects are drawn from, never the target's.
        n_distractors: how many other objects there are, 0 to 4.
        table_colour: draw the table's colour; otherwise it is grey.
        table_texture: draw the checker's size and contrast too.
        light: draw the light's direction and strength.
        object_colours: draw colours of toys and shift those of food a little.
        camera_jitter_m: largest shift of each camera along each axis, metres.
        camera_jitter_rad: largest turn of each camera about each axis, rad.
        start_jitter_m: largest shift of the gripper's start along each axis, metres.
        start_jitter_rad: largest turn of the gripper's start about the vertical, rad.
    """

    targets: tuple[str, ...] = ('carrot',)
    containers: tuple[str, ...] = ('bowl',)
    distractors: tuple[str, ...] = OBJECT_NAMES
    n_distractors: int = 2
    table_colour: bool = True
    table_texture: bool = False
    light: bool = True
    object_colours: bool = True
    camera_jitter_m: float = 0.0
    camera_jitter_rad: float = 0.0
    start_jitter_m: float = 0.02
    start_jitter_rad: float = 0.15

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            UserError: a name or number is not one that the world knows.
        """
        super().__post_init__()
        _check_names('target', self.targets, tuple(OBJECTS))
        _check_names('container', self.containers, tuple(CONTAINERS))
        _check_names('distractor', self.distractors, tuple(OBJECTS), self.n_distractors > 0)
        if not 0 <= self.n_distractors <= 4:
            raise UserError(f'n_distractors is {self.n_distractors}: use 0 to 4.')


@dataclass(frozen=True)
class Placed:
    """An object on the table: kind, position (x, y) in m, yaw in rad, colour."""

    kind: str
    xy: tuple[float, float]
    yaw: float
    colour: Vector


@dataclass(frozen=True)
class Layout:
    """Everything that a seed decided.

    Attributes:
        objects: the target first, then the distractors.
        container: its kind.
        container_xy: its middle in m.
        table_colour: RGB of the lighter squares.
        checker_contrast: darker squares' part of that colour.
        checker_repeat: pairs of squares across the table.
        sky_colour: RGB of all that is not table.
        light_direction: the way its rays go.
        light_strength: diffuse part.
        ambient: ambient part.
        camera_shift: per camera (2, 3) in m.
        camera_turn: per camera (2, 3) rotation vector in rad.
        start_xyz: commanded start of the tip in m.
        start_yaw: of the gripper in rad.
        container_colour: RGB, or None for its kind's own.
    """

    objects: tuple[Placed, ...]
    container: str
    container_xy: tuple[float, float]
    table_colour: Vector
    checker_contrast: float
    checker_repeat: float
    sky_colour: Vector
    light_direction: Vector
    light_strength: float
    ambient: float
    camera_shift: Array
    camera_turn: Array
    start_xyz: Array
    start_yaw: float
    container_colour: Vector | None = None


def add_axes(layout: Layout, config: PickPlaceConfig, seed: int) -> Layout:
    """The domain axes that are pick-and-place's own, on a layout that stays as it was else.

    `distractors` adds two objects that no data set has, where there is room; `objects` gives
    every object and the container another colour.
    """
    if 'distractors' in config.axes:
        layout = _more_distractors(layout, config, axis_rng('distractors', seed))
    if 'objects' in config.axes:
        rng = axis_rng('objects', seed)
        recoloured = [replace(placed, colour=_any_colour(rng)) for placed in layout.objects]
        layout = replace(layout, objects=tuple(recoloured), container_colour=_any_colour(rng))
    return layout


def _more_distractors(layout: Layout, config: PickPlaceConfig, rng: np.random.Generator) -> Layout:
    objects = list(layout.objects)
    rim = CONTAINERS[layout.container].rim_radius
    for kind in rng.choice(NEW_DISTRACTORS, _AXIS_DISTRACTORS, replace=False):
        for _ in range(200):
            place = draw_place(config.setting, rng, OBJECT_AREA)
            near = _distance(place, layout.container_xy) < rim + CONTAINER_CLEARANCE
            if near or any(_distance(place, other.xy) < OBJECT_SPACING for other in objects):
                continue
            yaw = float(rng.uniform(-np.pi, np.pi))
            natural = OBJECTS[str(kind)].colour
            objects.append(Placed(str(kind), place, yaw, natural or _any_colour(rng)))
            break
    return replace(layout, objects=tuple(objects))


def _any_colour(rng: np.random.Generator) -> Vector:
    hue, saturation, brightness = rng.uniform([0.0, 0.3, 0.3], [1.0, 1.0, 1.0])
    return colorsys.hsv_to_rgb(float(hue), float(saturation), float(brightness))


def sample_layout(config: PickPlaceConfig, rng: np.random.Generator) -> Layout:
    """Draw a scene; the same generator state gives the same scene."""
    target = str(rng.choice(config.targets))
    container = str(rng.choice(config.containers))
    others = [kind for kind in config.distractors if kind != target]
    if config.n_distractors > len(others):
        raise UserError(
            f'{config.n_distractors} distractors are wanted but only {len(others)} kinds differ '
            f'from the target: add kinds to distractors.'
        )
    kinds = [target, *(str(k) for k in rng.choice(others, config.n_distractors, replace=False))]
    container_xy, places = _places(config, rng, CONTAINERS[container].rim_radius, len(kinds))
    colours = _colours(config, rng, kinds)
    objects = tuple(
        Placed(kind, place, float(rng.uniform(-np.pi, np.pi)), colour)
        for kind, place, colour in zip(kinds, places, colours, strict=True)
    )
    table = _table_colour(config, rng)
    texture = rng.uniform([0.75, 3.0], [0.95, 9.0]) if config.table_texture else (0.86, 5.0)
    light = rng.uniform(-1.0, 1.0, 4) if config.light else np.zeros(4)
    start = np.array([0.22, 0.0, 0.18]) + config.start_jitter_m * rng.uniform(-1.0, 1.0, 3)
    return Layout(
        objects=objects,
        container=container,
        container_xy=container_xy,
        table_colour=table,
        checker_contrast=float(texture[0]),
        checker_repeat=float(texture[1]),
        sky_colour=colour(np.array([0.55, 0.6, 0.65]) + 0.08 * light[3]),
        light_direction=(0.3 * float(light[0]), -0.2 + 0.3 * float(light[1]), -1.0),
        light_strength=0.4 + 0.1 * float(light[2]),
        ambient=0.42 + 0.06 * float(light[3]),
        camera_shift=config.camera_jitter_m * rng.uniform(-1.0, 1.0, (2, 3)),
        camera_turn=config.camera_jitter_rad * rng.uniform(-1.0, 1.0, (2, 3)),
        start_xyz=start,
        start_yaw=config.start_jitter_rad * float(rng.uniform(-1.0, 1.0)),
    )


def _check_names(
    what: str, names: tuple[str, ...], known: tuple[str, ...], required: bool = True
) -> None:
    if required and not names:
        raise UserError(f'no {what} is given: name at least one of {", ".join(known)}.')
    for name in names:
        if name not in known:
            raise UserError(f'{what} {name!r} is unknown: choose from {", ".join(known)}.')


def _places(
    config: PickPlaceConfig, rng: np.random.Generator, rim: float, count: int
) -> tuple[tuple[float, float], list[tuple[float, float]]]:
    # Starting over beats shrinking the distances when the last object finds no room.
    while True:
        side = float(rng.choice([-1.0, 1.0]))
        middle = draw_place(config.setting, rng, CONTAINER_AREA, side)
        places: list[tuple[float, float]] = []
        for _ in range(60 * count):
            place = draw_place(config.setting, rng, OBJECT_AREA)
            near = _distance(place, middle) < rim + CONTAINER_CLEARANCE
            if near or any(_distance(place, other) < OBJECT_SPACING for other in places):
                continue
            places.append(place)
            if len(places) == count:
                return middle, places


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _table_colour(config: PickPlaceConfig, rng: np.random.Generator) -> Vector:
    if not config.table_colour:
        return (0.5, 0.52, 0.55)
    return draw_table_colour(config.setting, rng)


def _colours(config: PickPlaceConfig, rng: np.random.Generator, kinds: list[str]) -> list[Vector]:
    names = list(PALETTE)
    if config.object_colours:
        rng.shuffle(names)
    colours: list[Vector] = []
    for kind in kinds:
        natural = OBJECTS[kind].colour
        shift = 0.05 * rng.uniform(-1.0, 1.0, 3) if config.object_colours else np.zeros(3)
        if natural is None:
            # A toy never looks like the target, which goes first.
            natural = next(
                toy
                for toy in (PALETTE[name] for name in names)
                if all(_colour_distance(toy, other) > COLOUR_DISTANCE for other in colours)
            )
        colours.append(colour(np.asarray(natural) + shift))
    return colours


def _colour_distance(a: Vector, b: Vector) -> float:
    return float(np.linalg.norm(np.subtract(a, b)))
