# SPDX-License-Identifier: Apache-2.0
"""Where the stages of a training seed lie, and how each kind of them is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vvf.recap.config import ModelPlan
from vvf.recap.run import IMITATION, SHARED, Plan, Run
from vvf.recap.stages import Indicating, RollingOut, Source, Training
from vvf.rollouts import RolloutJob

#: Where decoded frames lie in a run's folder, which are deleted when all is done: a hidden one,
#: which nobody else has there.
FRAMES = '.frames'
# Seeds of scenes: none is used twice. Those of policies being judged are `vvf eval policy`'s.
_ROLLOUTS, _EVALUATION = 1_000_000, 700_000
_PER_ITERATION, _PER_SEED = 10_000, 100_000


class Places:
    """The folders of one training seed, and stages in them."""

    def __init__(self, run: Run, plan: Plan, seed: int) -> None:
        self.run, self.plan, self.seed, self.config = run, plan, seed, run.config
        self.folder = run.out / f'seed_{seed}'
        self.cache = run.out / FRAMES
        self.values = [m for m in run.methods if m in run.config.values]
        self.shown = Source(
            run.demonstrations or run.out / 'demonstrations',
            run.config.demonstrations,
            'demonstrations',
        )
        self.before = [Source(run.prior or run.out / 'prior', run.config.prior, 'prior')]
        if run.prior is None and not run.config.prior:
            self.before = []

    def home(self, method: str) -> Path:
        """Where a method's pre-trained policy is, and all that comes of it alone."""
        return self.folder / (SHARED if self.config.shared_pretraining else method)

    def policy(self, method: str, k: int) -> Path:
        """The policy of an iteration; of 0, the imitation policy."""
        return self.folder / method / f'policy_{k}' if k else self.home(method) / IMITATION

    def home_of_rollouts(self, method: str, k: int) -> Path:
        """Where the rollouts for an iteration lie."""
        # The first ones are of the imitation policy, which methods may share.
        return (self.home(method) if k == 1 else self.folder / method) / f'rollouts_{k}'

    def gathered(self, method: str, k: int) -> tuple[Source, ...]:
        """Rollouts of all iterations so far, then demonstrations."""
        rollouts = [Source(self.home_of_rollouts(method, i)) for i in range(1, k + 1)]
        return (*rollouts, self.shown)

    def train(
        self,
        folder: Path,
        title: str,
        kind: str,
        plan: ModelPlan,
        data: tuple[Source, ...],
        steps: int,
        *,
        settings: dict[str, Any] | None = None,
        init: Path | None = None,
        indicators: Path | None = None,
        all_positive: bool = False,
    ) -> Training:
        """A training in a folder."""
        return Training(
            folder,
            title,
            steps * plan.ms_per_step / 60e3,
            kind=kind,
            preset=plan.config,
            settings={**plan.settings, **(settings or {})},
            data=data,
            steps=steps,
            seed=self.seed,
            init=init,
            indicators=indicators,
            all_positive=all_positive,
            cache=self.cache,
            command=self.run.command,
        )

    def indicate_frames(
        self,
        method: str,
        name: str,
        value: Path,
        data: tuple[Source, ...],
        how: tuple[float, int],
    ) -> Indicating:
        """Which frames improve, by the value in a folder."""
        config = self.config
        episodes = config.demonstrations + config.prior
        frames = config.steps_per_episode * (episodes + config.autonomous + config.corrected)
        minutes = frames * config.values[method].ms_per_frame / 60e3
        folder = self.folder / method / name
        title = f'{method}: {name.replace("_", " ")}'
        return Indicating(
            folder, title, minutes, value, data, *how, config.open_failures, self.cache
        )

    def roll_out(self, method: str, k: int) -> RollingOut:
        """What the policy before iteration k does, alone and watched."""
        run, config = self.run, self.config
        first = _ROLLOUTS + _PER_SEED * self.seed + _PER_ITERATION * k
        watched = [0] * config.autonomous + [config.patience] * config.corrected
        folder = self.home_of_rollouts(method, k)
        jobs = tuple(
            RolloutJob(
                policy=self.policy(method, k - 1),
                task=run.world,
                config=run.train_world,
                seed=first + number,
                max_steps=run.max_steps,
                execute=run.execute,
                rate_hz=run.rate_hz,
                patience=patience,
                stalled=config.stalled,
                temperature=config.temperature,
                record=folder / f'episode_{first + number}.npz',
            )
            for number, patience in enumerate(watched)
        )
        minutes = config.seconds_per_rollout * len(jobs) / 60
        return RollingOut(folder, f'{folder.parent.name}: rollouts {k}', minutes, jobs)

    def evaluate(self, folder: Path, policy: Path, title: str) -> RollingOut:
        """How good a policy is."""
        run = self.run
        jobs = tuple(
            RolloutJob(
                policy=policy,
                task=run.world,
                config=run.eval_world,
                seed=seed,
                max_steps=run.max_steps,
                execute=run.execute,
                rate_hz=run.rate_hz,
            )
            for seed in range(_EVALUATION, _EVALUATION + self.config.eval_episodes)
        )
        minutes = self.config.seconds_per_rollout * len(jobs) / 60
        return RollingOut(folder, title, minutes, jobs)
