# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the person who watches a robot and takes over when it has gone wrong.

RECAP learns from episodes in which a person corrects the policy (2511.14759, section IV-C). Here
the scripted expert is that person: it looks on until an error has lasted for some steps, or nothing
has been reached for a while, acts until the next milestone is reached, and gives back.
"""

from collections.abc import Callable
from typing import Any

from vvf_sim.experts.script import Script
from vvf_sim.worlds.world import World


class HumanStandIn:
    """Decides who acts; `expert` is the person's script while it is the person's turn.

    Args:
        world: after its reset.
        make_expert: makes a script that starts from the world as it stands.
        patience: steps that an error may last before the person takes over; None for a person who
            does so only when called.
        stalled: steps without a milestone before the person takes over, too; 0: never. A policy
            that stands still makes no error.

    Raises:
        ValueError: the patience is below 1, or `stalled` negative.
    """

    def __init__(
        self,
        world: World[Any],
        make_expert: Callable[[], Script],
        patience: int | None = 4,
        stalled: int = 0,
    ) -> None:
        if (patience is not None and patience < 1) or stalled < 0:
            raise ValueError(f'patience is {patience}, stalled {stalled}: use 1 or more steps')
        self.stalled = stalled
        self._since = 0
        self.world = world
        self.patience = patience
        self.expert: Script | None = None
        self._make_expert = make_expert
        self._seen = 0
        self._wrong_for = 0
        self._wrong = False
        self._called = False

    def call(self) -> None:
        """Ask the person to take over with the next step, whatever they see."""
        self._called = self.expert is None

    def in_control(self) -> bool:
        """Whether the person acts in this step; to be asked once before each.

        Takes note of what has happened since, and leaves `takeover` and `give_back` among the
        world's events.
        """
        events = self.world.events[self._seen :]
        reached = False
        for event in events:
            kind = self.world.event_kind(event)
            reached = reached or kind == 'milestone'
            self._wrong = kind == 'error' or (self._wrong and kind != 'milestone')
        if self.expert is not None and reached:
            self.expert = None
            self.world.event('give_back')
        self._wrong_for = self._wrong_for + 1 if self._wrong else 0
        # After the success there is nothing left to reach.
        done = any(event.name == 'success' for event in self.world.events)
        self._since = 0 if reached or done or self.expert is not None else self._since + 1
        tired = self.patience is not None and self._wrong_for > self.patience
        idle = 0 < self.stalled < self._since
        if self.expert is None and (tired or idle or self._called):
            self.expert = self._make_expert()
            self._wrong = self._called = False
            self.world.event('takeover')
        self._seen = len(self.world.events)
        return self.expert is not None

    @property
    def waiting(self) -> bool:
        """Whether something is wrong that the person will see to, if it lasts."""
        return self._wrong and self.expert is None and self.patience is not None
