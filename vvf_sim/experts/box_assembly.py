# SPDX-License-Identifier: Apache-2.0
"""Scripted closing of a carton from privileged state, with designed mistakes and recoveries.

Between strokes the script looks at the flaps and takes the next one that is open, the minor ones
first. So what was missed, sprang open or was pushed away is seen to without further rules; a major
flap that is closed too early is lifted again from inside.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from vvf_sim.experts.box_assembly_accidents import Accident
from vvf_sim.experts.box_assembly_mistakes import BadStroke, Wander
from vvf_sim.experts.box_assembly_strokes import (
    FOLD,
    LEAN,
    PRESS,
    TRAVEL,
    Point,
    lift,
    rest_of,
)
from vvf_sim.experts.script import Script
from vvf_sim.rotations import Array, rotation_exp, rotation_log
from vvf_sim.worlds.box_assembly import CLOSED
from vvf_sim.worlds.box_assembly_layout import FLAPS
from vvf_sim.worlds.mount import gripper_down

# How near to a point above the flaps is near enough, m: no camera shows when it is reached.
PASSED = 0.02
# Fingers that are higher than this above a crease, m, pass over its flap when that is bent.
CLEAR = 0.045
# A flap bent further inward than this, rad, needs no sweep.
PRESS_BELOW = 0.75
# A flap that is still higher than this, rad, and resists with more than this, N, is blocked.
BLOCKED = 0.35
RESISTANCE = 6.0
# So many strokes in vain, and the flap is left as it is.
TRIES = 4


class BoxAssemblyExpert(Script):
    """Closes the flaps one by one; arguments as of `Script`."""

    MISTAKES: ClassVar[tuple[str, ...]] = (
        'wrong_order',
        'missed_flap',
        'early_release',
        'push',
        'timeout',
    )
    NOISE: ClassVar[dict[str, float]] = {
        'approach': 1.0,
        'sweep': 0.6,
        'press': 0.3,
        'lift': 0.3,
        'rise': 1.0,
        'retreat': 1.0,
    }
    KICKED: ClassVar[tuple[str, ...]] = ('approach', 'rise')

    def plan(self) -> None:
        """Decide what does not depend on how things go."""
        # Where the arm began: who takes over may be low at the carton, and has to leave it.
        ((self._home, _),) = self.world.starts()
        self._yaw = self.tip_yaw()
        self._path: list[Point] = []
        self._begun = False
        # Where the crease was, for a stroke that pushes it away; a fold follows it.
        self._aim: tuple[Array, Array] | None = None
        self._flap = 0
        # Of its own numbers: how often accidents happen changes nothing else.
        self._accident = Accident(
            np.random.default_rng([self.seed, 13]), self.config.accident_probability
        )
        self._tries = [0] * len(FLAPS)
        self._most = TRIES if self.config.recover else 1
        self._plan_mistake()

    @property
    def finished(self) -> bool:
        """Whether the script is done: the gripper draws back, or has given up looking."""
        if self.mistake == 'timeout':
            return self.steps > self._wander.give_up_after
        return self.phase == 'retreat' and self.steps > 2

    def clean(self) -> Array:
        """The next step of the script."""
        if self.mistake == 'timeout':
            return self._look_about()
        if self._accident.happening:
            # Whoever is astray begins anew, from where things are, and has not tried in vain.
            self._tries[self._flap] -= 1
            self._next()
        elif self.phase in ('', 'retreat'):
            self._next()
        while self.phase != 'retreat' and self._reached():
            self._path.pop(0)
            if self._blocked():
                self._path = self._path[-1:]
            if self._path:
                self._enter(self._path[0][0])
            else:
                self._next()
        goal = self._home if self.phase == 'retreat' else self._goal()
        return self.towards(goal, self._rotation(), 0.0)

    # -- strokes -----------------------------------------------------------------------------

    def _enter(self, phase: str) -> None:
        if phase != self.phase:
            self.enter(phase)

    def _next(self) -> None:
        """Look at the flaps and begin the next stroke."""
        self._aim = None
        flap, stroke = self._choose()
        if flap < 0:
            self._enter('retreat')
            return
        self._flap = flap
        self._tries[flap] += 1
        self._path = list(stroke)
        # Who takes over, as who is astray, goes on from the middle of a stroke.
        if self._accident.happening or not self._begun:
            self._path = self._from_here(stroke)
        if not self._accident.happening:
            self._accident.plan()
        self._begun = True
        self._yaw = self._stroke_yaw()
        self._enter(self._path[0][0])

    def _from_here(self, stroke: Sequence[Point]) -> list[Point]:
        """A stroke for fingers that are somewhere in the middle of it."""
        place = self._tips_at_crease()
        if not self.world.closed[self._flap]:
            left = rest_of(stroke, place, float(self.world.angles[self._flap]))
            if left:
                return list(left)
        # Straight up first, for fingers that are low behind the flap: it would be in the way.
        behind = place[2] < CLEAR and place[0] < stroke[0][1] - PASSED
        return [('rise', float(place[0]), TRAVEL), *stroke] if behind else list(stroke)

    def _tips_at_crease(self) -> Array:
        """The commanded finger tips, (3,) in m: outward of the flap's crease, along, above it."""
        tip = self.tip()
        crease, axes = self._crease_axes()
        return np.asarray(
            (tip[:3, 3] + self.world.arm_model.tip_reach * tip[:3, 0] - crease) @ axes
        )

    def _crease_axes(self) -> tuple[Array, Array]:
        """Middle of the flap's crease (3,) in m, and outward, along, up as columns (3, 3)."""
        crease, outward = self.world.crease(self._flap)
        up = np.array([0.0, 0.0, 1.0])
        return crease, np.column_stack([outward, np.cross(up, outward), up])

    def disturb(self, clean: Array) -> Array:
        """Noise, pushes and accidents."""
        executed = super().disturb(clean)
        place = self._accident.place(self.phase)
        if place is None:
            return executed
        crease, axes = self._crease_axes()
        goal = crease + axes @ place
        goal[2] += self.world.arm_model.tip_reach
        return self.towards(self._home if self._accident.homeward else goal, None, 0.0)

    def _choose(self) -> tuple[int, Sequence[Point]]:
        closed = self.world.closed
        if self.mistake and self._due():
            return self._blunder()
        if self._gave_up and not self._harmless():
            return -1, ()
        for major in (2, 3):
            if closed[major] and not all(closed[:2]):
                if self._tries[major] >= self._most:
                    return -1, ()
                return major, lift(self.world.layout.carton.flap_length)
        for flap in self._open_flaps():
            if self._tries[flap] < self._most:
                return flap, self._stroke(flap)
        return -1, ()

    def _open_flaps(self) -> list[int]:
        # One that has risen again a little counts as closed, but not for success.
        closed, angles = self.world.closed, self.world.angles
        return [i for i in self._order if not closed[i] or angles[i] >= CLOSED]

    def _stroke(self, flap: int) -> Sequence[Point]:
        return PRESS if self.world.angles[flap] < PRESS_BELOW else FOLD

    def _stroke_yaw(self) -> float:
        """The fingers close along the crease; of the two ways, the one with less wrist."""
        _, outward = self.world.crease(self._flap)
        yaw = float(np.arctan2(outward[1], outward[0]))
        return (yaw + np.pi / 2) % np.pi - np.pi / 2

    def _rotation(self) -> Array:
        """Wanted rotation (3, 3) of the tip."""
        down = gripper_down(self._yaw)
        if self.phase != 'lift':
            return down
        _, outward = self.world.crease(self._flap)
        return np.asarray(rotation_exp(LEAN * np.cross([0.0, 0.0, -1.0], outward)) @ down)

    def _goal(self) -> Array:
        """Wanted place (3,) of the tip."""
        crease, outward = self._aim or self.world.crease(self._flap)
        _, off, up = self._path[0]
        ends = crease + off * outward + [0.0, 0.0, up]
        return np.asarray(ends - self.world.arm_model.tip_reach * self._rotation()[:, 0])

    def _reached(self) -> bool:
        if not self._path:
            return True
        tip = self.tip()
        gap = float(np.linalg.norm(self._goal() - tip[:3, 3]))
        turned = np.linalg.norm(rotation_log(self._rotation() @ tip[:3, :3].T))
        if self._path[0][2] >= TRAVEL or self.phase == 'rise':
            return bool(gap < PASSED and turned < 0.3)
        if self.phase == 'approach':
            return bool(gap < 0.014 and turned < 0.2)
        return bool(gap < (0.014 if self.phase == 'sweep' else 0.008))

    def _blocked(self) -> bool:
        """Whether the flap will not go down: pressing on would only crush or push the carton."""
        high = self.world.angles[self._flap] > BLOCKED
        return bool(self.phase == 'press' and high and self.world.finger_force() > RESISTANCE)

    # -- mistakes ----------------------------------------------------------------------------

    def _plan_mistake(self) -> None:
        # The near side first, as the gripper comes from there. Of the major ones, which are
        # alike, always the same first: what nothing in view decides cannot be learned.
        self._order = [0, 1, 2, 3]
        self._gave_up = False
        self._slip = ''
        self._blunders = 0
        self._bad = BadStroke(self.mistake, self.rng)
        self._wander = Wander(self._home, self.rng)

    def _due(self) -> bool:
        """Whether the next stroke is the one to go wrong."""
        if self.mistake == 'wrong_order':
            return True
        opened = self._open_flaps()
        return bool(opened) and opened[0] == self._bad.flap

    def _blunder(self) -> tuple[int, Sequence[Point]]:
        """The stroke that goes wrong; what follows is for who recovers."""
        self._blunders += 1
        if self.mistake == 'wrong_order':
            return self._blunder_of_order()
        mistake = self.mistake
        self._end_mistake()
        flap = self._bad.flap
        if mistake == 'push':
            self._aim = self.world.crease(flap)
        return flap, self._bad.path(mistake, self.world.layout.carton.flap_length)

    def _blunder_of_order(self) -> tuple[int, Sequence[Point]]:
        """A major flap first, then the minor ones, which cannot lie flat any more."""
        if self._blunders == 1:
            return self._order[2], FOLD
        if self._blunders == 2 and not self.recovers:
            return 0, FOLD
        self._end_mistake()
        return self._choose()

    def _harmless(self) -> bool:
        """Whether noise has undone the mistake: there is nothing to give up for."""
        return self._slip in ('missed_flap', 'early_release') and self.world.closed[self._bad.flap]

    def _end_mistake(self) -> None:
        self._gave_up = not self.recovers
        self._slip, self.mistake = self.mistake, ''

    def _look_about(self) -> Array:
        middle, _ = self.world.carton_pose()
        reach = np.array([0.0, 0.0, self.world.arm_model.tip_reach])
        edge = self.world.layout.carton.height + TRAVEL
        place = self._wander.next(middle + reach, edge)
        return self.towards(place, gripper_down(self._yaw), 0.0)
