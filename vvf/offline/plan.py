# SPDX-License-Identifier: Apache-2.0
"""What has to be done, as commands of vvf that anybody can run one by one, and what is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vvf.offline.config import VptrConfig
from vvf.offline.methods import METHODS, Method
from vvf_sim.worlds.scenarios import SOURCE_TARGETS

STAGES = ('data', 'video', 'prior', 'target', 'evaluation')
TASK = 'pick_place'
_TARGET_TASK = 'target'
_FIRST_DEMONSTRATION = 100_000  # seeds; prior data begin at 0, rollouts at `FIRST_ROLLOUT`
_SEEDS_OF_SET = 1000
FIRST_ROLLOUT = 700_000


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        stage: of `STAGES`; steps of one stage do not need each other.
        argv: of `vvf`.
        out: its folder.
        minutes: expected, on one core.
        successes_only: of data: episodes that fail are set aside, and others made instead.
    """

    stage: str
    argv: tuple[str, ...]
    out: Path
    minutes: float
    successes_only: bool = False


@dataclass(frozen=True)
class Trial:
    """A trained policy in a scenario.

    Attributes:
        method: of `METHODS`.
        seed: of its training.
        scenario: of `vvf_sim.worlds.scenarios`.
        candidates: from how many draws it takes the best by its Q; 1: the mean action.
        runs: folders of all its phases, the policy last.
        result: file.
        minutes: expected, on one core.
    """

    method: str
    seed: int
    scenario: str
    candidates: int
    runs: tuple[Path, ...]
    result: Path
    minutes: float

    @property
    def condition(self) -> str:
        """Of the stored result."""
        best = '' if self.candidates == 1 else f' best of {self.candidates}'
        return self.scenario + best


@dataclass(frozen=True)
class Plan:
    """Everything, in order."""

    steps: tuple[Step, ...]
    trials: tuple[Trial, ...]


def make_plan(
    config: VptrConfig,
    methods: Sequence[str],
    seeds: Sequence[int],
    data: Path,
    out: Path,
    workers: int,
) -> Plan:
    """Which steps the methods need; what several methods share is there once for each seed."""
    planner = _Planner(config, data, out, workers)
    chosen = {name: METHODS[name] for name in methods}
    steps = planner.data_steps(chosen)
    for seed in seeds:
        for video in dict.fromkeys(m.video for m in chosen.values() if m.video):
            steps.append(planner.video_step(video, seed))
    for stage in ('prior', 'target'):
        for seed in seeds:
            for name, method in chosen.items():
                if stage == 'target' or method.robot:
                    steps.append(planner.policy_step(stage, name, method, seed))
    trials = [
        planner.trial(name, method, seed, scenario, candidates)
        for seed in seeds
        for name, method in chosen.items()
        for scenario in config.scenarios
        for candidates in (config.candidates if method.kind == 'cql' else (1,))
    ]
    return Plan(tuple(steps), tuple(trials))


class _Planner:
    """Writes the commands."""

    def __init__(self, config: VptrConfig, data: Path, out: Path, workers: int) -> None:
        self.config, self.data, self.out, self.workers = config, data, out, workers

    def data_steps(self, methods: Mapping[str, Method]) -> list[Step]:
        """Clips where a method wants some, prior data, and target data."""
        config = self.config
        size = ('--image-size', str(config.image_size))
        argv: tuple[str, ...]
        steps = []
        if any(method.video for method in methods.values()):
            argv = ('clips', '--episodes', str(config.clips), *size)
            steps.append(self._data_step('clips', argv, config.clips * config.seconds_per_clip))
        collect = ('collect', TASK, '--arm', config.arm, '--cameras', *config.cameras, *size)
        if any(method.robot for method in methods.values()):
            argv = (*collect, '--scenario', 'source', '--expert', 'noisy')
            argv += ('--noise', f'{config.noise:g}', '--episodes', str(config.prior_episodes))
            seconds = config.prior_episodes * config.seconds_per_episode
            steps.append(self._data_step('prior', argv, seconds))
        for number, name in enumerate(config.target_sets):
            first = _FIRST_DEMONSTRATION + number * _SEEDS_OF_SET
            argv = (*collect, '--scenario', name, '--seed', str(first))
            # Without noise, what is executed is what was meant: no accident is cloned.
            argv += ('--expert', 'noisy', '--noise', '0')
            argv += ('--episodes', str(config.demonstrations))
            seconds = config.demonstrations * config.seconds_per_episode
            steps.append(self._data_step(name, argv, seconds, successes_only=True))
        return steps

    def _data_step(
        self, name: str, argv: tuple[str, ...], seconds: float, *, successes_only: bool = False
    ) -> Step:
        out = self.data / name
        argv += ('--workers', str(self.workers), '--out', str(out))
        return Step('data', argv, out, seconds / 60, successes_only)

    def video_step(self, video: str, seed: int) -> Step:
        """Phase 1."""
        data = ('--data', str(self.data / 'clips'), '--no-state')
        return self._train('video', video, video, data, {}, self._video(video, seed), seed)

    def policy_step(self, stage: str, name: str, method: Method, seed: int) -> Step:
        """Phase 2 ('prior') or 3 ('target')."""
        config, robot = self.config, method.robot
        prior = (str(self.data / 'prior'),)
        target = tuple(str(self.data / each) for each in config.target_sets)
        settings: dict[str, Any] = {'task_slots': len(SOURCE_TARGETS) + 1, **method.settings}
        if stage == 'target':
            settings['target_task'] = _TARGET_TASK
        given = ('--data', *(prior if robot else target))
        if robot and stage == 'target':
            given += ('--task-data', *target, '--init', str(self._run(name, 'prior', seed)))
        elif method.video:
            given += ('--init-encoder', str(self._video(method.video, seed)))
        if method.kind == 'rwr':
            settings['vip'] = str(self._video(method.video, seed))
        given += ('--cameras', *config.cameras, '--actions', config.actions)
        run = self._run(name, stage, seed)
        phase = f'{method.kind}_{stage if robot else "alone"}'
        return self._train(stage, phase, method.kind, given, settings, run, seed)

    def _train(
        self,
        stage: str,
        phase_name: str,
        kind: str,
        data: tuple[str, ...],
        settings: Mapping[str, Any],
        out: Path,
        seed: int,
    ) -> Step:
        phase = self.config.phases[phase_name]
        entries = {'image_size': self.config.image_size, **self.config.encoder}
        entries |= {**phase.settings, **settings}
        argv: tuple[str, ...] = ('train', kind, *data, '--config', phase.config)
        for key, value in entries.items():
            argv += ('--set', f'{key}={_as_yaml(value)}')
        argv += ('--steps', str(phase.steps), '--seed', str(seed), '--out', str(out), '--resume')
        return Step(stage, argv, out, phase.steps * phase.ms_per_step / 60_000)

    def _video(self, video: str, seed: int) -> Path:
        return self.out / f'seed_{seed}' / f'video_{video}'

    def _run(self, name: str, stage: str, seed: int) -> Path:
        return self.out / f'seed_{seed}' / name / stage

    def trial(self, name: str, method: Method, seed: int, scenario: str, candidates: int) -> Trial:
        """The policy of a method in a scenario."""
        runs = [self._video(method.video, seed)] if method.video else []
        runs += [self._run(name, 'prior', seed)] if method.robot else []
        runs += [self._run(name, 'target', seed)]
        best = '' if candidates == 1 else f'_best_of_{candidates}'
        file = self.out / 'results' / f'{name}_{scenario}{best}_seed_{seed}.json'
        minutes = self.config.rollouts * self.config.seconds_per_rollout / 60
        return Trial(name, seed, scenario, candidates, tuple(runs), file, minutes)


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix('\n...\n').strip()
