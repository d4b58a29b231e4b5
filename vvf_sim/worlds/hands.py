# SPDX-License-Identifier: Apache-2.0
"""What arms have between their fingers, and what is near them, in any scene."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vvf_sim.mj import mujoco
from vvf_sim.worlds.mount import MountedArm


def holds(
    model: 'mujoco.MjModel', data: 'mujoco.MjData', arms: Sequence[MountedArm], arm: int
) -> bool:
    """Whether both pads of an arm touch one and the same movable thing that is no arm."""
    roots = model.body_rootid[model.geom_bodyid]
    own = [model.body_rootid[model.jnt_bodyid[_first_joint(model, each)]] for each in arms]
    movable = (model.body_weldid[model.geom_bodyid] != 0) & ~np.isin(roots, own)
    groups, group_of_geom = np.unique(np.where(movable, roots, -1), return_inverse=True)
    # The first group is what is no thing, as its number is the least.
    count = len(groups) - 1
    touched = arms[arm].touched(data, group_of_geom.reshape(-1) - 1, count)
    return bool(touched.all(axis=1).any())


def nearest_free_body(
    model: 'mujoco.MjModel', data: 'mujoco.MjData', arms: Sequence[MountedArm]
) -> NDArray[np.int_]:
    """The body (1,) with a free joint that is nearest to a tip; (0,) where there is none."""
    free = np.asarray(model.jnt_bodyid[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE], int)
    if not free.size:
        return free
    tips = np.stack([arm.tip(data)[:3, 3] for arm in arms])
    distances = np.linalg.norm(data.xpos[free][:, None] - tips, axis=2).min(axis=1)
    return free[[int(distances.argmin())]]


def _first_joint(model: 'mujoco.MjModel', arm: MountedArm) -> int:
    return int(model.joint(arm.mount.prefix + arm.arm.joint_names[0]).id)
