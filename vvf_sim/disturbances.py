# SPDX-License-Identifier: Apache-2.0
"""Slips and pushes that are done to whoever acts, at a moment that the seed draws.

A slip: what is held is lost, for the fingers open against their command. A push: what is worked on
is shoved over the table.
"""

from dataclasses import dataclass

from vvf_sim.errors import UserError

KINDS = ('slip', 'push')


@dataclass(frozen=True)
class Disturbance:
    """What is done to an episode, once.

    Attributes:
        kind: One of `KINDS`.
    """

    kind: str

    def __post_init__(self) -> None:
        """Check the kind.

        Raises:
            UserError: there is none of that name.
        """
        if self.kind not in KINDS:
            raise UserError(f'there is no disturbance {self.kind!r}: use {", ".join(KINDS)}.')
