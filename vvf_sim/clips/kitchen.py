# SPDX-License-Identifier: Apache-2.0
"""What the hand does in a kitchen: pours, stirs, wipes."""

from collections.abc import Iterator

import numpy as np

from vvf_sim.clips.activities import LARGE, Activity, carry_to
from vvf_sim.clips.puppet import Puppet, up
from vvf_sim.clips.stage import Stage
from vvf_sim.clips.things import Piece, draw_colour, draw_sponge, draw_spoon
from vvf_sim.clips.vessels import draw_bowl, draw_vessel
from vvf_sim.rotations import Array, rotation_exp

# Where what is no longer seen goes.
HIDDEN = np.array([0.3, 0.0, -0.5])


class Pour(Activity):
    """Pours grains or a drink out of a vessel into another."""

    _DROPS = 9

    def furnish(self, stage: Stage) -> None:
        """Two vessels, and what is poured."""
        bowl, cup = draw_bowl(self.rng), draw_vessel(self.rng)
        self._bowl = stage.put(bowl, stage.spot(bowl.radius, LARGE))
        self._cup = stage.put(cup)
        _, colour = draw_colour(self.rng)
        size = float(self.rng.uniform(0.005, 0.009))
        grain = (Piece('sphere', (size, 0, 0), (0, 0, size), colour),)
        inside = stage.movers[self._cup].place
        self._drops = []
        for number in range(self._DROPS):
            around = 0.5 * cup.radius * _around(2.4 * number) + up(0.55 * cup.height)
            self._drops.append(stage.move_pieces(grain, inside + around, np.eye(3)))
        self.instruction = f'pour from the {cup.noun} into the {bowl.noun}'

    def act(self, puppet: Puppet) -> Iterator[None]:
        """Lift, tilt, and back."""
        cup, side = puppet.thing(self._cup), puppet.side
        home, bowl = puppet.place_of(self._cup), puppet.place_of(self._bowl)
        yield from puppet.grasp(self._cup)
        puppet.hold(*self._drops)
        height = puppet.thing(self._bowl).height + 0.1
        beside = bowl + np.array([-0.01, -side * (0.03 + cup.height * 0.6), height + cup.grip])
        upright = puppet.turn
        yield from puppet.move(puppet.at + up(0.08), seconds=0.4)
        yield from puppet.move(beside, seconds=0.8)
        tilted = rotation_exp(np.array([-side * float(self.rng.uniform(1.6, 2.0)), 0.0, 0.0]))
        fallen = 0

        def fall(s: float) -> None:
            nonlocal fallen
            while fallen < min(self._DROPS, int(1.6 * (s - 0.35) * self._DROPS) + 1) and s > 0.35:
                puppet.drop(self._drops[fallen])
                spread = 0.45 * puppet.thing(self._bowl).cavity * _around(2.4 * fallen)
                level = up(0.008 + 0.001 * fallen)
                puppet.put(self._drops[fallen], bowl + spread + level, np.eye(3))
                fallen += 1

        yield from puppet.move(turn=tilted @ upright, seconds=1.5, along=fall)
        for drop in self._drops[fallen:]:
            puppet.drop(drop)
            puppet.put(drop, bowl + up(0.018))
        yield from puppet.wait(0.4)
        yield from puppet.move(turn=upright, seconds=0.7)
        yield from carry_to(puppet, self._cup, home)
        yield from puppet.release()


class Stir(Activity):
    """Stirs in a vessel with a spoon."""

    def furnish(self, stage: Stage) -> None:
        """A vessel and a spoon."""
        bowl, spoon = draw_bowl(self.rng), draw_spoon(self.rng)
        self._bowl = stage.put(bowl, stage.spot(bowl.radius, LARGE))
        yaw = float(self.rng.uniform(2.5, 3.8))
        self._spoon = stage.put(spoon, yaw=yaw)
        soup = Piece(
            'cylinder', (0.9 * bowl.cavity, 0.002, 0), (0, 0, 0.01), draw_colour(self.rng)[1]
        )
        stage.move_pieces((soup,), stage.movers[self._bowl].place, np.eye(3))
        self._home = stage.movers[self._spoon].place.copy()
        self.instruction = f'stir in the {bowl.noun} with the {spoon.noun}'

    def act(self, puppet: Puppet) -> Iterator[None]:
        """Round and round, then the spoon goes back."""
        bowl = puppet.thing(self._bowl)
        yield from puppet.grasp(self._spoon)
        flat = puppet.turn
        steep = puppet.natural_turn(puppet.at, 'tips') @ rotation_exp(np.array([0.0, -0.7, 0.0]))
        middle = puppet.place_of(self._bowl) + up(bowl.height + 0.045)
        yield from puppet.move(middle + np.array([-0.02, 0.0, 0.06]), steep, seconds=0.9)
        yield from puppet.move(middle, seconds=0.4)
        radius = 0.45 * bowl.cavity
        for number in range(int(self.rng.integers(4, 14))):
            yield from puppet.move(middle + radius * _around(1.6 * number), seconds=0.3)
        yield from puppet.move(middle + up(0.07), seconds=0.4)
        yield from puppet.move(turn=flat, seconds=0.3)
        yield from carry_to(puppet, self._spoon, self._home)
        yield from puppet.release()


class Wipe(Activity):
    """Wipes stains off the table."""

    def furnish(self, stage: Stage) -> None:
        """A sponge and stains."""
        sponge = draw_sponge(self.rng)
        self._sponge = stage.put(sponge, yaw=float(self.rng.uniform(-0.6, 0.6)))
        middle = stage.spot(0.08, LARGE)
        _, colour = draw_colour(self.rng)
        self._stains = []
        for _ in range(int(self.rng.integers(2, 6))):
            size = self.rng.uniform(0.012, 0.03, 2)
            stain = Piece('ellipsoid', (float(size[0]), float(size[1]), 0.001), (0, 0, 0), colour)
            place = middle + self.rng.uniform(-0.055, 0.055, 3) * [1.0, 1.0, 0.0]
            self._stains.append(stage.move_pieces((stain,), place, np.eye(3)))
        self._middle = middle
        what = str(self.rng.choice(['the table', 'the stains off the table']))
        self.instruction = f'wipe {what} with the {sponge.noun}'

    def act(self, puppet: Puppet) -> Iterator[None]:
        """To and fro; what the sponge has passed over twice is gone."""
        yield from puppet.grasp(self._sponge)
        grip = puppet.at - puppet.place_of(self._sponge)
        yield from puppet.move(self._middle + np.array([-0.06, -0.06, 0.05]) + grip, seconds=0.8)
        passed = dict.fromkeys(self._stains, 0)

        def along(_: float) -> None:
            for stain in self._stains:
                near = puppet.place_of(stain) - puppet.place_of(self._sponge)
                passed[stain] += bool(np.hypot(near[0], near[1]) < 0.05)
                if passed[stain] > 3:
                    puppet.put(stain, HIDDEN)

        for stroke in range(int(self.rng.integers(5, 10))):
            x = -0.06 + 0.03 * (stroke % 5)
            for y in (0.07, -0.07):
                end = self._middle + np.array([x + 0.01 * (y < 0), y, 0.0]) + grip
                yield from puppet.move(end, seconds=0.35, along=along)
        for stain in self._stains:
            puppet.put(stain, HIDDEN)
        yield from puppet.release()


def _around(angle: float) -> Array:
    return np.array([np.cos(angle), np.sin(angle), 0.0])
