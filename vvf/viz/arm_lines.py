# SPDX-License-Identifier: Apache-2.0
"""The arm as a line from its base to the tip: a robot to look at where there is no URDF."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from vvf_sim.robots.arm import ARMS, ArmModel, arm_model
from vvf_sim.robots.franka_kinematics import FLANGE, MODIFIED_DH
from vvf_sim.robots.widowx_kinematics import UPPER_ARM

Points = npt.NDArray[np.float64]

# How far behind the tip frame the fingers leave the hand, m.
_FINGER_ROOT = {'wx250s': 0.0276}
_FRANKA_FINGER_ROOT = 0.045


def arm_line(arm: ArmModel, q: npt.ArrayLike) -> Points:
    """The joints and bends of an arm from its base to the tip (N, 3) in its base frame, metres.

    Args:
        arm: Which arm.
        q: Joint angles (n,), radians, in the order of `arm.joint_names`.
    """
    angles = np.asarray(q, np.float64)
    kinematics = arm.kinematics()
    frames = kinematics.frames(angles)
    bends = _widowx_bends if arm.name == 'wx250s' else _franka_bends
    tip = kinematics.forward(angles)[:3, 3]
    return np.vstack([np.zeros(3), bends(frames), tip])


def finger_lines(arm: ArmModel, q: npt.ArrayLike, finger: float) -> list[Points]:
    """The palm with its left and its right finger, each (3, 3), in the base frame, metres.

    Args:
        arm: Which arm.
        q: Joint angles (n,), radians.
        finger: The left finger's distance from the middle, metres.
    """
    tip = arm.kinematics().forward(np.asarray(q, np.float64))
    root = -_FINGER_ROOT.get(arm.name, _FRANKA_FINGER_ROOT)
    lines = []
    for side in (finger, -finger):
        points = np.array([[root, 0.0, 0.0], [root, side, 0.0], [arm.tip_reach, side, 0.0]])
        lines.append(points @ tip[:3, :3].T + tip[:3, 3])
    return lines


def _widowx_bends(frames: Points) -> Points:
    """Shoulder, the upper arm's bend, elbow and wrist."""
    upper_arm = frames[1]
    bend = upper_arm[:3, 3] + UPPER_ARM[1] * upper_arm[:3, 2]
    return np.stack([upper_arm[:3, 3], bend, frames[2][:3, 3], frames[4][:3, 3]])


def _franka_bends(frames: Points) -> Points:
    """Shoulder, the bends at the elbow, wrist, the bend behind the flange, and the flange."""
    elbow, last = frames[3], frames[6]
    behind = elbow[:3, 3] + MODIFIED_DH[4][0] * elbow[:3, 0]
    flange = last[:3, 3] + FLANGE * last[:3, 2]
    joints = frames[[1, 2, 3], :3, 3]
    return np.vstack([joints, behind, frames[4][:3, 3], last[:3, 3], flange])


#: By the robot's name in the task file: its joints, and its line for their angles.
LINES: Mapping[str, tuple[tuple[str, ...], Callable[[npt.ArrayLike], Points]]] = MappingProxyType(
    {name: (arm_model(name).joint_names, partial(arm_line, arm_model(name))) for name in ARMS}
)
