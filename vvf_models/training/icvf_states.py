# SPDX-License-Identifier: Apache-2.0
"""Trains an ICVF of state vectors from trajectories that nobody judged."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.data.frames import UNKNOWN, FrameStore
from vvf_models.training.loop import step_generators
from vvf_models.training.state_tensors import (
    load_optimizer,
    load_prefixed,
    optimizer_tensors,
    prefixed,
)
from vvf_models.values.goal_sampling import GoalProbabilities, GoalSampler, Indices, Transitions
from vvf_models.values.icvf import icvf_loss, update_target
from vvf_models.values.icvf_states import StateIcvf, StateIcvfConfig


def store_of_states(episodes: Sequence[NDArray[np.float32]]) -> FrameStore:
    """Trajectories (T, D) as the frames that goals are drawn from; nobody judged them."""
    lengths = np.array([len(states) for states in episodes], np.int64)
    return FrameStore(
        images={},
        state=np.concatenate(episodes).astype(np.float32),
        actions=None,
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        outcome=np.full(len(lengths), UNKNOWN, np.int8),
        success_index=np.full(len(lengths), -1, np.int64),
        episode_ids=[str(number) for number in range(len(lengths))],
        failure_kinds=[''] * len(lengths),
    )


def with_statistics(config: StateIcvfConfig, store: FrameStore) -> StateIcvfConfig:
    """The configuration with the data's size, mean and deviation."""
    assert store.state is not None
    return replace(
        config,
        state_dim=store.state_dim,
        state_mean=tuple(float(v) for v in store.state.mean(0)),
        state_std=tuple(float(v) for v in store.state.std(0).clip(min=1e-3)),
    )


class StateIcvfTrainer:
    """What `vvf_models.training.loop.run` drives."""

    waited = 0.0
    exhausted = False
    main = True

    def __init__(self, config: StateIcvfConfig, store: FrameStore, seed: int) -> None:
        """Builds the network and indexes transitions, a tenth of the episodes held out."""
        assert store.state is not None
        self.config, self.seed = config, seed
        self._state = torch.from_numpy(store.state)
        torch.manual_seed(seed)
        self.model = StateIcvf(config)
        self.target = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.model.parameters(), config.learning_rate)
        chances = GoalProbabilities(
            random=config.p_random,
            trajectory=config.p_trajectory,
            current=config.p_current,
            same_goal=config.p_same_goal,
        )
        training, held_out = store.split(0.1, seed)
        self._samplers = [
            GoalSampler(store, part if len(part) else training, chances, config.n_step)
            for part in (training, held_out)
        ]

    def step(self, step: int, rate: float) -> dict[str, Tensor]:
        """One gradient step."""
        rng, _ = step_generators(self.seed, step)
        for group in self.optimizer.param_groups:
            group['lr'] = self.config.learning_rate * rate
        loss, info = self._loss(self._samplers[0], rng)
        # Before the gradient step, as the authors do.
        update_target(self.target, self.model, self.config.target_rate)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return info

    def _loss(
        self, sampler: GoalSampler, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        drawn, goals, intents = self._goals(sampler.sample(rng, self.config.batch_size), rng)
        current, following = (
            self.model.encode(self._state[torch.from_numpy(index)])
            for index in (drawn.current, drawn.next)
        )
        goal, intent = self.model.encode(goals), self.model.encode(intents)
        with torch.no_grad():
            next_goal = self.target(following, goal, intent)
            next_intent = self.target(following, intent, intent)
            here_intent = self.target(current, intent, intent)
        return icvf_loss(
            self.model(current, goal, intent),
            next_goal,
            next_intent,
            here_intent,
            torch.from_numpy(drawn.goal_reached),
            torch.from_numpy(drawn.intent_reached),
            self.config.objective,
            torch.from_numpy(drawn.goal_steps),
            torch.from_numpy(drawn.intent_steps),
        )

    def _goals(
        self, drawn: Transitions, rng: np.random.Generator
    ) -> tuple[Transitions, Tensor, Tensor]:
        """The goals and intents (B, D) of transitions, and who reaches them.

        With a radius they lie anywhere that near to the frames that were drawn, so that goals a
        little beside all ways are learned as well.
        """
        goals, intents = (
            self._state[torch.from_numpy(index)] for index in (drawn.goal, drawn.intent)
        )
        radius = self.config.goal_radius
        if not radius:
            return drawn, goals, intents
        shown = self.model.shown.bool()
        offsets = radius * torch.from_numpy(_in_ball(rng, 2 * len(goals), int(shown.sum())))
        to_goal, to_intent = offsets.chunk(2)
        same = torch.from_numpy(drawn.goal == drawn.intent)[:, None]
        goals[:, shown] += to_goal
        intents[:, shown] += torch.where(same, to_goal, to_intent)
        # The way from s to s', (B, steps + 1).
        on = drawn.current[:, None] + np.arange(self.config.n_step + 1)
        ways = self._state[torch.from_numpy(np.minimum(on, drawn.next[:, None]))][..., shown]

        def first(places: Tensor, steps: Indices) -> Indices:
            near = (ways - places[:, None, shown]).square().sum(-1) < radius**2
            step = torch.where(near.any(1), near.int().argmax(1), len(self._state)).numpy()
            return np.asarray(np.minimum(step, steps))

        goal_steps, intent_steps = (
            first(goals, drawn.goal_steps),
            first(intents, drawn.intent_steps),
        )
        taken = drawn.next - drawn.current
        reached = replace(
            drawn,
            goal_reached=goal_steps < taken,
            intent_reached=intent_steps < taken,
            goal_steps=goal_steps,
            intent_steps=intent_steps,
        )
        return reached, goals, intents

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The loss on trajectories that are held out, always of the same transitions."""
        rng = np.random.default_rng([self.seed, 3])
        losses = [float(self._loss(self._samplers[1], rng)[0]) for _ in range(8)]
        return {'held_out_loss': float(np.mean(losses))}

    def tensors(self) -> dict[str, Tensor]:
        """Networks and optimiser."""
        networks = {**prefixed(self.model, 'model'), **prefixed(self.target, 'target')}
        return {**networks, **optimizer_tensors(self.optimizer)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        load_prefixed(self.model, tensors, 'model')
        load_prefixed(self.target, tensors, 'target')
        load_optimizer(self.optimizer, tensors)

    @property
    def batch_size(self) -> int:
        """Transitions of a step."""
        return self.config.batch_size


def _in_ball(rng: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    """Points (count, dim) anywhere in the unit ball."""
    points = rng.standard_normal((count, dim))
    points *= rng.random((count, 1)) ** (1 / dim) / np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32)
