# SPDX-License-Identifier: Apache-2.0
"""Moves a hand, what it holds, and a head, frame by frame; there is no physics in it."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from vvf_sim.clips.hand import WIDEST, Hand, turn_of_x
from vvf_sim.clips.stage import Eye, Stage
from vvf_sim.clips.things import Grasp, Thing
from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array, rotation_exp, rotation_log
from vvf_sim.worlds.spec import mat_to_quat

OPEN = 0.085
# Part of the clips that begin with the hand over the table already.
_BUSY = 0.3
# Mean speed of the quickest way, m/s; halfway it is nearly twice as fast.
_FASTEST = 0.5


def up(height: float) -> Array:
    """A way (3,) straight up, m."""
    return np.array([0.0, 0.0, height])


def hand_turn(yaw: float, pitch: float, roll: float) -> Array:
    """Rotation (3, 3) of a hand: to its left, then downwards, then about its own fingers."""
    turns = ([0.0, 0.0, yaw], [0.0, pitch, 0.0], [roll, 0.0, 0.0])
    first, second, third = (rotation_exp(np.array(t)) for t in turns)
    return np.asarray(first @ second @ third)


class Puppet:
    """A hand on a stage; the methods that take time yield once for every frame.

    Args:
        stage: with everything on it; it is compiled here.
        hand: the one that acts.
        other: one that rests beside, or None.
        rng: of how it moves.
        fps: frames a second.

    Attributes:
        at: (3,) m, the middle between thumb and finger tips, or in the palm.
    """

    def __init__(
        self, stage: Stage, hand: Hand, other: Hand | None, rng: np.random.Generator, fps: float
    ) -> None:
        self._stage, self._hand, self._other = stage, hand, other
        self.rng, self.fps = rng, fps
        self.side = hand.looks.side
        self.model = stage.spec.compile()
        self.data = mujoco.MjData(self.model)
        for one in (hand, other) if other else (hand,):
            one.index(self.model)
        self._pace = float(rng.uniform(0.5, 1.1))
        self._eye = Eye(rng, fps)
        self._shoulder = np.array([-0.2, -0.2 * self.side, float(rng.uniform(0.08, 0.2))])
        self._shoulder += rng.uniform(-0.04, 0.04, 3)
        self._pitch, self._roll = float(rng.uniform(0.55, 0.9)), float(rng.uniform(-0.15, 0.15))
        self._held: list[tuple[int, Array, Array]] = []
        self._power, self._width = False, 0.03
        self._opening, self._pointing = OPEN, 0.0
        self._frame = 0
        self.at = np.array([0.02, -0.22 * self.side, 0.08]) + rng.uniform(-0.03, 0.03, 3)
        self.turn = self.natural_turn(self.at, 'tips')
        self._rest = self.at.copy()
        if rng.random() < _BUSY:
            self.at = rng.uniform([0.12, -0.15, 0.1], [0.35, 0.15, 0.2])
            self.turn = self.natural_turn(self.at, 'tips')
        if other is not None:
            self._place_other(other)
        self._show()

    def natural_turn(self, at: Array, grasp: Grasp, lean: float = 0.0) -> Array:
        """How a hand is turned that grasps something at a place (3,); `lean` is extra yaw."""
        way = np.asarray(at) - self._shoulder
        yaw = 0.6 * float(np.arctan2(way[1], way[0])) + lean
        if grasp == 'palm':
            return hand_turn(yaw + 0.25 * self.side, 0.15, self.side * 1.4)
        return hand_turn(yaw, self._pitch, self._roll)

    def place_of(self, mover: int) -> Array:
        """Where (3,) something is, m."""
        return self._stage.movers[mover].place.copy()

    def thing(self, mover: int) -> Thing:
        """What a mover is."""
        thing = self._stage.movers[mover].thing
        assert thing is not None
        return thing

    def put(self, mover: int, place: Array, turn: Array | None = None) -> None:
        """Set something down at a place (3,), turned as it is or by (3, 3)."""
        self._stage.movers[mover].place = np.asarray(place, np.float64)
        if turn is not None:
            self._stage.movers[mover].turn = turn

    def hold(self, *movers: int) -> None:
        """Carry things from now on."""
        origin = self._origin()
        for mover in movers:
            one = self._stage.movers[mover]
            self._held.append((mover, self.turn.T @ (one.place - origin), self.turn.T @ one.turn))

    def drop(self, mover: int) -> None:
        """Carry one thing no longer."""
        self._held = [held for held in self._held if held[0] != mover]

    def let_go(self) -> None:
        """Carry nothing."""
        self._held = []

    def move(
        self,
        to: Array | None = None,
        turn: Array | None = None,
        opening: float | None = None,
        seconds: float = 0.8,
        lift: float = 0.0,
        pointing: float | None = None,
        along: Callable[[float], None] | None = None,
    ) -> Iterator[None]:
        """Go somewhere as people do, with the least jerk.

        Args:
            to: where the hand's grasp is afterwards (3,), m.
            turn: of the hand afterwards (3, 3).
            opening: of the fingers afterwards, m.
            seconds: how long it takes at an ordinary pace.
            lift: height of the arc above the straight way, m.
            pointing: how far the index finger points afterwards.
            along: called with the fraction of the way that is done.
        """
        start, first, opened, pointed = self.at, self.turn, self._opening, self._pointing
        goal = start if to is None else np.asarray(to, np.float64)
        twist = np.zeros(3) if turn is None else rotation_log(turn @ first.T)
        seconds *= self._pace * float(self.rng.uniform(0.85, 1.2))
        seconds = max(seconds, float(np.linalg.norm(goal - start)) / _FASTEST)
        count = max(1, math.ceil(seconds * self.fps - 0.5))
        for step in range(1, count + 1):
            t = step / count
            s = t**3 * (10.0 - 15.0 * t + 6.0 * t * t)
            self.at = start + s * (goal - start) + up(lift * float(np.sin(np.pi * s)))
            self.turn = rotation_exp(s * twist) @ first
            if opening is not None:
                self._opening = opened + s * (opening - opened)
            if pointing is not None:
                self._pointing = pointed + s * (pointing - pointed)
            if along is not None:
                along(s)
            self._show()
            yield

    def wait(self, seconds: float) -> Iterator[None]:
        """Stay for a while."""
        yield from self.move(seconds=seconds)

    def grasp(self, mover: int, above: float = 0.07) -> Iterator[None]:
        """Reach for a thing and close the hand on it; it is held then."""
        thing, place = self.thing(mover), self.place_of(mover)
        spot = place + up(max(thing.grip, 0.022))
        yield from self.reach(spot, thing.grasp, thing.width, above)
        self.hold(mover)

    def reach(
        self, spot: Array, grasp: Grasp, width: float, above: float = 0.07, lean: float = 0.0
    ) -> Iterator[None]:
        """Reach for a place (3,) and close the hand to a width in m."""
        turn = self.natural_turn(spot, grasp, lean)
        wide = min(OPEN, width + 0.035)
        self._use(grasp == 'palm', width)
        before = spot + np.array([-0.3 * above, 0.0, above])
        if grasp == 'palm':
            before = spot + turn @ [-0.05, 0.0, -0.045] + up(0.01)
        yield from self.move(before, turn, wide, seconds=0.9, lift=0.03)
        yield from self.move(spot, turn, wide, seconds=0.4)
        yield from self.move(opening=max(0.0, width - 0.004), seconds=0.25)

    def release(self, back: float = 0.06) -> Iterator[None]:
        """Open the hand and draw it back."""
        self.let_go()
        yield from self.move(opening=min(WIDEST, self._width + 0.035), seconds=0.25)
        away = self.turn @ [-0.06, 0.0, -0.03] if self._power else np.array([-0.02, 0.0, 0.0])
        yield from self.move(self.at + away + up(back), seconds=0.4)

    def withdraw(self) -> Iterator[None]:
        """Back to where the hand came from."""
        self._use(False, 0.03)
        turn = self.natural_turn(self._rest, 'tips')
        yield from self.move(self._rest, turn, OPEN, seconds=0.9, lift=0.02, pointing=0.0)

    def _use(self, power: bool, width: float) -> None:
        """Speak of another point of the hand from now on, which does not move by that."""
        wrist = self._origin()
        self._power, self._width = power, width
        self.at = wrist + self.turn @ self._hand.grasp_point(width, power)

    def _origin(self) -> Array:
        return np.asarray(self.at - self.turn @ self._hand.grasp_point(self._width, self._power))

    def _show(self) -> None:
        data, wrist = self.data, self._origin()
        wrist = wrist + 0.0012 * self.rng.normal(size=3)
        self._set(self._hand.name, wrist, mat_to_quat(self.turn))
        self._set_forearm(self._hand, wrist, self._shoulder, self.turn)
        self._hand.pose_fingers(data.qpos, self._opening, self._pointing)
        for mover, place, turn in self._held:
            one = self._stage.movers[mover]
            one.place, one.turn = wrist + self.turn @ place, self.turn @ turn
        for one in self._stage.movers:
            self._set(one.name, one.place, mat_to_quat(one.turn))
        self._set('head', *self._eye.look(self._frame, self.at))
        self._frame += 1
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_camlight(self.model, data)

    def _set(self, body: str, place: Array, quaternion: Array) -> None:
        number = self.model.body(body).mocapid[0]
        self.data.mocap_pos[number] = place
        self.data.mocap_quat[number] = quaternion

    def _set_forearm(self, hand: Hand, wrist: Array, shoulder: Array, turn: Array) -> None:
        # Between the way to the shoulder and straight on from the hand: wrists bend only so far.
        way = shoulder - wrist
        way = way / max(float(np.linalg.norm(way)), 1e-9) - 0.35 * turn[:, 0]
        way[2] = min(float(way[2]), 0.25)
        self._set(f'{hand.name}_arm', wrist, turn_of_x(way))

    def _place_other(self, other: Hand) -> None:
        side, rng = -self.side, self.rng
        place = np.array([0.1, -side * 0.2, 0.03]) + rng.uniform(-0.04, 0.04, 3) * [1, 1, 0.2]
        turn = hand_turn(side * float(rng.uniform(0.1, 0.6)), 0.15, 0.0)
        self._set(other.name, place, mat_to_quat(turn))
        shoulder = self._shoulder * [1.0, -1.0, 1.0]
        self._set_forearm(other, place, shoulder, turn)
        other.pose_fingers(self.data.qpos, float(rng.uniform(0.05, 0.09)))
