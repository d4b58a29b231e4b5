# SPDX-License-Identifier: Apache-2.0
"""Who drives, and how gently a human begins."""

from __future__ import annotations


class Handover:
    """A human takes over and gives back; what they ask for counts from nothing to all of it.

    Args:
        ramp_s: until a human's motion counts in full after a takeover, or an interruption.

    Attributes:
        human: whether a human drives.
    """

    def __init__(self, ramp_s: float) -> None:
        self.human = False
        self._ramp_s = ramp_s
        self._since = 0.0

    def take(self, now: float) -> None:
        """A human drives from now on, from standstill."""
        self.human = True
        self._since = now

    def give(self) -> None:
        """The human drives no more."""
        self.human = False

    def interrupt(self, now: float) -> None:
        """Begin from standstill again: the human's input was away, or the arm was stopped."""
        self._since = now

    def share(self, now: float) -> float:
        """The part of the human's motion that counts, 0 at the takeover, 1 after the ramp."""
        if not self.human:
            return 0.0
        passed = max(now - self._since, 0.0)
        return 1.0 if passed >= self._ramp_s else passed / self._ramp_s
