# SPDX-License-Identifier: Apache-2.0
"""What the hand opens and closes: drawers, lids and doors."""

from collections.abc import Iterator

import numpy as np

from vvf_sim.clips.activities import Activity
from vvf_sim.clips.puppet import Puppet, up
from vvf_sim.clips.stage import Stage
from vvf_sim.clips.things import ALONG_X, ALONG_Y, Piece, draw_colour
from vvf_sim.clips.vessels import draw_thing
from vvf_sim.rotations import Array, rotation_exp, rotation_z
from vvf_sim.worlds.object_kinds import Vector

_METAL: Vector = (0.75, 0.75, 0.78)


class Drawer(Activity):
    """Pulls a drawer open, or pushes it shut."""

    def furnish(self, stage: Stage) -> None:
        """A chest with a drawer."""
        rng = self.rng
        colour, body = draw_colour(rng)
        _, front = draw_colour(rng)
        x, y, z = (float(v) for v in rng.uniform([0.07, 0.07, 0.04], [0.1, 0.11, 0.06]))
        wall = 0.006
        chest = (
            Piece('box', (x, y, wall), (x, 0, 2 * z + wall), body),
            Piece('box', (x, y, wall), (x, 0, 0), body),
            Piece('box', (wall, y, z), (2 * x, 0, z), body),
            *(Piece('box', (x, wall, z), (x, s * y, z), body) for s in (-1.0, 1.0)),
        )
        inner = 0.9 * y
        drawer = (
            Piece('box', (wall, y, 0.95 * z), (-wall, 0, z), front),
            Piece('box', (0.9 * x, inner, 0.004), (0.9 * x, 0, 0.35 * z), body),
            *(Piece('box', (0.9 * x, 0.004, 0.4 * z), (0.9 * x, s * inner, 0.7 * z), front)
              for s in (-1.0, 1.0)),
            Piece('box', (0.004, inner, 0.4 * z), (1.8 * x, 0, 0.7 * z), front),
            Piece('capsule', (0.006, 0.025, 0), (-0.03, 0, z), _METAL, ALONG_Y),
            *(Piece('box', (0.012, 0.003, 0.003), (-0.018, s * 0.022, z), _METAL)
              for s in (-1.0, 1.0)),
        )  # fmt: skip
        place = np.array([float(rng.uniform(0.36, 0.44)), float(rng.uniform(-0.1, 0.1)), 0.0])
        turn = rotation_z(float(rng.uniform(-0.25, 0.25)))
        stage.take(place[0] + x, place[1], 0.14)
        stage.take(place[0] - 0.08, place[1], 0.08)
        self._opens = bool(rng.random() < 0.5)
        self._out = turn @ [-1.0, 0.0, 0.0]
        self._far = float(rng.uniform(0.08, 0.12))
        self._shut, self._height = place, z
        stage.move_pieces(chest, place, turn)
        start = place if self._opens else place + self._far * self._out
        self._drawer = stage.move_pieces(drawer, start, turn)
        verb = 'open' if self._opens else 'close'
        self.instruction = f'{verb} the drawer of the {colour} chest'

    def act(self, puppet: Puppet) -> Iterator[None]:
        """By its handle."""
        handle = puppet.place_of(self._drawer) + 0.03 * self._out + up(self._height)
        yield from puppet.reach(handle, 'tips', 0.012)
        puppet.hold(self._drawer)
        way = self._far * self._out * (1.0 if self._opens else -1.0)
        yield from puppet.move(puppet.at + way, seconds=1.2)
        yield from puppet.release()


class Lid(Activity):
    """Opens or closes a box with a hinged lid."""

    def furnish(self, stage: Stage) -> None:
        """A box with something in it."""
        rng = self.rng
        colour, body = draw_colour(rng)
        _, top = draw_colour(rng)
        x, y, z = (float(v) for v in rng.uniform([0.05, 0.06, 0.025], [0.075, 0.095, 0.045]))
        wall = 0.004
        box = (
            Piece('box', (x, y, wall), (-x, 0, wall), body),
            *(Piece('box', (x, wall, z), (-x, s * y, z), body) for s in (-1.0, 1.0)),
            *(Piece('box', (wall, y, z), (dx, 0, z), body) for dx in (0.0, -2 * x)),
        )
        lid = (
            Piece('box', (x + wall, y + wall, wall), (-x, 0, wall), top),
            Piece('capsule', (0.006, 0.012, 0), (-2 * x - 0.008, 0, wall), _METAL, ALONG_Y),
        )
        place = np.array([float(rng.uniform(0.38, 0.46)), float(rng.uniform(-0.12, 0.12)), 0.0])
        self._base = rotation_z(float(rng.uniform(-0.3, 0.3)))
        stage.take(place[0] - x, place[1], 0.13)
        stage.move_pieces(box, place, self._base)
        thing = draw_thing(rng)
        if thing.radius < 0.8 * x and thing.height < 2 * z:
            stage.put(thing, place + self._base @ [-x, 0.0, 2 * wall])
        self._opens = bool(rng.random() < 0.5)
        self._widest = float(rng.uniform(1.4, 1.9))
        self._hinge = place + up(2 * z)
        self._length = 2 * x
        start = 0.0 if self._opens else self._widest
        self._lid = stage.move_pieces(lid, self._hinge, self._turn(start))
        verb = 'open' if self._opens else 'close'
        self.instruction = f'{verb} the {colour} box'

    def _turn(self, angle: float) -> Array:
        # About y: the near edge goes up.
        return np.asarray(self._base @ rotation_exp(np.array([0.0, angle, 0.0])))

    def _edge(self, angle: float) -> Array:
        return np.asarray(self._hinge + self._turn(angle) @ [-self._length - 0.008, 0.0, 0.004])

    def act(self, puppet: Puppet) -> Iterator[None]:
        """By its edge, along a circle."""
        first, last = (0.0, self._widest) if self._opens else (self._widest, 0.0)
        yield from puppet.reach(self._edge(first), 'tips', 0.012)
        for step in range(1, 7):
            begin = first + (last - first) * (step - 1) / 6
            end = first + (last - first) * step / 6

            def along(s: float, begin: float = begin, end: float = end) -> None:
                puppet.put(self._lid, self._hinge, self._turn(begin + s * (end - begin)))

            yield from puppet.move(self._edge(end), seconds=0.25, along=along)
        yield from puppet.release()


class Door(Activity):
    """Opens or closes the door of a small cupboard."""

    def furnish(self, stage: Stage) -> None:
        """A cupboard."""
        rng = self.rng
        colour, body = draw_colour(rng)
        _, front = draw_colour(rng)
        x, y, z = (float(v) for v in rng.uniform([0.07, 0.08, 0.07], [0.1, 0.11, 0.1]))
        wall = 0.006
        inside: Vector = (0.3 * body[0], 0.3 * body[1], 0.3 * body[2])
        cupboard = (
            *(Piece('box', (x, y, wall), (x, 0, h), body) for h in (wall, z, 2 * z)),
            *(Piece('box', (x, wall, z), (x, s * y, z), body) for s in (-1.0, 1.0)),
            Piece('box', (wall, y, z), (2 * x, 0, z), inside),
        )
        self._side = float(rng.choice([-1.0, 1.0]))
        self._width = 2 * y
        reach = -self._side * (2 * y - 0.02)
        door = (
            Piece('box', (wall, y, z), (0, -self._side * y, 0), front),
            Piece('capsule', (0.006, 0.02, 0), (-0.025, reach, 0), _METAL),
            Piece('capsule', (0.003, 0.01, 0), (-0.012, reach, 0), _METAL, ALONG_X),
        )
        place = np.array([float(rng.uniform(0.4, 0.48)), float(rng.uniform(-0.1, 0.1)), 0.0])
        self._base = rotation_z(float(rng.uniform(-0.2, 0.2)))
        stage.take(place[0] + x, place[1], 0.14)
        stage.take(place[0] - 0.1, place[1], 0.12)
        stage.move_pieces(cupboard, place, self._base)
        self._hinge = place + self._base @ [-0.008, self._side * y, z]
        self._opens = bool(rng.random() < 0.5)
        self._widest = float(rng.uniform(1.1, 1.7))
        start = 0.0 if self._opens else self._widest
        self._door = stage.move_pieces(door, self._hinge, self._turn(start))
        self.instruction = f'{"open" if self._opens else "close"} the {colour} cupboard'

    def _turn(self, angle: float) -> Array:
        return np.asarray(self._base @ rotation_z(-self._side * angle))

    def _handle(self, angle: float) -> Array:
        reach = -self._side * (self._width - 0.02)
        return np.asarray(self._hinge + self._turn(angle) @ [-0.028, reach, 0.0])

    def act(self, puppet: Puppet) -> Iterator[None]:
        """By its handle, along a circle."""
        first, last = (0.0, self._widest) if self._opens else (self._widest, 0.0)
        yield from puppet.reach(self._handle(first), 'tips', 0.012, above=0.04)
        for step in range(1, 7):
            begin = first + (last - first) * (step - 1) / 6
            end = first + (last - first) * step / 6

            def along(s: float, begin: float = begin, end: float = end) -> None:
                puppet.put(self._door, self._hinge, self._turn(begin + s * (end - begin)))

            yield from puppet.move(self._handle(end), seconds=0.25, along=along)
        yield from puppet.release()
