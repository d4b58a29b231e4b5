# SPDX-License-Identifier: Apache-2.0
"""What every arm is to worlds, controllers and nodes, and which arms there are."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vvf_sim.errors import UserError
from vvf_sim.mj import mujoco
from vvf_sim.robots.kinematics import Kinematics
from vvf_sim.rotations import Array

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Workspace:
    """A box in the base frame that the commanded tip stays in, metres."""

    low: Vector
    high: Vector

    def clip(self, position: Array) -> Array:
        """The nearest position (3,) inside the box."""
        return np.clip(position, self.low, self.high)


@dataclass(frozen=True)
class CameraMount:
    """Where a camera sits on a body and what it looks at.

    Attributes:
        body: name in the MJCF, without a prefix.
        position: of the camera in the body's frame, m.
        target: what is in the middle of the image, in the body's frame, m.
        up: direction in the body's frame that is up in the image.
        fovy: vertical field of view, degrees.
    """

    body: str
    position: Vector
    target: Vector
    up: Vector
    fovy: float


@dataclass(frozen=True, eq=False)
class ArmModel:
    """One kind of arm with its gripper. Angles in rad, lengths in m, in the arm's base frame.

    The tip frame is the MJCF's site ``ee``: x forward out of the gripper, y the direction in
    which the fingers close, z = x × y. The finger's position is its distance from the middle.

    Attributes:
        name: as in `ARMS`.
        joint_names: of the n angles, from the base on.
        finger_name: joint that commands and readings of the gripper mean.
        lower: (n,) joint limits.
        upper: (n,) joint limits.
        velocity_limits: (n + 1,) rad/s, then the finger's in m/s.
        finger_range: the finger's position closed and open.
        home: (n,) a posture over the table, gripper down: a guess for inverse kinematics.
        sleep: (n,) where the arm rests.
        tip_reach: how far the fingers reach past the tip frame along x.
        max_opening: between the open pads.
        base_xyz: where the base stands in the table frame, so that the table's working area
            (x .15 to .45, y -.3 to .3) is in good reach; it is not turned.
        workspace: of the tip; its floor keeps the fingers of a gripper that points down just
            above the table.
        wrist_camera: mount of the camera that sees the finger tips.
        mjcf: text of one arm at the origin. Its joints are `joint_names`, `left_finger` and
            `right_finger`, its actuators `joint_names` and ``gripper``; geoms ``left_pad`` and
            ``right_pad``; site ``ee``.
        press: how far a closed gripper's drive aims past the joint's stop, so that the force on
            what is held does not fade with the object's width.
        make_kinematics: from joint limits (n,), (n,) to the arm's kinematics.
    """

    name: str
    joint_names: tuple[str, ...]
    finger_name: str
    lower: Array
    upper: Array
    velocity_limits: Array
    finger_range: tuple[float, float]
    home: Array
    sleep: Array
    tip_reach: float
    max_opening: float
    base_xyz: Vector
    workspace: Workspace
    wrist_camera: CameraMount
    mjcf: str
    press: float
    make_kinematics: Callable[[Array, Array], Kinematics]

    def kinematics(self, lower: Array | None = None, upper: Array | None = None) -> Kinematics:
        """Kinematics in the base frame, within other joint limits (n,) if they are given."""
        return self.make_kinematics(
            self.lower if lower is None else lower, self.upper if upper is None else upper
        )

    def drive_from_finger(self, finger: float) -> float:
        """The simulated drive's set point in m for a commanded finger position in m."""
        low, high = self.finger_range
        return finger - self.press * (high - finger) / (high - low)

    def finger_from_opening(self, opening: float) -> float:
        """The finger's position in m for an opening in [0, 1]; 1 is open."""
        low, high = self.finger_range
        return low + (high - low) * min(max(opening, 0.0), 1.0)


# Where each arm is defined; the modules import this one, so they are looked up by name.
ARMS = {
    'wx250s': 'vvf_sim.robots.widowx:WX250S',
    'fer': 'vvf_sim.robots.franka:FER',
    'fr3': 'vvf_sim.robots.franka:FR3',
}


def arm_model(name: str) -> ArmModel:
    """The arm of a name in `ARMS`.

    Raises:
        UserError: there is no such arm.
    """
    if name not in ARMS:
        raise UserError(f'there is no arm {name!r}: use {", ".join(ARMS)}.')
    model: ArmModel = pkgutil.resolve_name(ARMS[name])
    return model


def arm_spec(model: ArmModel) -> 'mujoco.MjSpec':
    """A fresh editable model of the arm, to be attached to a scene with a prefix for its names.

    The scene's own physics options hold after that: time step 4 ms, ``implicitfast``, elliptic
    cones and ``impratio`` 10 are what the grippers hold well with.
    """
    return mujoco.MjSpec.from_string(model.mjcf)
