# SPDX-License-Identifier: Apache-2.0
"""The arm as a line from its base to the tip: a robot to look at where there is no URDF."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from vvf_sim.robots.widowx import JOINT_NAMES, WX250S
from vvf_sim.robots.widowx_kinematics import HAND, SHOULDER_HEIGHT, UPPER_ARM

Points = npt.NDArray[np.float64]


def widowx_line(q: npt.ArrayLike) -> Points:
    """Base, shoulder, bend of the upper arm, elbow, wrist and tip (6, 3) in `base_link`, metres.

    Args:
        q: Joint angles (6,), radians, in the order of `JOINT_NAMES`.
    """
    angles = np.asarray(q, np.float64)
    pose = WX250S.kinematics().forward(angles)
    waist, shoulder = angles[0], angles[1]
    out = np.array([math.cos(waist), math.sin(waist), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    along = math.cos(shoulder) * up + math.sin(shoulder) * out  # the upper arm
    ahead = math.cos(shoulder) * out - math.sin(shoulder) * up
    base, top = np.zeros(3), SHOULDER_HEIGHT * up
    bend = top + UPPER_ARM[1] * along
    elbow = bend + UPPER_ARM[0] * ahead
    tip = pose[:3, 3]
    wrist = tip - HAND * pose[:3, 0]
    return np.stack([base, top, bend, elbow, wrist, tip])


#: By the robot's name in the task file: its joints, and its line for their angles.
LINES: Mapping[str, tuple[tuple[str, ...], Callable[[npt.ArrayLike], Points]]] = {
    'wx250s': (JOINT_NAMES, widowx_line),
}
