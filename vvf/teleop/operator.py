# SPDX-License-Identifier: Apache-2.0
"""Everything a human does to the arms: one state, whatever the keys, pads and leaders are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vvf.teleop.commands import Array, Command
from vvf.teleop.gamepad import Gamepad
from vvf.teleop.handover import Handover
from vvf.teleop.keyboard import Keyboard
from vvf.teleop.mapping import Side

_FASTER = 1.25
_SLOWEST = 0.05
_REMIND_S = 2.0  # after a key that moves nothing yet
_LEAST_SHARE = 0.1  # of a period: what is left of a key is no step


@dataclass(frozen=True)
class Step:
    """One action of a human.

    Attributes:
        data: (dim,) as in `vvf_msgs/Action`; of two arms the left one's first.
        gripper: of each arm, 1 open, 0 shut; empty leaves them alone.
        seconds: how long it takes.
    """

    data: Array
    gripper: list[float]
    seconds: float


class Operator:
    """Who drives, which arm, how fast.

    Args:
        sides: the arms by name: '', or 'left' and 'right'.
        gamepad: where there is one.
        ramp_s: until a human's motion counts in full after a takeover.
        speed: of keys and sticks at first, as a part of the fastest.
        terminal_timeout_s: longest silence of the terminal that sends the keys.

    Attributes:
        side: number of the arm that keys and sticks move.
        speed: of keys and sticks now.
    """

    def __init__(
        self,
        sides: dict[str, Side],
        gamepad: Gamepad | None = None,
        *,
        ramp_s: float = 0.5,
        speed: float = 0.3,
        terminal_timeout_s: float = 1.0,
    ) -> None:
        self.names = list(sides)
        self.sides = list(sides.values())
        self.gamepad = gamepad
        self.keyboard = Keyboard()
        self.handover = Handover(ramp_s)
        self.side = 0
        self.speed = speed
        self._timeout = terminal_timeout_s
        self._leader_lost = False
        self._terminal = -np.inf

    @property
    def human(self) -> bool:
        """Whether a human drives."""
        return self.handover.human

    @property
    def leaders(self) -> list[Side]:
        """The arms that have a leader."""
        return [side for side in self.sides if side.leader is not None]

    @property
    def engaged(self) -> bool:
        """Whether a leader is followed."""
        return any(side.leader is not None and side.leader.engaged for side in self.sides)

    def warning(self, now: float) -> str:
        """Why nothing moves although a human wants it to; '' where all is well."""
        if not self.human:
            pad = self.gamepad is not None and bool(self.gamepad.direction(now).any())
            asked = pad or self.keyboard.touched(now, _REMIND_S)
            return 'take over first: i, or Y of the gamepad' if asked else ''
        if not self.alive(now):
            return 'neither terminal, gamepad nor leader is heard: the arm holds'
        if not all(side.ready() for side in self.sides):
            return 'no joint states: the arm holds'
        if self._leader_lost and not self.engaged:
            return 'the leader fell silent: engage it again'
        return ''

    def hear_terminal(self, now: float) -> None:
        """The terminal that sends keys is there."""
        self._terminal = now

    def terminal_alive(self, now: float) -> bool:
        """Whether the terminal was heard lately."""
        return now - self._terminal <= self._timeout

    def alive(self, now: float) -> bool:
        """Whether a human could stop the arm: something that they move is heard."""
        pad = self.gamepad is not None and self.gamepad.alive(now)
        return self.terminal_alive(now) or pad or self.engaged

    def take(self, now: float) -> None:
        """A human takes over: from the commanded pose, from standstill."""
        self.handover.take(now)
        self._begin_anew()
        self._engage(now)

    def give(self) -> None:
        """The human gives back."""
        self.handover.give()
        self._release()

    def interrupt(self, now: float) -> None:
        """The arm is stopped, or moved by somebody else: begin from standstill afterwards."""
        self.handover.interrupt(now)
        self._begin_anew()
        self._release()

    def obey(self, command: Command, now: float) -> str:
        """Do what concerns nobody else; returns what was done, '' for other commands."""
        if command is Command.FASTER:
            self.speed = min(self.speed * _FASTER, 1.0)
        elif command is Command.SLOWER:
            self.speed = max(self.speed / _FASTER, _SLOWEST)
        elif command is Command.SIDE:
            self.keyboard.release_all()
            self.side = (self.side + 1) % len(self.sides)
            return f'{self.names[self.side]} arm' if len(self.sides) > 1 else 'there is one arm'
        elif command is Command.GRIPPER:
            if not self.human:
                return 'take over first'
            opening = self.sides[self.side].toggle_gripper()
            return 'gripper opens' if opening else 'gripper closes'
        elif command is Command.CLUTCH:
            return self._toggle_clutch(now)
        else:
            return ''
        return f'speed {self.speed:.0%}'

    def saw_grippers(self, openings: Sequence[float]) -> None:
        """Take the grippers that a policy commanded."""
        if len(openings) == len(self.sides) and not self.human:
            for side, opening in zip(self.sides, openings, strict=True):
                side.opening = 1.0 if opening > 0.5 else 0.0

    def watch(self, now: float) -> None:
        """Notice what fell silent; once for each tick."""
        for side in self.leaders:
            assert side.leader is not None
            self._leader_lost |= side.leader.watch(now)
        if self.human and not self.alive(now):
            self.handover.interrupt(now)
            self._begin_anew()

    def step(self, now: float, period: float) -> Step | None:
        """The action of now, if a human drives and is heard.

        Args:
            now: time, s.
            period: of the task's actions, s.
        """
        if not self.human or not self.alive(now) or not all(s.ready() for s in self.sides):
            return None
        ramp = self.handover.share(now)
        keys = self.keyboard.shares(now, period)
        pad = self.gamepad.direction(now) if self.gamepad else np.zeros(6)
        wanted = np.clip(keys + pad, -1.0, 1.0) * self.speed * ramp
        seconds = period
        if keys.any() and not pad.any() and not self.engaged:
            # What a key that was let go has left is over in time: a part of the way, in that part
            # of the time.
            seconds *= max(float(np.abs(keys).max()), _LEAST_SHARE)
        rows = []
        for number, side in enumerate(self.sides):
            moved = wanted if number == self.side else np.zeros(6)
            rows.append(side.step(moved, ramp, period))
        asked = any(side.opening is not None for side in self.sides)
        gripper = [side.known_opening() for side in self.sides] if asked else []
        return Step(np.concatenate(rows), gripper, seconds)

    def _toggle_clutch(self, now: float) -> str:
        if not self.leaders:
            return 'there is no leader arm: start teleop with source:=leader'
        if self.engaged:
            self._release()
            return 'leader released'
        if not self.human:
            return 'take over first'
        if not self._engage(now):
            return 'no leader is heard'
        return 'leader engaged'

    def _engage(self, now: float) -> bool:
        done = [side.leader.engage(now) for side in self.leaders if side.leader is not None]
        if any(done):
            self._leader_lost = False
            self.handover.interrupt(now)  # from standstill, too
        return any(done)

    def _release(self) -> None:
        self.keyboard.release_all()
        for side in self.leaders:
            assert side.leader is not None
            side.leader.engaged = False

    def _begin_anew(self) -> None:
        self.keyboard.release_all()
        for side in self.sides:
            side.restart()
