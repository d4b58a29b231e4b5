# SPDX-License-Identifier: Apache-2.0
"""What a policy at run time is, whosever it is: one of ours, or one of LeRobot's."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Policy(Protocol):
    """What a policy at run time is, whosever it is; see `PolicyRuntime`."""

    kind: str
    name: str
    cameras: tuple[str, ...]
    image_size: int
    state_dim: int
    horizon: int
    action_dim: int
    dt: float
    displacements: bool | None
    task: Tensor | None
    indicator: str
    guidance: float
    temperature: float
    candidates: int

    def set_instruction(self, instruction: str) -> None:
        """See `PolicyRuntime`."""

    def reseed(self, seed: int) -> None:
        """See `PolicyRuntime`."""

    def ask_for(
        self,
        *,
        indicator: str = 'positive',
        guidance: float | None = None,
        temperature: float | None = None,
        candidates: int = 1,
        goes_on: bool = False,
    ) -> None:
        """See `PolicyRuntime`."""

    def act(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.floating] | None = None,
        previous: NDArray[np.floating] | None = None,
        frozen: int = 0,
    ) -> NDArray[np.float32]:
        """See `PolicyRuntime`."""
