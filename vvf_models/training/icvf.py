# SPDX-License-Identifier: Apache-2.0
"""Trains an ICVF: its transitions, its target network, and what it finds in the data."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from vvf_models.data.frames import FrameStore
from vvf_models.training.common import with_state_statistics
from vvf_models.training.learner import Batch, Draw, Indices, ValueLearner
from vvf_models.values.goal_sampling import GoalProbabilities, GoalSampler
from vvf_models.values.icvf import (
    Icvf,
    IcvfConfig,
    icvf_loss,
    make_target,
    steps_to_goal,
    update_target,
)


class IcvfLearner(ValueLearner):
    """An ICVF, its target network and the samplers of its transitions."""

    kind = 'icvf'
    title = 'ICVF value function'
    model: Icvf
    config: IcvfConfig

    def __init__(
        self,
        model: Icvf,
        config: IcvfConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Indexes transitions.

        Raises:
            ValueError: The episodes are too short for a transition.
        """
        super().__init__(model, config, store, episodes, seed)
        self.target = make_target(model)
        chances = GoalProbabilities(
            random=config.p_random,
            trajectory=config.p_trajectory,
            current=config.p_current,
            same_goal=config.p_same_goal,
            task=config.p_task,
            intent_same_trajectory=config.intent_same_trajectory,
            max_distance=config.max_distance,
            goal_shift=config.goal_shift,
        )
        self.samplers = self.of_splits(
            lambda chosen: GoalSampler(store, chosen, chances, config.n_step)
        )

    @classmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'IcvfLearner':
        """Splits the episodes and builds the network; see `Learner.create`."""
        episodes = store.split(config.held_out_fraction, seed)
        config = with_state_statistics(config, store, store.frames_of(episodes[0]))
        return cls(Icvf(config), config, store, episodes, seed)

    def weights_loaded(self) -> None:
        """The target begins as a copy."""
        self.target.load_state_dict(self.model.state_dict())

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """Transitions, as [intent, goal where it differs, current, next] frames."""
        transitions = self.samplers[split].sample(rng, count)
        differs = transitions.goal != transitions.intent
        # Where the goal is the intent one image serves both, with one disturbance.
        frames = [transitions.intent, transitions.goal[differs], transitions.current]
        frames.append(transitions.next)
        data = {
            'differs': differs,
            'goal_reached': transitions.goal_reached,
            'intent_reached': transitions.intent_reached,
            'goal_steps': transitions.goal_steps,
            'intent_steps': transitions.intent_steps,
        }
        return Draw(
            np.concatenate(frames), data={name: torch.from_numpy(v) for name, v in data.items()}
        )

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of some transitions."""
        data, config = batch.data, self.config
        model = cast(Icvf, self.active)
        differs = data['differs']
        count = len(differs)
        sizes = [count, int(differs.sum()), count, count]
        learned = sum(sizes[:3])  # the next state is seen by the target network only
        state, hide = batch.state, batch.hide_state
        device = batch.images[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=config.bfloat16):
            with torch.no_grad():
                latents = self.target.encode(batch.images, state, hide)
            online = model.encode(
                [image[:learned] for image in batch.images],
                None if state is None else state[:learned],
                None if hide is None else hide[:learned],
            )
        intent, other, current = torch.split(online, sizes[:3])
        goal = intent.clone()
        goal[differs] = other
        value = model.intent_values(current, goal, intent)
        with torch.no_grad():
            intent, other, current, following = torch.split(latents, sizes)
            goal = intent.clone()
            goal[differs] = other
            next_goal = self.target.intent_values(following, goal, intent)
            next_intent = self.target.intent_values(following, intent, intent)
            here_intent = self.target.intent_values(current, intent, intent)
        return icvf_loss(
            value,
            next_goal,
            next_intent,
            here_intent,
            data['goal_reached'],
            data['intent_reached'],
            config,
            data['goal_steps'],
            data['intent_steps'],
        )

    def before_update(self, step: int) -> None:
        """Moves the target; the authors do it before the gradient step, so it lags by one."""
        if not self.config.periodic_target:
            update_target(self.target, self.model, self.config.target_rate)
        elif step % max(1, round(1 / self.config.target_rate)) == 0:
            update_target(self.target, self.model, 1.0)

    @property
    def judged(self) -> nn.Module:
        """The target: smoother than what it follows."""
        return self.target

    def finish(self, model: nn.Module) -> IcvfConfig:
        """Sets `d_max`: 95th percentile of the steps to the goal where training episodes start."""
        assert isinstance(model, Icvf)
        first = [way[0] for way in self.ways_to_success(model)]
        steps = steps_to_goal(torch.tensor(np.array(first)), self.config.discount)
        return replace(self.config, d_max=max(1.0, float(np.percentile(steps.numpy(), 95))))
