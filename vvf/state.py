# SPDX-License-Identifier: Apache-2.0
"""Messages to the state vector that the task file describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.task import StateSource, TaskSpec


class StateError(ValueError):
    """The state cannot be assembled; the message says what is missing."""


class StateAssembler:
    """Builds the state vector of a task from the latest message of each of its topics.

    Messages are taken by their fields, so those of rclpy and of rosbags work alike.
    """

    def __init__(self, task: TaskSpec) -> None:
        self.sources = task.state
        self.dim = task.state_dim
        self.topics = tuple(source.topic for source in task.state)
        self._order: dict[str, tuple[tuple[str, ...], list[int]]] = {}

    def assemble(self, messages: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        """Return the state as float32 (dim,): radians, metres, rotation-matrix columns.

        Args:
            messages: Latest message by topic.

        Raises:
            StateError: A topic has no message yet, a joint is not in it, or a number is not finite.
        """
        parts = []
        for source in self.sources:
            message = messages.get(source.topic)
            if message is None:
                raise StateError(f'no message on {source.topic} yet')
            if source.type == 'joint_state':
                part = self._joints(source, message)
            else:
                part = pose_vector(message)
            if not np.isfinite(part).all():
                raise StateError(f'{source.topic} holds a number that is not finite')
            parts.append(part)
        return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)

    def _joints(self, source: StateSource, message: Any) -> npt.NDArray[np.float64]:
        names = tuple(message.name)
        cached = self._order.get(source.topic)
        # A driver keeps its order, so the look-up is done once per order and not per message.
        if cached is None or cached[0] != names:
            absent = [n for n in source.names if n not in names]
            if absent:
                raise StateError(f"{source.topic} has no joint '{absent[0]}'")
            cached = (names, [names.index(n) for n in source.names])
            self._order[source.topic] = cached
        positions = np.asarray(message.position, np.float64)
        if positions.size < len(names):
            raise StateError(
                f'{source.topic} names {len(names)} joints but holds {positions.size} positions'
            )
        return positions[cached[1]]


def pose_vector(message: Any) -> npt.NDArray[np.float64]:
    """Return a Pose or PoseStamped as (9,): xyz, then the rotation's columns R[:, 0], R[:, 1].

    Raises:
        StateError: The quaternion has no length.
    """
    pose = getattr(message, 'pose', message)
    p, q = pose.position, pose.orientation
    x, y, z, w = q.x, q.y, q.z, q.w
    norm = float(np.sqrt(x * x + y * y + z * z + w * w))
    if not norm > 1e-6:
        raise StateError('the orientation of the pose is not a rotation')
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w))
    second = (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w))
    return np.array([p.x, p.y, p.z, *first, *second], np.float64)
