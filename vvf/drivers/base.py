# SPDX-License-Identifier: Apache-2.0
"""What every arm driver offers to the `arm` node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vvf.safety import Command


@dataclass(frozen=True)
class JointReading:
    """Measured joints: (n,) rad and rad/s in URDF order, finger opening in m, and when, in s.

    The time is that of the node's clock, as in the stamp of the vendor's message.
    """

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    gripper: float
    stamp: float

    def finite(self) -> bool:
        """Whether every number is one."""
        numbers = (*self.position, *self.velocity, self.gripper, self.stamp)
        return bool(np.isfinite(numbers).all())


class ArmDriver(Protocol):
    """One arm. Only commands that the safety gate made reach `write`.

    Nothing here blocks: the node that owns the driver also serves the emergency stop. What takes
    time (a service of the vendor's, a reboot of a motor) is begun here and goes on in callbacks of
    the node; until it is through, `fault` says so.

    Attributes:
        simulated: whether there are no real motors that `prepare` could move.
    """

    simulated: bool

    def read(self) -> JointReading | None:
        """The newest measurement; `None` before the first one."""
        ...

    def write(self, command: Command, dt: float) -> None:
        """Send a command that is to be reached within `dt` seconds; not called during a fault."""
        ...

    def fault(self) -> str:
        """What is wrong with the hardware and what to do, in one sentence; '' while all is well."""
        ...

    def recover(self) -> None:
        """Begin to clear a fault (reboot of a limp motor, error recovery), since a human asked."""
        ...

    def prepare(self) -> str | None:
        """Make ready for an episode in a way of its own, such as a new simulated layout.

        Returns:
            What was done; `None` where the node has to move the arm home itself.
        """
        ...

    def busy(self) -> bool:
        """Whether `fault` says nothing but that the arm makes ready by itself, after `prepare`."""
        ...

    def halt(self) -> None:
        """End at once what goes on without `write`: a move of `prepare`, a gripper's goal.

        Called in an emergency stop, and when another arm of the table is held up; also in a fault,
        and more than once. What is halted is not taken up again by itself.
        """
        ...

    def close(self) -> None:
        """Let go of the hardware."""
        ...
