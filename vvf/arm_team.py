# SPDX-License-Identifier: Apache-2.0
"""All arms of a table, which run together or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vvf.actions import DELTA_DIM
from vvf.arm_state import STALE_TEXT
from vvf.arm_unit import ArmUnit
from vvf.drivers.base import ArmDriver
from vvf.errors import UserError
from vvf.moveit.path import PlannedPath
from vvf.safety import MaxAges, Mode, Reason, RobotLimits
from vvf.task import TaskSpec

#: What the table as a whole is said to do: the first of these that one of its arms does.
_ORDER = (
    Mode.STOPPED,
    Mode.FAULT,
    Mode.WAITING,
    Mode.PARKING,
    Mode.MOVING,
    Mode.RUNNING,
    Mode.HOLDING,
    Mode.PARKED,
)


class ArmTeam:
    """One arm, or two: an action counts for all or for none, and what holds one holds all.

    Args:
        units: in the order of their numbers in an action.

    Attributes:
        refusals: of actions, for reasons that are no single arm's.
    """

    def __init__(self, units: Sequence[ArmUnit]) -> None:
        self.units = tuple(units)
        self._refusals: Counter[Reason] = Counter()
        self._troubled: set[str] = set()

    @property
    def mode(self) -> Mode:
        """What the table as a whole does."""
        modes = {unit.gate.mode for unit in self.units}
        return next(mode for mode in _ORDER if mode in modes)

    @property
    def fault(self) -> str:
        """What is wrong, with the side of the arm that it is wrong with; '' while all is well."""
        return '; '.join(
            f'{unit.side} arm: {unit.gate.fault}' if unit.side else unit.gate.fault
            for unit in self.units
            if unit.gate.fault
        )

    @property
    def refusals(self) -> Counter[Reason]:
        """How often each reason struck, over all arms."""
        return sum((unit.gate.refusals for unit in self.units), self._refusals)

    def stale(self, now: float) -> set[Reason]:
        """Which inputs of any arm are too old."""
        return set().union(*(unit.gate.stale(now) for unit in self.units))

    def reason(self, now: float) -> str:
        """Why the table does what it does, for people; '' where there is nothing to say."""
        mode = self.mode
        if mode is Mode.FAULT:
            return self.fault
        if mode is Mode.STOPPED:
            return 'reset it with /vvf/estop_reset'
        if mode is Mode.WAITING:
            return 'no joint state yet'
        return '; '.join(sorted(STALE_TEXT[reason] for reason in self.stale(now)))

    # -- every tick ------------------------------------------------------------------------

    def sense(self, now: float, clock: float) -> bool:
        """Read all arms; whether every one has a measurement. Times as of `ArmUnit.sense`."""
        readings = [unit.sense(now, clock) for unit in self.units]
        return None not in readings

    def act(self, now: float, dt: float) -> None:
        """Send each arm's command; none moves on while another one cannot."""
        stuck = any(unit.held_up for unit in self.units)
        hold = stuck or bool(self.stale(now))
        self._halt_others()
        for unit in self.units:
            if stuck:
                unit.gate.give_up()
            unit.act(now, dt, hold=hold)

    def _halt_others(self) -> None:
        """An arm that is newly in trouble ends what the others do by themselves."""
        # An arm that makes ready is held up as well, but is no trouble to another that does so.
        troubled = {u.side for u in self.units if u.held_up and not u.driver.busy()}
        if troubled - self._troubled:
            for unit in self.units:
                if unit.side not in troubled:
                    unit.driver.halt()
        self._troubled = troubled

    # -- what comes in ---------------------------------------------------------------------

    def saw(self, stream: str, now: float, age: float = 0.0) -> None:
        """See `SafetyGate.saw`."""
        for unit in self.units:
            unit.gate.saw(stream, now, age)

    def play(
        self, rows: NDArray[np.float64] | None, dt: float, *, image_age: float, now: float
    ) -> Reason | None:
        """Play an action on all arms, or say why none plays it.

        Args:
            rows: (horizon, D), see `vvf.actions`; `None` has a wrong shape.
            dt: duration of a step, s.
            image_age: age of what it answers, s.
            now: time, s.
        """
        parts = self._split(rows)
        if parts is None:
            return self.refuse(Reason.WRONG_SHAPE)
        for unit, part in zip(self.units, parts, strict=True):
            reason = unit.gate.check_action(
                part[:, :-1], part[:, -1], dim=unit.width - 1, image_age=image_age
            )
            if reason is not None:
                return reason
        for unit, part in zip(self.units, parts, strict=True):
            unit.gate.accept_action(now, image_age)
            unit.load(part, dt, now)
        return None

    def refuse(self, reason: Reason) -> Reason:
        """Count an action that is refused, and hand the reason back."""
        self._refusals[reason] += 1
        return reason

    @property
    def held_back(self) -> int:
        """How many steps were beyond the action's bounds or the workspace."""
        return sum(unit.player.clipped + unit.player.outside for unit in self.units)

    @property
    def openings(self) -> list[float]:
        """(arms,) how far each gripper is told to be open, in [0, 1]."""
        return [unit.player.opening for unit in self.units]

    def _split(self, rows: NDArray[np.float64] | None) -> list[NDArray[np.float64]] | None:
        widths = [unit.width for unit in self.units]
        if rows is None or rows.shape[1] != sum(widths):
            return None
        return np.split(rows, np.cumsum(widths)[:-1], axis=1)

    # -- what people ask for ---------------------------------------------------------------

    def emergency_stop(self) -> None:
        """Hold all arms until `reset`."""
        for unit in self.units:
            unit.gate.emergency_stop()
            unit.driver.halt()

    def reset(self) -> None:
        """Leave the emergency stop."""
        for unit in self.units:
            unit.gate.reset()

    def recover(self) -> None:
        """Try to mend what is wrong with those arms that have a fault."""
        for unit in self.units:
            if unit.gate.fault:
                unit.driver.recover()
                unit.gate.recover()

    def end_motion(self) -> None:
        """Hold, and miss no action any more."""
        for unit in self.units:
            unit.end_motion()

    def move_home(self, *, opens: bool = False, way: PlannedPath | None = None) -> None:
        """Send all arms home; with `opens`, grippers open on the way. A `way` is for one arm."""
        for unit in self.units:
            if opens:
                unit.player.forget_gripper()
            unit.gate.move_home(opens=opens, way=way)

    def park(self) -> None:
        """Send all arms to sleep."""
        for unit in self.units:
            unit.gate.park()

    def prepare(self) -> str | None:
        """Let the drivers make ready for an episode; `None` where they leave that to us.

        What they do by themselves may put the arms elsewhere, so these start anew.
        """
        for unit in self.units:
            unit.player.forget_gripper()
        said = [unit.prepare() for unit in self.units]
        if None in said:
            return None
        for unit in self.units:
            unit.gate.renew()
        return ' '.join(text for text in said if text)

    @property
    def at_rest(self) -> bool:
        """Whether the arms may be left alone: asleep, stopped, or out of reach of commands."""
        stuck = any(unit.held_up for unit in self.units)
        return all(u.gate.mode is Mode.PARKED or (stuck and u.gate.still) for u in self.units)

    def close(self) -> None:
        """Let go of the hardware."""
        for unit in self.units:
            unit.driver.close()


def make_team(
    task: TaskSpec,
    limits: RobotLimits,
    max_ages: MaxAges,
    drivers: Mapping[str, ArmDriver],
    *,
    dry_run: bool = False,
) -> ArmTeam:
    """The arms of a task.

    Args:
        task: its action is shared out among the arms, in their order.
        limits: of each arm.
        max_ages: of the inputs.
        drivers: by side, see `vvf.drivers.make_drivers`.
        dry_run: judge actions, but hold the arms where they are.

    Raises:
        UserError: the action has not as many numbers as the arms need.
    """
    spec = task.action
    assert spec is not None
    width = DELTA_DIM if spec.kind == 'ee_delta' else len(limits.joint_names) + 1
    if spec.dim != width * len(drivers):
        raise UserError(
            f'task {task.name}: an action ({spec.kind}) for {len(drivers)} x {limits.name} has '
            f'{width * len(drivers)} numbers, the grippers among them, not {spec.dim}.'
        )
    units = []
    for i, (side, driver) in enumerate(drivers.items()):
        part = slice(i * width, (i + 1) * width)
        own = replace(spec, dim=width, low=spec.low[part], high=spec.high[part])
        units.append(ArmUnit(side, limits, own, max_ages, driver, dry_run=dry_run))
    return ArmTeam(units)
