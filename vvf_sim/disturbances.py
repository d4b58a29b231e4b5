# SPDX-License-Identifier: Apache-2.0
"""Slips and pushes that are done to whoever acts, at a moment that the seed draws.

A slip: what is held is lost, as the fingers open for a moment against their command. Where nothing
is ever held, what was done last comes undone (a flap springs open). A push: what is worked on is
shoved over the table, while no finger holds anything. Either is an event of the world, named as its
kind and stamped when it begins.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vvf_sim.errors import UserError
from vvf_sim.registry import CONTROL_HZ, task_entry
from vvf_sim.rotations import Array
from vvf_sim.worlds.world import World

KINDS = ('slip', 'push')

# Steps for which the fingers are open; in one, some have not yet let go. All steps here are counted
# at `CONTROL_HZ`.
_OPEN_STEPS = 2
# Steps for which something has been held, or done, before it is lost: a first and a last.
_LOST_AFTER = (2, 5)
# A push comes between these parts of the longest episode, so that something is left to be done.
_PUSHED_AT = (1 / 30, 1 / 12)
_PUSH_SPEED = 0.4  # m/s
_MOST_TICKS = 25  # of a push against something that does not give way
_SPRING_TICKS = 10


@dataclass(frozen=True)
class Disturbance:
    """What is done to an episode, once.

    Attributes:
        kind: one of `KINDS`.
    """

    kind: str

    def __post_init__(self) -> None:
        """Check the kind.

        Raises:
            UserError: there is none of that name.
        """
        if self.kind not in KINDS:
            raise UserError(f'there is no disturbance {self.kind!r}: use {", ".join(KINDS)}.')


class Disturber:
    """Disturbs one episode.

    Args:
        disturbance: what is done.
        world: after its reset.
        task: name of the task.
        seed: of the moment, the direction and the strength.
        control_hz: actions a second; the moment and how long it lasts are the same at any.

    Attributes:
        at: stamp in s at which it began; NaN before.

    Raises:
        UserError: nothing in this world can be pushed.
    """

    def __init__(
        self,
        disturbance: Disturbance,
        world: World[Any],
        task: str,
        seed: int,
        control_hz: float = CONTROL_HZ,
    ) -> None:
        self.at = float('nan')
        self._kind = disturbance.kind
        self._world = world
        rng = np.random.default_rng([seed, 17])
        pace = control_hz / CONTROL_HZ
        self._wait = round(pace * rng.integers(_LOST_AFTER[0], _LOST_AFTER[1] + 1))
        self._open_steps = round(pace * _OPEN_STEPS)
        longest = task_entry(task).max_steps
        first, last = (round(part * longest) for part in _PUSHED_AT)
        self._push_from = round(pace * rng.integers(first, last + 1))
        angle = rng.uniform(-np.pi, np.pi)
        self._direction = np.array([np.cos(angle), np.sin(angle)])
        self._distance = float(rng.uniform(*world.PUSH_M))
        self._steps = self._ready = self._ticks = self._open = 0
        self._bodies = np.zeros(0, int)
        self._start = np.zeros(2)
        if self._kind == 'push' and not world.pushable().size:
            raise UserError(f'nothing in task {task} can be pushed: disturb it by slips.')

    def before_step(self, action: ArrayLike) -> Array:
        """What is done in the next step of control instead of an action (7,) or (14,)."""
        executed = np.array(action, np.float64)
        self._steps += 1
        if np.isnan(self.at):
            if self._kind == 'slip':
                self._look_for_slip()
            else:
                self._look_for_push()
        if self._open > 0:
            self._open -= 1
            executed.reshape(-1, 7)[self._slipping, 6] = 1.0
        return executed

    def _look_for_slip(self) -> None:
        world = self._world
        held = np.array([world.holds(arm) for arm in range(len(world.arms))])
        spring = None if held.any() else world.springs()
        self._ready = self._ready + 1 if held.any() or spring else 0
        if self._ready <= self._wait:
            return
        self._begin()
        if spring:
            self._spring, self._ticks = spring, _SPRING_TICKS
            world.disturb = self._undo
        else:
            self._slipping, self._open = held, self._open_steps

    def _look_for_push(self) -> None:
        world = self._world
        if self._steps <= self._push_from or any(map(world.holds, range(len(world.arms)))):
            return
        self._bodies = world.pushable()
        if not self._bodies.size:
            return
        self._begin()
        self._start, self._ticks = self._place(), _MOST_TICKS
        world.disturb = self._push

    def _begin(self) -> None:
        self.at = self._world.time
        self._world.event(self._kind)

    def _place(self) -> Array:
        return np.asarray(self._world.data.xpos[self._bodies, :2].mean(axis=0))

    def _push(self) -> None:
        world = self._world
        gone = float((self._place() - self._start) @ self._direction)
        self._ticks -= 1
        if gone >= self._distance or self._ticks < 0:
            world.disturb = None
            return
        first = world.model.body_dofadr[self._bodies]
        world.data.qvel[first[:, None] + [0, 1]] = _PUSH_SPEED * self._direction

    def _undo(self) -> None:
        self._ticks -= 1
        if self._ticks < 0:
            self._world.disturb = None
            return
        dof, speed = self._spring
        self._world.data.qvel[dof] = speed
