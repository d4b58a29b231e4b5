# SPDX-License-Identifier: Apache-2.0
"""Home and sleep moves of a WidowX by Interbotix's own Python class, in a process of its own.

`python -m vvf.drivers.widowx_modules home|sleep --namespace wx250s`. The class blocks, spins a node
of its own and believes that the motors have a time profile: with the profile that a policy streams
to, its moves would be leaps, so the profile is set first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

from vvf import environment
from vvf.processes import PARENT, USER_ERROR, end_with_parent
from vvf.safety_limits import load_limits

_ACCELERATION_SHARE = 0.3


class ModulesMove:
    """A move that goes on in a process.

    Args:
        pose: `home` or `sleep`.
        model: of the robot, such as `wx250s`.
        namespace: of the vendor's node.
        seconds: that the move takes.

    Attributes:
        killed: whether it was to end at once.
    """

    def __init__(self, pose: str, model: str, namespace: str, seconds: float = 3.0) -> None:
        self.killed = False
        self._said = tempfile.TemporaryFile('w+', encoding='utf-8')  # noqa: SIM115
        words = [pose, '--model', model, '--namespace', namespace, '--seconds', str(seconds)]
        self._process = subprocess.Popen(
            [sys.executable, '-m', __name__, *words],
            stdin=subprocess.DEVNULL,
            stderr=self._said,
            env=environment.ros_environment() | {PARENT: str(os.getpid())},
        )

    def poll(self) -> str | None:
        """`None` while it moves, then why it failed, or '' where it did not."""
        code = self._process.poll()
        if code is None:
            return None
        self._said.seek(0)
        lines = [line for line in self._said.read().splitlines() if line.strip()]
        self._said.close()
        if self.killed:
            return 'it was halted'
        return '' if code == 0 else (lines or [f'exit code {code}'])[-1]

    def kill(self) -> None:
        """End the process, which sends nothing more then; what it has sent, the motors carry out.

        Not by a signal that rclpy catches: the vendor's class would go on with the next step.
        """
        self.killed = True
        self._process.kill()

    def stop(self) -> None:
        """Do not wait for the end of the move, which the motors carry out by themselves."""
        self._process.terminate()


def move(pose: str, model: str, namespace: str, seconds: float) -> int:
    """Move, and return the exit code."""
    try:
        from interbotix_xs_modules.xs_robot.arm import InterbotixManipulatorXS
    except ImportError as error:
        print(
            f'[ERROR] interbotix_xs_modules cannot be loaded ({error}): build and source '
            "Interbotix's workspace, or choose `backend: topics`.",
            file=sys.stderr,
        )
        return USER_ERROR
    times = {'moving_time': seconds, 'accel_time': seconds * _ACCELERATION_SHARE}
    # Without its gripper class, which would push it open or closed by an effort.
    robot = InterbotixManipulatorXS(model, robot_name=namespace, gripper_name=None, **times)
    robot.core.robot_set_operating_modes(
        'group',
        'arm',
        'position',
        profile_type='time',
        profile_velocity=int(1000 * times['moving_time']),
        profile_acceleration=int(1000 * times['accel_time']),
    )
    if pose == 'sleep':
        robot.arm.go_to_sleep_pose(blocking=True)
        return 0
    # Not the vendor's home, which is the arm stretched out: where episodes begin.
    if robot.arm.set_joint_positions(load_limits(model).home.tolist(), blocking=True):
        return 0
    print('[ERROR] interbotix_xs_modules refuses the home pose of the robot file', file=sys.stderr)
    return 1


def main() -> None:
    """Entry point of the process."""
    environment.ensure()
    end_with_parent()
    parser = argparse.ArgumentParser(prog='python -m vvf.drivers.widowx_modules')
    parser.add_argument('pose', choices=('home', 'sleep'))
    parser.add_argument('--model', default='wx250s')
    parser.add_argument('--namespace', default='wx250s')
    parser.add_argument('--seconds', type=float, default=3.0, help='that the move takes')
    given = parser.parse_args()
    sys.exit(move(given.pose, given.model, given.namespace, given.seconds))


if __name__ == '__main__':
    main()
