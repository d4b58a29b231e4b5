# SPDX-License-Identifier: Apache-2.0
"""Runs one episode of a policy."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vvf.rollouts.job import Rollout, RolloutJob
from vvf_sim.episode_data import save_npz
from vvf_sim.episode_log import EpisodeLog, event_kinds, failure_kind, human_stand_in
from vvf_sim.worlds.env import TaskEnv

if TYPE_CHECKING:
    from vvf_models.runtime import PolicyRuntime

_policies: dict[Path, PolicyRuntime] = {}
_guidance: dict[Path, float] = {}


def roll_out(job: RolloutJob) -> Rollout:
    """Run one episode; models stay loaded for the next one in the same process.

    Raises:
        UserError: the policy does not fit the task.
    """
    env = TaskEnv(job.task, job.config, stop_on_success=False)
    try:
        return _Run(job, env).to_the_end()
    finally:
        env.close()


def _policy(job: RolloutJob) -> PolicyRuntime:
    from vvf_models.runtime import load_policy

    if job.policy not in _policies:
        _policies[job.policy] = load_policy(job.policy)
        _guidance[job.policy] = _policies[job.policy].guidance
    return _policies[job.policy]


class _Run:
    """An episode under way."""

    def __init__(self, job: RolloutJob, env: TaskEnv) -> None:
        self.job, self.env = job, env
        observation, _ = env.reset(seed=job.seed)
        self.log = EpisodeLog(env, job.task, job.seed, observation)
        self.policy: Any = _policy(job)
        self.policy.set_instruction(env.world.instruction)
        self.policy.guidance = _guidance[job.policy] if job.guidance is None else job.guidance
        self.policy.candidates = job.candidates
        self.human = human_stand_in(env, job.task, job.seed, job.patience or None)
        self.chunk: deque[NDArray[np.float32]] = deque()

    def to_the_end(self) -> Rollout:
        """Act until the success, or with a record until some steps after it."""
        log, job = self.log, self.job
        end = job.max_steps
        while log.steps < end:
            human = self.human.in_control()
            action = self._human() if human else self._act()
            succeeded = log.success_index >= 0
            if not log.step(action, action, human):
                break
            if log.success_index >= 0 and not succeeded:
                end = min(end, log.steps + (log.run_on if job.record else 0))
        return self._result()

    def _human(self) -> NDArray[Any]:
        self.chunk.clear()
        assert self.human.expert is not None
        return self.human.expert.act()[0]

    def _act(self) -> NDArray[Any]:
        policy, seen = self.policy, self.log.seen
        if not self.chunk:
            images = {camera: seen[camera] for camera in policy.cameras}
            chunk = policy.act(images, seen['state'] if policy.state_dim else None)
            self.chunk.extend(chunk[: self.job.execute])
        return self.chunk.popleft()

    def _result(self) -> Rollout:
        log, world, job = self.log, self.env.world, self.job
        success = log.success_index >= 0
        steps = log.success_index if success else log.steps
        names = [event.name for event in world.events]
        kinds = event_kinds(world)
        if job.record is not None:
            job.record.parent.mkdir(parents=True, exist_ok=True)
            save_npz(log.episode(policy=self.policy.name), job.record)
        return Rollout(
            seed=job.seed,
            success=success,
            steps=steps,
            failure_kind='' if success else failure_kind(world, success),
            milestones=tuple(n for n, k in zip(names, kinds, strict=True) if k == 'milestone'),
            errors=tuple(n for n, k in zip(names, kinds, strict=True) if k == 'error'),
            takeovers=names.count('takeover'),
            human_steps=log.human_steps(steps),
            path=job.record,
        )
