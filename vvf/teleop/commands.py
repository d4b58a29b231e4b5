# SPDX-License-Identifier: Apache-2.0
"""What a human can ask for by a key or a button, besides motion."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: A displacement: metres along, and radians about, the axes of the arm's base.
AXES = ('x', 'y', 'z', 'roll', 'pitch', 'yaw')


#: std_msgs/Header: a key by name in `frame_id`, or '' for a terminal that is there; `stamp`: when.
KEYS_TOPIC = '/vvf/teleop/keys'
#: diagnostic_msgs/DiagnosticStatus: how it goes.
STATUS_TOPIC = '/vvf/teleop/status'


class Command(Enum):
    """The value is the name in a gamepad's file."""

    INTERVENE = 'intervention'  # take over, or give back
    GRIPPER = 'gripper'
    FASTER = 'speed_up'
    SLOWER = 'speed_down'
    SIDE = 'side'  # of two arms, the other one
    CLUTCH = 'clutch'  # the leader arm is followed, or not
    START = 'start'  # an episode; ends a running one unlabelled
    SUCCESS = 'success'
    FAILURE = 'failure'
    ABORT = 'abort'
    SAVE = 'save'  # the ring buffer
    STOP = 'estop'
    RESET = 'estop_reset'
    HOME = 'home'
    RECOVER = 'recover'  # from a fault of the arm


#: Those that the episode node answers, and the key of `vvf episode keys` that asks for the same.
EPISODE_KEYS = {
    Command.START: ' ',
    Command.SUCCESS: 's',
    Command.FAILURE: 'f',
    Command.ABORT: 'a',
    Command.SAVE: 'r',
}
