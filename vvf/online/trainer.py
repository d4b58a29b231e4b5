# SPDX-License-Identifier: Apache-2.0
"""Acts in many environments, remembers, learns and is tried: all seeds of a run side by side."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit

from vvf_models.model_config import require
from vvf_models.rl.replay import OfflineData, Replay
from vvf_models.rl.rlpd import Batch, Rows, interleave, offline_rows, to_tensors
from vvf_models.rl.rnd import Rnd, RndConfig
from vvf_models.rl.sac import AgentConfig
from vvf_models.rl.shaping import RewardConfig, bonus, learner_reward

Array = npt.NDArray[Any]
Rngs = list[np.random.Generator]
#: Values (...) of observations (..., *shape), towards the task's goal.
ValueFunction = Callable[[Array], npt.NDArray[np.float32]]
_TRIED = 10  # environments of each seed in which it is tried at once


class Agent(Protocol):
    """What learns: `Sac` or `Drq`."""

    @property
    def config(self) -> AgentConfig:
        """Batch size, steps per update, share of offline rows, discount."""

    def act(self, observation: Array, noise: npt.NDArray[np.float32] | None = None) -> Array:
        """Actions (S, n, A) of observations (S, n, ...); without noise those it thinks best."""

    def update(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> dict[str, Any]:
        """Learn from rows (S, utd B, ...)."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs."""

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take back what `tensors` gave."""


@dataclass(frozen=True)
class RunConfig:
    """How long, in how many environments, and how often it is tried."""

    environments: int = 1  # of each seed, which all act between two updates
    processes: bool = False  # one process for each environment: for worlds with cameras
    start_steps: int = 5000  # random actions of each seed before learning begins
    steps: int = 1_000_000  # of each seed, in all its environments together
    evaluate_every: int = 5000
    evaluate_episodes: int = 100
    replay: int = 1_000_000  # transitions of each seed

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            UserError: a number is below one.
        """
        for name in ('environments', 'steps', 'evaluate_every', 'evaluate_episodes', 'replay'):
            require(getattr(self, name) >= 1, f'"{name}" must be at least 1')
        require(self.start_steps >= 1, '"start_steps" must be at least 1')
        require(
            self.evaluate_episodes <= _TRIED or self.evaluate_episodes % _TRIED == 0,
            f'"evaluate_episodes" must be a multiple of {_TRIED}, or less',
        )


@dataclass(frozen=True)
class Setting:
    """What a run learns in.

    Attributes:
        make: makes an environment with observations and actions in boxes, the latter of [-1, 1],
            and `success` in its info.
        max_steps: of an episode.
        kind: of the reward, one of `REWARDS`.
        reward: scales.
        value: needed for `viva` and `potential`.
        offline: transitions with their own rewards, or None.
        value_discount: that the value was trained with; 1 where it counts steps.
        rnd: networks of `rnd`.
    """

    make: Callable[[], gym.Env[Any, Any]]
    max_steps: int
    kind: str
    reward: RewardConfig
    value: ValueFunction | None = None
    offline: OfflineData | None = None
    value_discount: float = 1.0
    rnd: RndConfig = field(default_factory=RndConfig)


class OnlineTrainer:
    """What `vvf_models.training.loop.run` drives; a step is one of every environment.

    A resumed run begins new episodes: those that were cut off are not taken up again.

    Attributes:
        curve_steps: environment steps of each seed at each trial.
        curve_success: share of successes of each trial and seed.
    """

    waited = 0.0
    exhausted = False
    main = True

    def __init__(
        self,
        make_agent: Callable[[Rngs], Agent],
        setting: Setting,
        config: RunConfig,
        seeds: Sequence[int],
    ) -> None:
        self.setting, self.config, self.seeds = setting, config, list(seeds)
        rngs = [np.random.default_rng([seed, 0]) for seed in seeds]
        self.agent = make_agent(rngs)
        self._envs = self._vector(config.environments)
        self._tried = self._vector(min(config.evaluate_episodes, _TRIED))
        self._action_dim = int(np.prod(self._envs.single_action_space.shape))
        self.rnd: Rnd | None = None
        if setting.kind == 'rnd':
            inputs = int(np.prod(self._envs.single_observation_space.shape)) + self._action_dim
            self.rnd = Rnd(rngs, inputs, setting.rnd)
            if setting.offline is not None:
                known = to_tensors(setting.offline.rows)
                self.rnd.normalise(known['observation'][None], known['action'][None])
        self.replay = Replay(len(seeds), config.replay)
        self._offline = None if setting.offline is None else self._shaped_data(setting.offline)
        self._observation: Array | None = None
        self._steps = 0
        self.curve_steps: list[int] = []
        self.curve_success: list[list[float]] = []

    def step(self, step: int, rate: float) -> dict[str, torch.Tensor]:
        """Every environment acts once, then every agent learns; the rate is constant."""
        rngs = [np.random.default_rng([seed, 2, step]) for seed in self.seeds]
        self._act(step, rngs)
        self._steps = (step + 1) * self.config.environments
        return {} if self._steps < self.config.start_steps else self._learn(rngs)

    def _act(self, step: int, rngs: Rngs) -> None:
        count = self.config.environments
        if self._observation is None:
            # A resumed run draws other starts than the beginning did.
            self._observation = self._reset(self._envs, count, 1 + step)
        shape = (count, self._action_dim)
        if step * count < self.config.start_steps:
            action = np.stack([rng.uniform(-1, 1, shape) for rng in rngs]).astype(np.float32)
        else:
            noise = np.stack([rng.standard_normal(shape, np.float32) for rng in rngs])
            action = self.agent.act(self._observation, noise)
        seen, reward, ended, _, infos = self._envs.step(action.reshape(-1, self._action_dim))
        arrived = seen.copy()
        for index in np.flatnonzero(infos.get('_final_obs', np.zeros(0, bool))):
            arrived[index] = infos['final_obs'][index]
        raw = {'reward': reward.astype(np.float32), 'mask': 1 - ended.astype(np.float32)}
        rows = {name: self._per_seed(array) for name, array in raw.items()}
        rows |= {'observation': self._observation, 'action': action}
        rows['next_observation'] = self._per_seed(arrived)
        self.replay.insert(self._shaped(rows))
        if self.rnd is not None:
            self._explore(self.rnd, to_tensors(rows), (step + 1) * count)
        self._observation = self._per_seed(seen)

    def _explore(self, rnd: Rnd, newest: Batch, steps: int) -> None:
        """Trains the predictor on the newest rows.

        Where no offline data say how to normalise them, it waits until the random actions do, and
        catches up on these.
        """
        if rnd.normalised:
            rnd.update(newest['observation'], newest['action'])
        elif steps >= self.config.start_steps:
            first = self.replay.tensors()
            rnd.normalise(first['observation'], first['action'])
            for start in range(0, self.replay.size, self.config.environments):
                rows = slice(start, start + self.config.environments)
                rnd.update(first['observation'][:, rows], first['action'][:, rows])

    def _learn(self, rngs: Rngs) -> dict[str, torch.Tensor]:
        config = self.agent.config
        count = config.batch_size * config.utd
        ratio = config.offline_ratio if self._offline is not None else 0.0
        offline = int(offline_rows(count, ratio).sum())
        rows = self.replay.sample(rngs, count - offline)
        if self._offline is not None and offline:
            rows = interleave(self._offline.sample(rngs, offline), rows, ratio)
        batch = to_tensors(rows)
        if self.rnd is not None:
            scale = self.setting.reward.reward_scale * self.setting.reward.rnd_scale
            new = self.rnd.bonus(batch['observation'], batch['action'])
            batch['reward'] = batch['reward'] + scale * new
        return self.agent.update(batch, rngs)

    def _shaped(self, rows: Rows) -> Rows:
        """The same with the reward that the learner sees."""
        reward = rows['reward'].astype(np.float32)
        added = np.zeros_like(reward)
        value, kind = self.setting.value, self.setting.kind
        if value is not None and kind in ('viva', 'potential'):
            here, there = value(np.stack([rows['observation'], rows['next_observation']]))
            discounts = self.agent.config.discount, self.setting.value_discount
            added = bonus(kind, here, there, self.setting.reward, *discounts).astype(np.float32)
        return {**rows, 'reward': learner_reward(reward, added, self.setting.reward)}

    def _shaped_data(self, data: OfflineData) -> OfflineData:
        return OfflineData(self._shaped(data.rows))

    def evaluate(self) -> dict[str, float]:
        """Every seed's policy without noise in environments of its own, from equal starts."""
        per_seed = min(self.config.evaluate_episodes, _TRIED)
        rounds = self.config.evaluate_episodes // per_seed
        won = np.stack([self._try(number) for number in range(rounds)]).mean((0, 2))
        if self.curve_steps[-1:] == [self._steps]:
            # A run that was killed between its last trial and its results is tried again.
            del self.curve_steps[-1], self.curve_success[-1]
        self.curve_steps.append(self._steps)
        self.curve_success.append([float(share) for share in won])
        return {'success': float(won.mean()), 'success_min': float(won.min())}

    def _try(self, number: int) -> npt.NDArray[np.bool_]:
        """Whether each episode (S, n) of a round succeeds."""
        per_seed = self._tried.num_envs // len(self.seeds)
        observation = self._reset(self._tried, per_seed, 10_000_019 + number)
        won = np.zeros(self._tried.num_envs, bool)
        going = np.ones(self._tried.num_envs, bool)
        for _ in range(self.setting.max_steps):
            action = self.agent.act(observation).reshape(-1, self._action_dim)
            seen, reward, ended, cut, _ = self._tried.step(action)
            won |= going & (reward > 0)
            going &= ~(ended | cut)
            if not going.any():
                break
            observation = self._per_seed(seen)
        return self._per_seed(won)

    @property
    def batch_size(self) -> int:
        """Environment steps of all seeds in a step, which is what the bar's rate counts."""
        return self.config.environments * len(self.seeds)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Agents, what they remember, and the curves so far."""
        parts: dict[str, Any] = {'agent': self.agent, 'replay': self.replay, 'rnd': self.rnd}
        result = {
            'steps': torch.tensor(self._steps),
            'curve_steps': torch.tensor(self.curve_steps, dtype=torch.int64),
            'curve_success': torch.tensor(self.curve_success, dtype=torch.float64),
        }
        for name, part in parts.items():
            if part is not None:
                result |= {f'{name}/{key}': value for key, value in part.tensors().items()}
        return result

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Takes back what `tensors` gave."""
        self._steps = int(tensors['steps'])
        self.curve_steps = tensors['curve_steps'].tolist()
        self.curve_success = tensors['curve_success'].tolist()
        parts: dict[str, Any] = {'agent': self.agent, 'replay': self.replay, 'rnd': self.rnd}
        for name, part in parts.items():
            if part is not None:
                start = f'{name}/'
                mine = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
                part.load_tensors(mine)

    def _vector(self, per_seed: int) -> VectorEnv[Any, Any, Any]:
        learner = os.getpid()

        def make() -> gym.Env[Any, Any]:
            if os.getpid() != learner:
                # Ctrl-C reaches every process of a terminal: the learner alone heeds it, ends its
                # step in these environments, and saves.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            return TimeLimit(self.setting.make(), self.setting.max_steps)

        kind = AsyncVectorEnv if self.config.processes else SyncVectorEnv
        return kind([make] * (per_seed * len(self.seeds)), autoreset_mode=AutoresetMode.SAME_STEP)

    def _reset(self, envs: VectorEnv[Any, Any, Any], per_seed: int, salt: int) -> Array:
        """First observations (S, n, ...) of episodes that only the seed and the salt decide."""
        numbers = [
            int(np.random.default_rng([seed, 4, salt, index]).integers(2**31))
            for seed in self.seeds
            for index in range(per_seed)
        ]
        return self._per_seed(envs.reset(seed=numbers)[0])

    def _per_seed(self, array: Array) -> Array:
        return array.reshape(len(self.seeds), -1, *array.shape[1:])

    def close(self) -> None:
        """Free all environments."""
        self._envs.close()
        self._tried.close()
