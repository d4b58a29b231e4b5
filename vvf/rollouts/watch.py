# SPDX-License-Identifier: Apache-2.0
"""A value model that looks on while a policy is tried, and the value gate that it feeds.

Gate and memory are the policy node's own. Values come with the frames that the rollout sees, as
many a second as there are actions; the node's come with the frames of its cameras, which are more.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from vvf.errors import UserError
from vvf.rollouts.job import RolloutJob
from vvf.value_gate import Array, PoseMemory, ValueGate
from vvf_sim.worlds.env import Observation, TaskEnv

if TYPE_CHECKING:
    from vvf_models.runtime import ValueRuntime

_values: dict[Path, ValueRuntime] = {}


class Watch:
    """Looks on in one episode.

    Args:
        job: with a value model.
        env: after its reset.

    Attributes:
        progress: of each observation that was seen, in [0, 1].
        falls: stamps in s at which the gate noticed a fall.
        way: (6,) displacements of a retreat that are still to be made.

    Raises:
        UserError: the model does not fit the scene, or the gate cannot do what it is to do.
    """

    def __init__(self, job: RolloutJob, env: TaskEnv) -> None:
        assert job.value is not None
        if job.gate.reaction == 'retreat' and env.world.n_arms > 1:
            raise UserError('a gate that retreats is for one arm: choose another reaction.')
        self.progress: list[float] = []
        self.falls: list[float] = []
        self.way: deque[Array] = deque()
        self._env = env
        self._value = _load(job.value)
        self._value.set_instruction(env.world.instruction)
        if not self._value.ready:
            raise UserError(f'value model {job.value} has no goal for "{env.world.instruction}".')
        check_fit(self._value, str(job.value), env)
        self._gate = ValueGate(job.gate)
        self._poses = PoseMemory(job.gate.window_s + 1.0)

    def see(self, stamp: float, observation: Observation, judge: bool) -> str:
        """Score an observation; says what is to be done about it, '' for nothing.

        Args:
            stamp: in s.
            observation: of the environment.
            judge: whether the gate is asked: not while a person acts, nor after the success.
        """
        value = self._value
        images = {camera: observation[camera][None] for camera in value.cameras}
        state = observation['state'][None] if value.state_dim else None
        progress = float(value.value(value.encode(images, state)).progress[0])
        self.progress.append(progress)
        tip = self._tip()
        self._poses.add(stamp, tip[:3, 3], Rotation.from_matrix(tip[:3, :3]).as_quat())
        if not judge:
            self._gate.reset()
            self.way.clear()
            return ''
        if self.way:
            return ''
        fall = self._gate.see(stamp, progress)
        if fall is None:
            return ''
        self.falls.append(stamp)
        if self._gate.config.reaction == 'retreat':
            space = self._env.action_space
            way = self._poses.way_back(fall.best_stamp, space.low.tolist(), space.high.tolist())
            self.way.extend(way if way is not None else np.empty((0, 6)))
        return self._gate.config.reaction

    def begin_afresh(self) -> None:
        """A person has given back: what was before says nothing of what comes."""
        self._gate.reset()
        self._poses.clear()

    def retreat(self) -> Array:
        """The next action (7,) of a retreat, which leaves the gripper as it is."""
        return np.append(self.way.popleft(), self._env.arm.opening)

    def _tip(self) -> Array:
        arm = self._env.world.arms[0]
        return np.asarray(arm.kinematics.forward(arm.joints(self._env.world.data)[:-1]))


class Sees(Protocol):
    """What a policy and a value model have in common."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Those that it looks through."""

    @property
    def state_dim(self) -> int:
        """Length of the state that it needs, 0 for none."""


def check_fit(model: Sees, name: str, env: TaskEnv) -> None:
    """Whether a model sees what the scene shows.

    Raises:
        UserError: a camera is missing, or the state is another robot's.
    """
    for camera in model.cameras:
        if camera not in env.world.cameras:
            shown = ', '.join(env.world.cameras)
            raise UserError(f'{name} looks through camera {camera!r}; this scene shows {shown}.')
    state = env.observation_space['state'].shape[0]
    if model.state_dim and model.state_dim != state:
        raise UserError(
            f'{name} knows a state of {model.state_dim} numbers; this scene and arm have {state}.'
        )


def _load(path: Path) -> ValueRuntime:
    from vvf_models.runtime import load_value

    if path not in _values:
        _values[path] = load_value(path)
    return _values[path]
