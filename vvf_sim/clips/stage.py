# SPDX-License-Identifier: Apache-2.0
"""Where a clip takes place: a table in some room, its light, a head with a camera, and things."""

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_sim.clips.things import Piece, Thing, draw_colour
from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array, rotation_z
from vvf_sim.worlds.spec import GHOST, mat_to_quat

# Where the hand reaches, x away from the person and y to their left, m.
REACH = ((0.17, -0.2), (0.42, 0.2))
PATTERNS = ('plain', 'stripes', 'checks', 'plaid', 'dots', 'wood', 'speckles')
_TEXELS = 96
_TRIES = 60


@dataclass
class Mover:
    """Something whose pose is set for every frame.

    Attributes:
        name: of its body.
        place: (3,) in m.
        turn: (3, 3).
        thing: what it is, if it is a thing of the table.
    """

    name: str
    place: Array
    turn: Array
    thing: Thing | None = None


class Stage:
    """A scene under construction, then compiled.

    Args:
        rng: what everything is drawn from.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.spec = mujoco.MjSpec()
        self.movers: list[Mover] = []
        self._taken: list[tuple[float, float, float]] = []
        self._light()
        self._room()
        head = self.spec.worldbody.add_body(name='head', mocap=True)
        head.add_camera(name='eye').fovy = float(rng.uniform(44.0, 60.0))

    def spot(
        self, radius: float, area: tuple[tuple[float, float], tuple[float, float]] = REACH
    ) -> Array:
        """A free place (3,) on the table for something of that radius; it is taken then.

        Where all is full, things stand nearer to each other.
        """
        for attempt in range(_TRIES):
            x, y = (float(v) for v in self.rng.uniform(*area))
            gap = 0.015 * (1.0 - attempt / _TRIES)
            if all(np.hypot(x - a, y - b) > radius + r + gap for a, b, r in self._taken):
                break
        self._taken.append((x, y, radius))
        return np.array([x, y, 0.0])

    def take(self, x: float, y: float, radius: float) -> None:
        """Keep a place free of what comes later."""
        self._taken.append((x, y, radius))

    def put(self, thing: Thing, place: Array | None = None, yaw: float | None = None) -> int:
        """Stand a thing somewhere, or at a place; returns the mover's number."""
        spot = self.spot(thing.radius) if place is None else np.asarray(place, np.float64)
        turn = rotation_z(float(self.rng.uniform(-np.pi, np.pi)) if yaw is None else yaw)
        number = self.move_pieces(thing.pieces, spot, turn)
        self.movers[number].thing = thing
        return number

    def move_pieces(self, pieces: tuple[Piece, ...], place: Array, turn: Array) -> int:
        """Add pieces that move as one; returns the mover's number."""
        name = f'mover_{len(self.movers)}'
        body = self.spec.worldbody.add_body(name=name, mocap=True)
        Thing('', pieces, 0.0, 0.0, 0.0, 'none', 0.0).add_to(body)
        self.movers.append(Mover(name, np.asarray(place, np.float64), turn))
        return len(self.movers) - 1

    def _light(self) -> None:
        spec, rng = self.spec, self.rng
        tint = 1.0 + float(rng.uniform(-0.12, 0.12)) * np.array([1.0, 0.0, -1.0])
        light = spec.worldbody.add_light(type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
        angle, tilt = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.2, 1.0))
        light.dir = [tilt * np.cos(angle), tilt * np.sin(angle), -1.0]
        light.castshadow = False
        light.diffuse = float(rng.uniform(0.25, 0.6)) * tint
        light.specular = light.ambient = [0.0] * 3
        head = spec.visual.headlight
        head.ambient = float(rng.uniform(0.25, 0.45)) * tint
        head.diffuse = [float(rng.uniform(0.2, 0.4))] * 3
        head.specular = [0.0] * 3
        quality = spec.visual.quality
        quality.shadowsize = quality.offsamples = 0
        # Software rendering of many small round things is a matter of their corners.
        quality.numslices, quality.numstacks, quality.numquads = 14, 8, 1
        spec.visual.map.znear, spec.visual.map.zfar = 0.02, 12.0
        spec.stat.extent, spec.stat.center = 0.8, [0.3, 0.0, 0.1]

    def _room(self) -> None:
        spec, rng = self.spec, self.rng
        for name in ('table', 'wall', 'floor'):
            pixels = draw_pattern(rng)
            texture = spec.add_texture(
                name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=_TEXELS, height=_TEXELS
            )
            texture.nchannel = 3
            texture.data = pixels.tobytes()
            material = spec.add_material(name=name, specular=0.0)
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
            # Whole numbers: the ray caster begins a pattern at the other edge.
            repeat = int(rng.integers(1, 7)) * (1 if name == 'table' else 2)
            material.texrepeat = [repeat, repeat]
        sky = spec.add_texture(
            name='sky',
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
            width=8,
            height=48,
        )
        sky.rgb1, sky.rgb2 = draw_colour(rng)[1], draw_colour(rng)[1]
        world = spec.worldbody
        box, tube = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
        wide, deep = float(rng.uniform(0.42, 0.8)), float(rng.uniform(0.28, 0.45))
        middle = [0.06 + deep, 0.0]
        if rng.random() < 0.25:
            world.add_geom(
                type=tube, size=[0.48, 0.02, 0], pos=[0.36, 0.0, -0.02], material='table', **GHOST
            )
        else:
            world.add_geom(
                type=box, size=[deep, wide, 0.02], pos=[*middle, -0.02], material='table', **GHOST
            )
        world.add_geom(
            type=box, size=[3.0, 3.0, 0.01], pos=[0.5, 0.0, -0.75], material='floor', **GHOST
        )
        wall = world.add_geom(type=box, size=[1.5, 3.0, 0.01], material='wall', **GHOST)
        wall.pos = [float(rng.uniform(0.9, 2.4)), 0.0, 0.5]
        wall.quat = [np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0]
        for _ in range(int(rng.integers(0, 6))):
            self._furniture()

    def _furniture(self) -> None:
        """Something large behind the table or at its far end."""
        rng = self.rng
        size = rng.uniform([0.03, 0.03, 0.05], [0.2, 0.2, 0.4])
        behind = rng.random() < 0.6
        x = float(rng.uniform(0.95, 1.6) if behind else rng.uniform(0.62, 0.7))
        y = float(rng.uniform(-0.8, 0.8))
        if not behind:
            size *= 0.35
        kind = mujoco.mjtGeom.mjGEOM_BOX if rng.random() < 0.7 else mujoco.mjtGeom.mjGEOM_CYLINDER
        if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
            size = np.array([size[0], size[2], 0.0])
        height = size[1] if size[2] == 0.0 else size[2]
        z = -0.74 + height + float(rng.uniform(0.0, 0.6)) if behind else height
        rgba = [*draw_colour(rng)[1], 1.0]
        self.spec.worldbody.add_geom(type=kind, size=size, pos=[x, y, z], rgba=rgba, **GHOST)


def draw_pattern(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A drawn texture (96, 96, 3)."""
    kind = PATTERNS[int(rng.integers(len(PATTERNS)))]
    first = _muted(rng)
    other = np.clip(first + rng.uniform(-0.3, 0.3) + rng.uniform(-0.12, 0.12, 3), 0.0, 1.0)
    v, u = np.mgrid[0:_TEXELS, 0:_TEXELS] / _TEXELS
    count = int(rng.integers(1, 5))
    if kind == 'stripes':
        share = (np.floor(u * 2 * count) % 2)[..., None]
    elif kind == 'checks':
        share = ((np.floor(u * 2 * count) + np.floor(v * 2 * count)) % 2)[..., None]
    elif kind == 'plaid':
        share = 0.5 * ((np.floor(u * 2 * count) % 2) + (np.floor(v * 2 * count) % 2))[..., None]
    elif kind == 'dots':
        x, y = (u * count) % 1.0 - 0.5, (v * count) % 1.0 - 0.5
        share = (np.hypot(x, y) < rng.uniform(0.15, 0.4))[..., None].astype(np.float64)
    elif kind == 'wood':
        first = np.array(colorsys.hsv_to_rgb(rng.uniform(0.05, 0.11), rng.uniform(0.3, 0.6), 0.7))
        other = 0.72 * first
        bend = 0.05 * np.sin(2 * np.pi * (v + rng.random())) + 0.02 * np.sin(6 * np.pi * v)
        grain = np.sin(2 * np.pi * (u + bend) * (3 + 2 * count))
        share = (0.5 + 0.5 * grain * np.sin(2 * np.pi * u * 2 + rng.random()))[..., None]
    elif kind == 'speckles':
        share = (rng.random((_TEXELS, _TEXELS, 1)) < rng.uniform(0.05, 0.4)).astype(np.float64)
    else:
        share = np.zeros((_TEXELS, _TEXELS, 1))
    image = first + share * (other - first)
    return np.asarray(np.clip(255.0 * image, 0.0, 255.0), np.uint8)


def _muted(rng: np.random.Generator) -> Array:
    hue, saturation, brightness = rng.uniform([0.0, 0.05, 0.35], [1.0, 0.5, 0.95])
    return np.array(colorsys.hsv_to_rgb(hue, saturation, brightness))


class Eye:
    """A camera on a head that is never quite still, or on a stand.

    Args:
        rng: what it is drawn from.
        fps: frames a second.
    """

    def __init__(self, rng: np.random.Generator, fps: float) -> None:
        self._fps = fps
        self.first_person = bool(rng.random() < 0.8)
        if self.first_person:
            self._place = rng.uniform([-0.16, -0.07, 0.4], [0.0, 0.07, 0.58])
            self._gaze, self._sway = float(rng.uniform(0.1, 0.45)), float(rng.uniform(0.3, 1.0))
        else:
            angle = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.9, 3.0))
            self._place = np.array([0.3, 0.0, float(rng.uniform(0.3, 0.6))])
            self._place[:2] += float(rng.uniform(0.5, 0.7)) * np.array(
                [-np.cos(angle), np.sin(angle)]
            )
            self._gaze, self._sway = 0.0, float(rng.choice([0.0, 0.3]))
        self._target = rng.uniform([0.24, -0.03, 0.0], [0.32, 0.03, 0.04])
        self._roll = float(rng.uniform(-0.08, 0.08))
        # A few slow waves of each coordinate of place and target.
        self._rates = rng.uniform(0.1, 0.9, (6, 3))
        self._phases = rng.uniform(0.0, 2 * np.pi, (6, 3))
        self._seen: Array | None = None

    def look(self, frame: int, hand: Array) -> tuple[Array, Array]:
        """Place (3,) in m and quaternion (w, x, y, z) at a frame, the hand being at (3,)."""
        waves = np.sin(2 * np.pi * self._rates * frame / self._fps + self._phases).mean(1)
        place = self._place + self._sway * 0.03 * waves[:3]
        self._seen = hand if self._seen is None else self._seen + 0.25 * (hand - self._seen)
        target = self._target + self._gaze * (np.clip(self._seen, *_SEEN) - self._target)
        target = target + self._sway * 0.02 * waves[3:]
        return place, _look_turn(place, target, np.array([np.sin(self._roll), 0.0, 1.0]))


_SEEN = (np.array([0.15, -0.2, 0.0]), np.array([0.45, 0.2, 0.15]))


def _look_turn(place: Array, target: Array, up: Array) -> Array:
    back = (place - target) / np.linalg.norm(place - target)
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    return mat_to_quat(np.stack([right, np.cross(back, right), back], axis=1))
