# SPDX-License-Identifier: Apache-2.0
"""The WidowX 250 6-DoF (wx250s): names, limits, postures and its MuJoCo model.

Limits and frames: ``wx250s.urdf.xacro`` of interbotix_xsarm_descriptions. Masses are the URDF's,
shapes are primitives. The two fingers are position driven with a force limit and hold by
friction alone; the settings of contact and drive are what grasps well at a 4 ms time step.
"""

import math

import numpy as np

from vvf_sim.robots.widowx_mjcf import MJCF

JOINT_NAMES = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')
FINGER_NAME = 'left_finger'

_ALMOST_PI = math.pi - 1e-5
# Radians, in the order of JOINT_NAMES.
JOINT_LOWER = np.array(
    [
        -_ALMOST_PI,
        -math.radians(108),
        -math.radians(123),
        -_ALMOST_PI,
        -math.radians(100),
        -_ALMOST_PI,
    ]
)
JOINT_UPPER = np.array(
    [_ALMOST_PI, math.radians(114), math.radians(92), _ALMOST_PI, math.radians(123), _ALMOST_PI]
)
# Metres of the left finger from the middle: closed, open.
FINGER_RANGE = (0.015, 0.037)
# The six joints in rad/s, then the finger in m/s.
VELOCITY_LIMITS = np.array([math.pi] * 6 + [1.0])

# The six joints in rad.
HOME = np.zeros(6)
SLEEP = np.array([0.0, -1.80, 1.55, 0.0, 0.8, 0.0])
# Where episodes of BridgeData start.
NEUTRAL = np.array([-0.1319, -0.7624, 0.4449, -0.0199, 1.7564, -0.1595])

# A closed gripper presses on: its drive aims this much past the joint's stop, so that the force
# on what is held does not fade with the object's width.
PRESS = 0.015


def finger_from_opening(opening: float) -> float:
    """Left finger's position in m for an opening in [0, 1]; 1 is open."""
    low, high = FINGER_RANGE
    return low + (high - low) * min(max(opening, 0.0), 1.0)


def drive_from_finger(finger: float) -> float:
    """The simulated drive's set point in m for a commanded finger position in m."""
    low, high = FINGER_RANGE
    return finger - PRESS * (high - finger) / (high - low)


def widowx_mjcf() -> str:
    """MJCF text of the arm on its base, at the world's origin, with an ``ee`` site."""
    return MJCF
