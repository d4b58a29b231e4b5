# SPDX-License-Identifier: Apache-2.0
"""Says once what is wrong with the arm or its inputs, and once when all is well again."""

from __future__ import annotations

from vvf.safety import Mode, Reason

_GATHER_S = 0.3  # the arm holds at once; the line about it waits for what follows


class TroubleWatch:
    """One line for a fault, however long it lasts; times are steady, in s.

    Args:
        park_after_s: how long inputs may be away before the arm goes to sleep.
    """

    def __init__(self, park_after_s: float) -> None:
        self._park_after = park_after_s
        self._stale_since: float | None = None
        self._said: set[Reason] = set()
        self._fault = ''

    @property
    def present(self) -> bool:
        """Whether an input is away."""
        return self._stale_since is not None

    def forget(self) -> None:
        """What was missed is missed no more: the episode is over."""
        self._stale_since, self._said = None, set()

    def news(
        self, now: float, mode: Mode, stale: set[Reason], reason: str, *, acting: bool
    ) -> list[tuple[str, str]]:
        """Lines for the log, each with its level, at most once for each trouble.

        Args:
            now: time.
            mode: of the table.
            stale: inputs that are too old.
            reason: why the table is in that mode, in words.
            acting: whether actions are expected to go on.
        """
        lines = []
        fault = reason if mode is Mode.FAULT else ''
        if fault and fault != self._fault:
            lines.append(('error', f'{fault}: the arm holds'))
        elif self._fault and mode not in (Mode.FAULT, Mode.WAITING, Mode.STOPPED):
            lines.append(('info', 'the fault is over: the arm starts from where it is'))
        if fault or mode not in (Mode.WAITING, Mode.STOPPED):
            self._fault = fault
        if not stale:
            # What nobody looks for any more, as under a stop, has not come back.
            moving = mode in (Mode.MOVING, Mode.PARKING)
            looked_for = {Reason.STALE_JOINT_STATE} if moving else set(Reason) if acting else set()
            if self._said and self._said <= looked_for:
                lines.append(('info', 'all inputs are back'))
            self.forget()
        elif self._stale_since is None:
            self._stale_since = now
        elif not self._said and now - self._stale_since > _GATHER_S:
            # One fault, one line: what fails for the same reason fails within a moment.
            self._said = set(stale)
            lines.append(('warning', f'{reason}: the arm holds'))
        return lines

    def parks(self, now: float, mode: Mode) -> bool:
        """Whether inputs have been away for so long that the arm should go to sleep."""
        away = self._stale_since is not None and now - self._stale_since > self._park_after
        return away and mode is Mode.HOLDING
