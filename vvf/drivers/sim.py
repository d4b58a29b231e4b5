# SPDX-License-Identifier: Apache-2.0
"""The simulated arm: a MuJoCo world in the place of motors and cameras.

It advances with the wall clock, and publishes what the vendors' camera drivers would:
`/<camera>/image_raw`, JPEG on demand, and `camera_info`. Frames show the joints that were read last
and have their stamp, so that on a machine too slow for the control rate, too, every frame has a
joint state.
"""

from __future__ import annotations

import time

import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Bool

from vvf.drivers.base import JointReading
from vvf.errors import UserError
from vvf.nodes.camera_publisher import CameraPublisher
from vvf.nodes.common import now_s
from vvf.paths import share
from vvf.safety import Command
from vvf.task import TaskSpec
from vvf.worlds import world_config, world_entry

_MAX_CATCH_UP_S = 0.1  # after a stall time is lost, not made up for in one leap


class SimDriver:
    """A world of `vvf_sim` behind the interface of an arm.

    Args:
        node: owns the publishers of the simulated cameras and of `/sim/success`.
        task: its `sim` and `cameras` entries say what is simulated and published.
        seed: of the first layout; each `prepare` takes the next.

    Raises:
        UserError: the task has no simulation, or a camera that the world has not.
    """

    def __init__(self, node: Node, task: TaskSpec, seed: int) -> None:
        if task.sim is None:
            raise UserError(f'task {task.name} has no sim entry: it needs a real robot.')
        self._node = node
        self._world = world_entry(task.sim).make_world(world_config(task.sim))
        known = self._world.CAMERAS
        unknown = [c.name for c in task.cameras if c.name not in known]
        if unknown:
            raise UserError(
                f'task {task.name}: the simulation has no camera {unknown[0]!r}; '
                f'known: {", ".join(known)}.'
            )
        self._seed = seed
        self._world.reset(seed)
        # The reference camera goes last: who waits for it has the others already.
        self._cameras = {
            c.name: CameraPublisher(node, c.topic, c.frame_id, _calibration(c.name))
            for c in reversed(task.cameras)
        }
        self._frame_period = 1.0 / (task.cameras[0].rate_hz or 10.0)
        self._success = node.create_publisher(Bool, '/sim/success', 10)
        self._target = self._world.joints()
        self._owed = 0.0
        self._next_frame = time.monotonic()
        self._measured = now_s(node)

    def read(self) -> JointReading:
        """Joints of this moment: the world catches up with the clock under the last command."""
        steps = int(self._owed / self._world.model.opt.timestep)
        self._owed -= steps * self._world.model.opt.timestep
        if steps:
            self._world.step_physics(self._target, steps)
        self._measured = now_s(self._node)
        position, velocity = self._world.joints(), self._world.joint_velocities()
        return JointReading(position[:-1], velocity[:-1], float(position[-1]), self._measured)

    def write(self, command: Command, dt: float) -> None:
        """Follow a command from now on, and publish frames when they are due."""
        self._target = np.append(command.position, command.gripper)
        self._owed = min(self._owed + dt, _MAX_CATCH_UP_S)
        now = time.monotonic()
        if now >= self._next_frame:
            self._next_frame = max(self._next_frame + self._frame_period, now)
            self._publish_frames()

    def _publish_frames(self) -> None:
        stamp = Time(seconds=self._measured).to_msg()
        images = self._world.images()
        for name, publisher in self._cameras.items():
            publisher.publish(images[name], stamp)
        self._success.publish(Bool(data=self._world.success()))

    def prepare(self) -> str:
        """A new layout, with the arm at home; says which seed it has."""
        self._world.reset(self._seed)
        message = f'layout {self._seed}'
        self._seed += 1
        self._owed = 0.0
        return message

    def close(self) -> None:
        """Free the renderer."""
        self._world.close()


def _calibration(camera: str) -> str:
    file = share() / 'calibration' / 'sim' / f'{camera}.yaml'
    return str(file) if file.is_file() else ''
