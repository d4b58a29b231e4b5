# SPDX-License-Identifier: Apache-2.0
"""Simulated arms: a MuJoCo world in the place of motors and cameras.

It advances with the clock, and publishes what the vendors' camera drivers would:
`/<camera>/image_raw`, JPEG on demand, and `camera_info`. Frames show the joints that were read last
and have their stamp, so that on a machine too slow for the control rate, too, every frame has a
joint state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

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


class SimTable:
    """A world of `vvf_sim` that all simulated arms of a node share.

    Args:
        node: owns the publishers of the simulated cameras and of `/sim/success`.
        task: its `sim` and `cameras` entries say what is simulated and published.
        arms: how many arms the task has.
        seed: of the first layout; each `renew` takes the next.

    Raises:
        UserError: the task has no simulation, or one with more or fewer arms, or a camera that the
            world has not.

    Attributes:
        targets: (n + 1,) joints that each arm is told to go to, rad and m.
        readings: the newest of each arm.
    """

    def __init__(self, node: Node, task: TaskSpec, arms: int, seed: int) -> None:
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
        if len(self._world.arms) != arms:
            raise UserError(
                f'task {task.name}: its state has the joints of {arms} arms, its world has '
                f'{len(self._world.arms)}.'
            )
        # The reference camera goes last: who waits for it has the others already.
        self._cameras = {
            c.name: CameraPublisher(node, c.topic, c.frame_id, _calibration(c.name))
            for c in reversed(task.cameras)
        }
        self._frame_period = 1.0 / (task.cameras[0].rate_hz or 10.0)
        self._success = node.create_publisher(Bool, '/sim/success', 10)
        self.targets = self._world.split(self._world.joints())
        self.readings: list[JointReading] = []
        self._owed = 0.0
        self._last = self._next_frame = time.monotonic()
        self._shown = 0.0  # moment of the newest frame, s
        self._measured = now_s(node)

    def advance(self) -> None:
        """The world catches up with the clock under the last commands, and is read."""
        now = time.monotonic()
        if now >= self._next_frame + self._frame_period:
            self.show()  # in a fault nobody writes, and cameras do not care
        self._owed = min(self._owed + now - self._last, _MAX_CATCH_UP_S)
        self._last = now
        steps = int(self._owed / self._world.model.opt.timestep)
        self._owed -= steps * self._world.model.opt.timestep
        if steps:
            self._world.step_physics(np.concatenate(self.targets), steps)
        self._measured = now_s(self._node)
        positions = self._world.split(self._world.joints())
        velocities = self._world.split(self._world.joint_velocities())
        self.readings = [
            JointReading(q[:-1], v[:-1], float(q[-1]), self._measured)
            for q, v in zip(positions, velocities, strict=True)
        ]

    def show(self) -> None:
        """Publish frames, if they are due."""
        now = time.monotonic()
        # After a late tick the next one may come before time has moved: one moment, one frame.
        if now < self._next_frame or self._measured == self._shown:
            return
        self._shown = self._measured
        self._next_frame = max(self._next_frame + self._frame_period, now)
        stamp = Time(seconds=self._measured).to_msg()
        images = self._world.images()
        for name, publisher in self._cameras.items():
            publisher.publish(images[name], stamp)
        self._success.publish(Bool(data=self._world.success()))

    def renew(self) -> str:
        """A new layout, with the arms where it has them; says which seed it has."""
        self._world.reset(self._seed)
        message = f'layout {self._seed}'
        self._seed += 1
        self.targets = self._world.split(self._world.joints())
        self._owed, self._last = 0.0, time.monotonic()
        return message

    def close(self) -> None:
        """Free the renderer."""
        self._world.close()


class SimDriver:
    """One arm of a `SimTable`, behind the interface of an arm.

    The first one read moves time, the last one written publishes frames.

    Args:
        table: shared by the arms.
        index: which of the world's arms this is.
        last: whether it is the last one.
    """

    simulated = True

    def __init__(self, table: SimTable, index: int, last: bool) -> None:
        self._table = table
        self._index = index
        self._last = last

    def read(self) -> JointReading:
        """Joints of this moment."""
        if self._index == 0:
            self._table.advance()
        return self._table.readings[self._index]

    def write(self, command: Command, dt: float) -> None:
        """Follow a command from now on."""
        self._table.targets[self._index] = np.append(command.position, command.gripper)
        if self._last:
            self._table.show()

    def fault(self) -> str:
        """Simulated motors do not break."""
        return ''

    def recover(self) -> None:
        """There is nothing to mend."""

    def prepare(self) -> str:
        """A new layout; says which seed it has."""
        return self._table.renew() if self._index == 0 else ''

    def busy(self) -> bool:
        """A new layout is there at once."""
        return False

    def halt(self) -> None:
        """Nothing goes on by itself."""

    def close(self) -> None:
        """Free the renderer."""
        if self._last:
            self._table.close()


def make_sim_drivers(
    node: Node, task: TaskSpec, sides: Sequence[str], seed: int
) -> dict[str, SimDriver]:
    """A driver for each side, all of one world; to be read, written and closed in this order.

    Raises:
        UserError: see `SimTable`.
    """
    table = SimTable(node, task, len(sides), seed)
    return {side: SimDriver(table, i, i == len(sides) - 1) for i, side in enumerate(sides)}


def _calibration(camera: str) -> str:
    file = share() / 'calibration' / 'sim' / f'{camera}.yaml'
    return str(file) if file.is_file() else ''
