# SPDX-License-Identifier: Apache-2.0
"""Whose actions count: the policy's within an episode; a human's who took over, or between two."""

from __future__ import annotations

from vvf.safety_states import Reason


class Arbiter:
    """Knows the running episode and who has the arm; stamps are seconds of the ROS clock.

    Attributes:
        episode: id of the running episode, '' between two.
        human: whether a human has taken over.
        changed: stamp of the last beginning or end of an episode, or change of hands.
    """

    def __init__(self) -> None:
        self.episode = ''
        self.human = False
        self.changed = 0.0
        self._oldest = 0.0

    def begin(self, episode: str, stamp: float) -> None:
        """An episode began."""
        self.episode = episode
        self._oldest = stamp
        self.changed = stamp

    def end(self, stamp: float) -> None:
        """The episode ended; a human who has the arm keeps it."""
        self.episode = ''
        self.changed = stamp

    def take_over(self, stamp: float) -> None:
        """A human takes the arm."""
        self.human = True
        self.changed = stamp

    def give_back(self, stamp: float) -> None:
        """The human gives it back: the policy must have seen what was done."""
        self.human = False
        self._oldest = max(self._oldest, stamp)
        self.changed = stamp

    def refusal(self, stamp: float, *, human: bool) -> Reason | None:
        """Why an action does not count; `None` if it does.

        Args:
            stamp: of the image that it answers, s.
            human: whether a human's it is; else a policy's, or a recorded one.
        """
        if human:
            return Reason.NO_TAKEOVER if self.episode and not self.human else None
        if not self.episode:
            return Reason.NO_EPISODE
        if self.human:
            return Reason.HUMAN
        return Reason.OUTDATED if stamp < self._oldest else None
