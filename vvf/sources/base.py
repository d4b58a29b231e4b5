# SPDX-License-Identifier: Apache-2.0
"""What every source of camera frames has."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]


class FrameSource(Protocol):
    """Gives RGB frames (height, width, 3), one after the other."""

    @property
    def rate_hz(self) -> float:
        """The rate that the source says it has; 0 where it does not say."""
        ...

    @property
    def taken_s(self) -> float | None:
        """When the last frame was taken, by the source's own clock; `None` where it has none."""
        ...

    def read(self) -> Frame | None:
        """The next frame; `None` where there is none (yet): end of file, unplugged, timed out."""
        ...

    def close(self) -> None:
        """Release the device or file."""
        ...
