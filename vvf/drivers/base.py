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
    """Measured joints: (n,) rad and rad/s in URDF order, finger opening in m, and when, in s."""

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    gripper: float
    stamp: float

    def finite(self) -> bool:
        """Whether every number is one."""
        numbers = (*self.position, *self.velocity, self.gripper, self.stamp)
        return bool(np.isfinite(numbers).all())


class ArmDriver(Protocol):
    """One arm. Only commands that the safety gate made reach `write`."""

    def read(self) -> JointReading:
        """The newest measurement."""
        ...

    def write(self, command: Command, dt: float) -> None:
        """Send a command that is to be reached within `dt` seconds."""
        ...

    def prepare(self) -> str:
        """Make ready for an episode (home pose; in simulation a new layout); says what was done."""
        ...

    def close(self) -> None:
        """Let go of the hardware."""
        ...
