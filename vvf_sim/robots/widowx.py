# SPDX-License-Identifier: Apache-2.0
"""The WidowX 250 6-DoF (wx250s): names, limits, postures and its MuJoCo model.

Limits and frames: ``wx250s.urdf.xacro`` of interbotix_xsarm_descriptions. Masses are the URDF's,
shapes are primitives. The two fingers are position driven with a force limit and hold by
friction alone; the settings of contact and drive are what grasps well at a 4 ms time step.
"""

import math

import numpy as np

from vvf_sim.robots.arm import ArmModel, CameraMount, Workspace
from vvf_sim.robots.widowx_kinematics import WidowXKinematics
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

WX250S = ArmModel(
    name='wx250s',
    joint_names=JOINT_NAMES,
    finger_name=FINGER_NAME,
    lower=JOINT_LOWER,
    upper=JOINT_UPPER,
    velocity_limits=VELOCITY_LIMITS,
    finger_range=FINGER_RANGE,
    home=np.array([0.0, -0.6, 0.7, 0.0, 1.4, 0.0]),
    sleep=np.array([0.0, -1.80, 1.55, 0.0, 0.8, 0.0]),
    tip_reach=0.021425,
    max_opening=0.056,
    base_xyz=(0.0, 0.0, 0.0),
    workspace=Workspace((0.12, -0.32, 0.022), (0.46, 0.32, 0.36)),
    # Behind the fingers and tilted to their tips, so that both and what is between are seen.
    wrist_camera=CameraMount(
        body='gripper_link',
        position=(0.0, 0.0, 0.085),
        target=(0.115, 0.0, 0.022),
        up=(1.0, 0.0, 0.0),
        fovy=72.0,
    ),
    mjcf=MJCF,
    press=0.015,
    make_kinematics=WidowXKinematics,
)
