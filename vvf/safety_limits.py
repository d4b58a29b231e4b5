# SPDX-License-Identifier: Apache-2.0
"""Limits and poses of an arm, from `config/robots/<robot>.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vvf.errors import UserError
from vvf.joint_move import JointMove
from vvf.paths import config_path

Array = NDArray[np.float64]

#: Where a robot file says nothing: more than any arm lags behind, less than a hand's breadth.
TRACKING_TOLERANCE = 0.3
_PARK_MARGIN_S = 0.5
_JOINT_KEYS = ('lower', 'upper', 'velocity', 'acceleration', 'home', 'sleep', 'tracking_tolerance')
_BOX_KEYS = ('workspace_lower', 'workspace_upper')
_POSITIVE = ('velocity', 'acceleration', 'tracking_tolerance')


@dataclass(frozen=True)
class RobotLimits:
    """Limits and poses of one arm.

    All joint arrays are in URDF order; radians, rad/s, rad/s^2; metres in `base_link`.

    Attributes:
        home: where an episode begins.
        sleep: where the arm is left.
        park_velocity: of the fastest joint on the way home or to sleep, rad/s.
        park_acceleration: the same, rad/s^2.
        tracking_tolerance: how far each joint may be from where it was told to be.
    """

    name: str
    joint_names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    gripper_name: str
    gripper_lower: float
    gripper_upper: float
    gripper_velocity: float
    home: Array
    sleep: Array
    park_velocity: float
    park_acceleration: float
    tracking_tolerance: Array
    workspace_lower: Array
    workspace_upper: Array

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], source: str = 'robot file') -> RobotLimits:
        """Validate the content of a robot file.

        `tracking_tolerance` may be left out, or be one number for all joints.

        Raises:
            UserError: a key is missing or unknown, an array has another length than
                `joint_names`, a lower limit is not below its upper one, a pose is outside the
                limits, or a limit is not above zero.
        """
        values: dict[str, Any] = {'tracking_tolerance': TRACKING_TOLERANCE, **data}
        known = set(cls.__dataclass_fields__)
        wrong = (known - set(values)) or (set(values) - known)
        if wrong:
            raise UserError(f'{source}: missing or unknown key {sorted(wrong)[0]!r}; check it.')
        names = values['joint_names'] = tuple(str(n) for n in values['joint_names'])
        if np.ndim(values['tracking_tolerance']) == 0:
            values['tracking_tolerance'] = [values['tracking_tolerance']] * len(names)
        for key in (*_JOINT_KEYS, *_BOX_KEYS):
            length = 3 if key in _BOX_KEYS else len(names)
            array = np.asarray(values[key], dtype=np.float64)
            if array.shape != (length,) or not np.isfinite(array).all():
                raise UserError(f'{source}: {key!r} needs {length} finite numbers.')
            if key in _POSITIVE and (array <= 0).any():
                raise UserError(f'{source}: every number of {key!r} must be above 0.')
            values[key] = array
        limits = cls(**values)
        if (limits.lower >= limits.upper).any():
            raise UserError(f'{source}: every entry of lower must be below the one of upper.')
        if (limits.workspace_lower >= limits.workspace_upper).any():
            raise UserError(f'{source}: workspace_lower must be below workspace_upper.')
        for key in ('home', 'sleep'):
            pose = values[key]
            if (pose < limits.lower).any() or (pose > limits.upper).any():
                raise UserError(f'{source}: {key!r} lies beyond the joint limits.')
        if min(limits.park_velocity, limits.park_acceleration) <= 0:
            raise UserError(f'{source}: park_velocity and park_acceleration must be above 0.')
        return limits

    def clip(self, position: Array) -> Array:
        """The nearest joint positions (n,) within the limits."""
        return np.clip(position, self.lower, self.upper)

    @property
    def move_velocity(self) -> Array:
        """(n,) rad/s on the way home or to sleep."""
        return np.minimum(self.velocity, self.park_velocity)

    @property
    def move_acceleration(self) -> Array:
        """(n,) rad/s^2 on the way home or to sleep."""
        return np.minimum(self.acceleration, self.park_acceleration)

    @property
    def park_time_s(self) -> float:
        """The longest that parking can take: braking, then from the far ends of all joints."""
        far = np.where(self.upper - self.sleep > self.sleep - self.lower, self.upper, self.lower)
        way = JointMove(far, self.sleep, self.move_velocity, self.move_acceleration)
        return way.duration + float((self.velocity / self.acceleration).max()) + _PARK_MARGIN_S


def load_limits(robot: str) -> RobotLimits:
    """The limits in `config/robots/<robot>.yaml`.

    Raises:
        UserError: there is no such robot, or its file is wrong.
    """
    file = config_path('robots', f'{robot}.yaml')
    if not file.is_file():
        known = ', '.join(sorted(p.stem for p in file.parent.glob('*.yaml')))
        raise UserError(f'there is no robot {robot!r}; known: {known}.')
    return RobotLimits.from_mapping(yaml.safe_load(file.read_text()), str(file))
