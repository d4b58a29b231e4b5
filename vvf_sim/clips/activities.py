# SPDX-License-Identifier: Apache-2.0
"""What the hand does: each activity puts on the stage what it needs, and then acts."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from vvf_sim.clips.puppet import Puppet, up
from vvf_sim.clips.stage import Stage
from vvf_sim.clips.things import draw_block
from vvf_sim.clips.vessels import draw_bowl, draw_thing
from vvf_sim.rotations import Array

# Where large things stand.
LARGE = ((0.24, -0.16), (0.42, 0.16))


class Activity(ABC):
    """One thing that a person does at the table.

    Args:
        stage: it adds what it needs to.

    Attributes:
        instruction: what it is called, in words.
    """

    def __init__(self, stage: Stage) -> None:
        self.rng = stage.rng
        self.instruction = ''
        self.furnish(stage)

    @abstractmethod
    def furnish(self, stage: Stage) -> None:
        """Put things on the stage, and say what will be done with them."""

    @abstractmethod
    def act(self, puppet: Puppet) -> Iterator[None]:
        """Do it; yields once for every frame."""


class Place(Activity):
    """Puts something into a vessel, beside something, or somewhere else."""

    def furnish(self, stage: Stage) -> None:
        """Things, and perhaps a vessel."""
        rng = self.rng
        self._vessel = rng.random() < 0.65
        self._where = -1
        if self._vessel:
            bowl = draw_bowl(rng)
            self._where = stage.put(bowl, stage.spot(bowl.radius, LARGE))
            self._place = stage.movers[self._where].place
        count = int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])) if self._vessel else 1
        things = [draw_thing(rng) for _ in range(count)]
        self._items = [stage.put(thing) for thing in things]
        nouns = [f'the {thing.noun}' for thing in things]
        names = nouns[0] if count == 1 else f'{", ".join(nouns[:-1])} and {nouns[-1]}'
        if self._vessel:
            joint = 'on' if bowl.height < 0.025 else 'in'
            self.instruction = f'put {names} {joint} the {bowl.noun}'
        elif rng.random() < 0.5:
            other = draw_bowl(rng) if rng.random() < 0.4 else draw_thing(rng)
            beside = stage.put(other)
            angle = float(rng.uniform(-np.pi, np.pi))
            reach = other.radius + things[0].radius + 0.02
            turned = reach * np.array([np.cos(angle), np.sin(angle), 0.0])
            self._place = np.clip(stage.movers[beside].place + turned, *_BOUNDS)
            self.instruction = f'move {names} next to the {other.noun}'
        else:
            self._place = stage.spot(things[0].radius)
            verb = str(rng.choice(['pick up', 'move', 'lift']))
            self.instruction = f'{verb} {names}' + (' and put it down' if verb != 'move' else '')

    def act(self, puppet: Puppet) -> Iterator[None]:
        """One thing after the other."""
        for number, item in enumerate(self._items):
            yield from puppet.grasp(item)
            spread = 0.0
            if self._vessel:
                spread = 0.4 * puppet.thing(self._where).cavity * (len(self._items) > 1)
            angle = 2.1 * number
            goal = self._place + spread * np.array([np.cos(angle), np.sin(angle), 0.0])
            yield from carry_to(puppet, item, goal, self._floor(puppet))
            yield from puppet.release()

    def _floor(self, puppet: Puppet) -> float:
        return puppet.thing(self._where).floor if self._vessel else 0.0


_BOUNDS = (np.array([0.14, -0.24, 0.0]), np.array([0.46, 0.24, 0.0]))


def carry_to(puppet: Puppet, item: int, place: Array, floor: float = 0.0) -> Iterator[None]:
    """Lift what is held and set it down at a place."""
    grip = puppet.at - puppet.place_of(item)
    grasp = puppet.thing(item).grasp
    goal = place + up(floor)
    lift = float(puppet.rng.uniform(0.07, 0.13))
    yield from puppet.move(puppet.at + up(lift), seconds=0.4)
    turn = puppet.natural_turn(goal, grasp)
    swing = turn @ puppet.turn.T @ grip
    over = goal + swing + up(lift)
    yield from puppet.move(over, turn, seconds=0.8, lift=0.02)
    yield from puppet.move(goal + swing, turn, seconds=0.4)


class Push(Activity):
    """Pushes something along the table."""

    def furnish(self, stage: Stage) -> None:
        """One thing."""
        thing = draw_bowl(self.rng) if self.rng.random() < 0.3 else draw_thing(self.rng)
        self._item = stage.put(thing)
        away = self.rng.random() < 0.35
        start = stage.movers[self._item].place
        side = 0.0 if away else -float(np.sign(start[1]) or 1.0)
        self._way = np.array([1.0, 0.2, 0.0]) if away else np.array([0.1, side, 0.0])
        self._way *= float(self.rng.uniform(0.1, 0.2)) / float(np.linalg.norm(self._way))
        where = 'away' if away else ('to the left' if side > 0 else 'to the right')
        self.instruction = f'push the {thing.noun} {where}'

    def act(self, puppet: Puppet) -> Iterator[None]:
        """Comes from behind, with the finger tips."""
        thing, start = puppet.thing(self._item), puppet.place_of(self._item)
        way = self._way / float(np.linalg.norm(self._way))
        height = up(max(0.035, 0.6 * thing.height))
        behind = start - (thing.radius + 0.03) * way + height
        turn = puppet.natural_turn(behind, 'tips')
        yield from puppet.move(behind + up(0.08), turn, 0.03, seconds=0.9, lift=0.02)
        yield from puppet.move(behind, turn, seconds=0.4)

        def along(s: float) -> None:
            gone = max(0.0, s * (length + 0.02) - 0.02)
            puppet.put(self._item, start + gone * way)

        length = float(np.linalg.norm(self._way))
        yield from puppet.move(behind + self._way + 0.02 * way, seconds=1.2, along=along)
        yield from puppet.release()


class Stack(Activity):
    """Stacks blocks."""

    def furnish(self, stage: Stage) -> None:
        """Two or three blocks."""
        count = int(self.rng.choice([2, 3, 4], p=[0.5, 0.35, 0.15]))
        things = [draw_block(self.rng) for _ in range(count)]
        self._blocks = [
            stage.put(thing, yaw=float(self.rng.uniform(-0.7, 0.7))) for thing in things
        ]
        if count == 2:
            self.instruction = f'put the {things[1].noun} on the {things[0].noun}'
        else:
            self.instruction = f'stack the blocks on the {things[0].noun}'

    def act(self, puppet: Puppet) -> Iterator[None]:
        """Each on those before it."""
        base, height = puppet.place_of(self._blocks[0]), puppet.thing(self._blocks[0]).height
        for block in self._blocks[1:]:
            yield from puppet.grasp(block)
            off = 0.003 * self.rng.normal(size=3) * [1.0, 1.0, 0.0]
            yield from carry_to(puppet, block, base + off, height)
            yield from puppet.release()
            height += puppet.thing(block).height


class Touch(Activity):
    """Points at something, or taps on it."""

    def furnish(self, stage: Stage) -> None:
        """One thing."""
        thing = draw_thing(self.rng)
        self._item = stage.put(thing)
        self._taps = int(self.rng.integers(0, 4))
        self.instruction = f'{"tap on" if self._taps else "point at"} the {thing.noun}'

    def act(self, puppet: Puppet) -> Iterator[None]:
        """With the index finger."""
        height = puppet.thing(self._item).height + 0.04
        top = puppet.place_of(self._item) + np.array([-0.03, 0.0, height])
        lean = puppet.natural_turn(top, 'tips')
        over = top + np.array([-0.03, 0.0, 0.05])
        yield from puppet.move(over, lean, 0.01, seconds=1.0, lift=0.03, pointing=1.0)
        yield from puppet.wait(0.5)
        for _ in range(self._taps):
            yield from puppet.move(top, seconds=0.3)
            yield from puppet.move(over, seconds=0.3)
        yield from puppet.wait(0.4)
