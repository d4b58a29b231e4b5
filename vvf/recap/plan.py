# SPDX-License-Identifier: Apache-2.0
"""The loop as waves of stages, in order (arXiv 2511.14759, Alg. 1).

    data      demonstrations D, prior data P (noisy experts: mistakes, and failures)
    once      V_pre on D + P;  pi_pre on D + P;  pi_0 = pi_pre fine-tuned on D, all positive
    k = 1..K  R_k: rollouts of pi_{k-1}, alone and with somebody who corrects
              V_k = V_pre fine-tuned on D + R_1..k
              I_k: indicators by V_k, 40 % of the rollouts positive, D and corrections all positive
              pi_k = pi_pre fine-tuned on D + R_1..k with I_k, and judged

Neither V_k nor pi_k goes on from the last iterate. The methods that are compared share D and P and,
with `shared_pretraining`, pi_pre, pi_0 and so R_1, too: they begin from the same policy and the
same first rollouts, and every fine-tuning of a policy has as many optimiser steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vvf.recap.learning import check_settings
from vvf.recap.places import Places
from vvf.recap.run import IMITATION, SHARED, Plan, Run
from vvf.recap.stages import Demonstrating, Source, Stage, Training, Wave
from vvf_sim.collect import CollectJob
from vvf_sim.experts.config import ExpertConfig

_DEMONSTRATIONS, _PRIOR = 0, 200_000  # seeds of scenes; see `places`


def make_plan(run: Run) -> Plan:
    """All stages of a run, in order.

    Raises:
        UserError: (of `vvf` or of `vvf_models`) a model's settings are wrong.
    """
    plan = Plan(run)
    plan.waves += _data(run)
    seeds = [_Seed(run, plan, seed) for seed in run.seeds]
    if run.config.shared_pretraining:
        both = [(seed.pretrain_values()[1], seed.pretrain()[1]) for seed in seeds]
        _add(plan, [('values and policy, pre-trained', [*v, *p]) for v, p in both])
    else:
        for make in (_Seed.pretrain_values, _Seed.judge_pretraining, _Seed.pretrain):
            _add(plan, [make(seed) for seed in seeds])
    _add(plan, [seed.imitate() for seed in seeds])
    _add(plan, [seed.judge_imitation() for seed in seeds])
    for k in range(1, run.iterations + 1):
        for step in (
            _Seed.collect,
            _Seed.finetune_values,
            _Seed.indicate,
            _Seed.finetune,
            _Seed.judge,
        ):
            _add(plan, [step(seed, k) for seed in seeds])
    for wave in plan.waves:
        for stage in wave.stages:
            if isinstance(stage, Training):
                check_settings(stage)
    return plan


def _add(plan: Plan, parts: Sequence[tuple[str, list[Stage]]]) -> None:
    """The stages of all seeds make one wave; those that methods share are in it once."""
    stages = {stage.folder: stage for _, some in parts for stage in some}
    if stages:
        plan.waves.append(Wave(parts[0][0], tuple(stages.values())))


def _data(run: Run) -> Iterator[Wave]:
    seconds = run.config.seconds_per_demonstration
    for name, given, count, first in (
        ('demonstrations', run.demonstrations, run.config.demonstrations, _DEMONSTRATIONS),
        ('prior', run.prior, run.config.prior, _PRIOR),
    ):
        if given is None and count:
            folder = run.out / name
            jobs = tuple(
                CollectJob(
                    run.world,
                    seed,
                    folder / f'episode_{seed:07d}.npz',
                    run.train_world,
                    ExpertConfig.demonstrator()
                    if name == 'demonstrations'
                    else ExpertConfig.from_noise((seed - first + 0.5) / count),
                    control_hz=run.rate_hz,
                )
                for seed in range(first, first + count)
            )
            minutes = seconds * count / 60
            yield Wave(f'{name}: {count} episodes', (Demonstrating(folder, name, minutes, jobs),))


class _Seed(Places):
    """The stages of one training seed."""

    def pretrain_values(self) -> tuple[str, list[Stage]]:
        data = (self.shown, *self.before)
        stages: list[Stage] = [
            self.train(
                self.folder / method / 'value_pretrained',
                f'{method}: value, pre-trained',
                method,
                self.config.values[method],
                data,
                self.config.values[method].pretrain_steps,
            )
            for method in self.values
        ]
        return 'values, pre-trained on demonstrations and prior data', stages

    def judge_pretraining(self) -> tuple[str, list[Stage]]:
        # The paper's pre-training: every frame is judged, to the end of its episode.
        data = tuple(Source(s.path, s.count, 'prior') for s in (self.shown, *self.before))
        stages: list[Stage] = [
            self.indicate_frames(
                method,
                'indicators_pretraining',
                self.folder / method / 'value_pretrained',
                data,
                (self.config.positive_ratio_pretraining, 0),
            )
            for method in self.values
        ]
        return 'indicators of the pre-training data', stages

    def pretrain(self) -> tuple[str, list[Stage]]:
        data = (self.shown, *self.before)
        stages: list[Stage] = []
        for method in self.run.methods:
            own = not self.config.shared_pretraining
            judged = own and method in self.values
            stages.append(
                self.train(
                    self.home(method) / 'policy_pretrained',
                    f'{method if own else SHARED}: policy, pre-trained',
                    'recap',
                    self.config.policy,
                    data,
                    self.config.policy.pretrain_steps,
                    settings=_learning(method) if own else {},
                    indicators=self.folder / method / 'indicators_pretraining' if judged else None,
                    all_positive=own and not judged,
                )
            )
        return 'policy, pre-trained on demonstrations and prior data', stages

    def imitate(self) -> tuple[str, list[Stage]]:
        stages: list[Stage] = []
        for method in self.run.methods:
            stage = self.train(
                self.home(method) / IMITATION,
                f'{self.home(method).name}: imitation policy, all of it positive',
                'recap',
                self.config.policy,
                (self.shown,),
                self.config.policy.finetune_steps,
                settings={} if self.config.shared_pretraining else _learning(method),
                init=self.home(method) / 'policy_pretrained',
            )
            self.plan.trainings[self.seed, method, 0] = stage
            stages.append(stage)
        return 'imitation policy, fine-tuned on demonstrations', stages

    def judge_imitation(self) -> tuple[str, list[Stage]]:
        stages: list[Stage] = []
        for method in self.run.methods:
            home = self.home(method)
            stage = self.evaluate(home / f'{IMITATION}_evaluation', home / IMITATION, home.name)
            self.plan.imitation[self.seed, method] = stage
            stages.append(stage)
        return f'imitation policy, judged by {self.config.eval_episodes} episodes', stages

    def collect(self, k: int) -> tuple[str, list[Stage]]:
        stages: list[Stage] = []
        for method in self.run.methods:
            stage = self.roll_out(method, k)
            self.plan.rollouts[self.seed, method, k] = stage
            stages.append(stage)
        return f'iteration {k}: rollouts of the policy before it', stages

    def finetune_values(self, k: int) -> tuple[str, list[Stage]]:
        stages: list[Stage] = [
            self.train(
                self.folder / method / f'value_{k}',
                f'{method}: value {k}',
                method,
                self.config.values[method],
                self.gathered(method, k),
                self.config.values[method].finetune_steps,
                init=self.folder / method / 'value_pretrained',
            )
            for method in self.values
        ]
        return f'iteration {k}: values, fine-tuned from the pre-trained ones', stages

    def indicate(self, k: int) -> tuple[str, list[Stage]]:
        stages: list[Stage] = [
            self.indicate_frames(
                method,
                f'indicators_{k}',
                self.folder / method / f'value_{k}',
                self.gathered(method, k),
                (self.config.positive_ratio, self.config.n_steps),
            )
            for method in self.values
        ]
        return f'iteration {k}: indicators, and what they are worth', stages

    def finetune(self, k: int) -> tuple[str, list[Stage]]:
        stages: list[Stage] = []
        for method in self.run.methods:
            judged = method in self.values
            stage = self.train(
                self.policy(method, k),
                f'{method}: policy {k}',
                'recap',
                self.config.policy,
                self.gathered(method, k),
                self.config.policy.finetune_steps,
                settings=_learning(method),
                init=self.home(method) / 'policy_pretrained',
                indicators=self.folder / method / f'indicators_{k}' if judged else None,
                # Told as the imitation policy is, so that all begin and are asked alike.
                all_positive=not judged,
            )
            self.plan.trainings[self.seed, method, k] = stage
            stages.append(stage)
        return f'iteration {k}: policies, fine-tuned from the pre-trained one', stages

    def judge(self, k: int) -> tuple[str, list[Stage]]:
        stages: list[Stage] = []
        for method in self.run.methods:
            folder = self.folder / method / f'evaluation_{k}'
            stage = self.evaluate(folder, self.policy(method, k), f'{method}, iteration {k}')
            self.plan.evaluations[self.seed, method, k] = stage
            stages.append(stage)
        return f'iteration {k}: policies, judged by {self.config.eval_episodes} episodes', stages


def _learning(method: str) -> dict[str, Any]:
    """What the policy's configuration says about what a method learns from."""
    return {'learn_from': 'successes'} if method == 'filtered' else {}
