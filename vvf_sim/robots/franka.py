# SPDX-License-Identifier: Apache-2.0
"""The Franka arms with the Franka Hand: FER (Panda) and FR3 (Research 3).

Limits: ``franka_description``, ``robots/{fer,fr3}/joint_limits.yaml``. Both have the same shape;
inertias are the FR3's, which the vendor publishes. The finger is called ``left_finger`` as the
WidowX's is; the vendor's joint is ``<prefix>_finger_joint1``, with the same meaning.
"""

from collections.abc import Sequence

import numpy as np

from vvf_sim.robots.arm import ArmModel, CameraMount, Workspace
from vvf_sim.robots.franka_kinematics import HOME, FrankaKinematics
from vvf_sim.robots.franka_mjcf import MJCF

FINGER_SPEED = 0.2
READY = np.array([0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4])


def _franka(
    name: str, lower: Sequence[float], upper: Sequence[float], velocity: Sequence[float]
) -> ArmModel:
    ranges = {f'r{i + 1}': f'{lower[i]} {upper[i]}' for i in range(7)}
    return ArmModel(
        name=name,
        joint_names=tuple(f'{name}_joint{i}' for i in range(1, 8)),
        finger_name='left_finger',
        lower=np.array(lower),
        upper=np.array(upper),
        velocity_limits=np.array([*velocity, FINGER_SPEED]),
        finger_range=(0.0, 0.04),
        home=HOME,
        sleep=READY,
        tip_reach=0.0095,
        max_opening=0.08,
        # Nearer, the wrist folds up over the near edge of the table; farther, the elbow
        # stretches towards its far corners.
        base_xyz=(-0.2, 0.0, 0.0),
        workspace=Workspace((0.31, -0.33, 0.0101), (0.67, 0.33, 0.4)),
        # Beside the flange and tilted to the finger tips, as brackets for such cameras are.
        wrist_camera=CameraMount(
            body='hand',
            position=(0.03, 0.0, 0.095),
            target=(0.115, 0.0, 0.018),
            up=(1.0, 0.0, 0.0),
            fovy=72.0,
        ),
        mjcf=MJCF.format(p=name, **ranges),
        press=0.015,
        make_kinematics=FrankaKinematics,
    )


FER = _franka(
    'fer',
    lower=[-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973],
    upper=[2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973],
    velocity=[2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61],
)
FR3 = _franka(
    'fr3',
    lower=[-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159],
    upper=[2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159],
    velocity=[2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26],
)
