# SPDX-License-Identifier: Apache-2.0
"""Runs one episode of a policy."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vvf.errors import UserError
from vvf.policy_fit import check_actions, wrong
from vvf.rollouts.job import Rollout, RolloutJob
from vvf.rollouts.watch import Watch, check_fit
from vvf_sim.disturbances import Disturber
from vvf_sim.episode_data import save_npz
from vvf_sim.episode_log import EpisodeLog, event_kinds, failure_kind, human_stand_in
from vvf_sim.worlds.env import TaskEnv

if TYPE_CHECKING:
    from vvf_models.runtime import Policy

_policies: dict[tuple[Path, float | None, float | None, int], Policy] = {}


def roll_out(job: RolloutJob) -> Rollout:
    """Run one episode; models stay loaded for the next one in the same process.

    What happens depends on the job alone, whatever this process did before.

    Raises:
        UserError: policy or value do not fit the task, or what is asked of them is beyond them.
    """
    env = TaskEnv(job.task, job.config, job.rate_hz, stop_on_success=False)
    try:
        return _Run(job, env).to_the_end()
    finally:
        env.close()


class _Run:
    """An episode under way."""

    def __init__(self, job: RolloutJob, env: TaskEnv) -> None:
        self.job, self.env = job, env
        observation, _ = env.reset(seed=job.seed)
        self.log = EpisodeLog(env, job.task, job.seed, observation)
        self.policy = _policy(job)
        self._check()
        self.policy.set_instruction(job.instruction or env.world.instruction)
        self.policy.reseed(job.seed)
        self.watch = Watch(job, env) if job.value is not None else None
        self.human = human_stand_in(
            env, job.task, job.seed, job.patience or None, job.stalled if job.patience else 0
        )
        self.disturber = None
        if job.disturbance is not None:
            self.disturber = Disturber(job.disturbance, env.world, job.task, job.seed, job.rate_hz)
        self.chunk: deque[NDArray[np.float32]] = deque()

    def _check(self) -> None:
        env, name = self.env, str(self.job.policy)
        check_fit(self.policy, name, env)
        check_actions(
            self.policy,
            name,
            f'simulated {self.job.task}',
            dim=env.action_space.shape[0],
            period_s=env.dt,
            displacements=True,
        )

    def to_the_end(self) -> Rollout:
        """Act until the success, or with a record until some steps after it."""
        log, job = self.log, self.job
        end = job.max_steps
        human = False
        while log.steps < end:
            reaction = self._look(not human and log.success_index < 0)
            if reaction == 'stop':
                break
            if reaction == 'human':
                self.human.call()
            elif reaction in ('resample', 'retreat'):
                self.chunk.clear()
            helped, human = human, self.human.in_control()
            if helped and not human and self.watch is not None:
                self.watch.begin_afresh()
            action = self._human() if human else self._act()
            executed = action
            if self.disturber is not None and not human:
                executed = self.disturber.before_step(action)
            succeeded = log.success_index >= 0
            if not log.step(action, executed, human):
                break
            if log.success_index >= 0 and not succeeded:
                end = min(end, log.steps + (log.run_on if job.record else 0))
        return self._result()

    def _look(self, judge: bool) -> str:
        if self.watch is None:
            return ''
        return self.watch.see(self.log.stamp, self.log.seen, judge)

    def _human(self) -> NDArray[Any]:
        self.chunk.clear()
        assert self.human.expert is not None
        return self.human.expert.act()[0]

    def _act(self) -> NDArray[Any]:
        if self.watch is not None and self.watch.way:
            return self.watch.retreat()
        policy, seen = self.policy, self.log.seen
        if not self.chunk:
            images = {camera: seen[camera] for camera in policy.cameras}
            chunk = policy.act(images, seen['state'] if policy.state_dim else None)
            if problem := wrong(chunk, policy.horizon, policy.action_dim):
                raise UserError(f'{policy.name}, seed {self.job.seed}: {problem}.')
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
            falls=tuple(self.watch.falls) if self.watch else (),
            disturbed_at=self.disturber.at if self.disturber else float('nan'),
            path=job.record,
            progress=tuple(self.watch.progress) if self.watch else (),
        )


def _policy(job: RolloutJob) -> Policy:
    from vvf_models.runtime import load_policy

    key = job.policy, job.guidance, job.temperature, job.candidates
    if key not in _policies:
        policy = load_policy(job.policy)
        policy.ask_for(
            guidance=job.guidance, temperature=job.temperature, candidates=job.candidates
        )
        _policies[key] = policy
    return _policies[key]
