# SPDX-License-Identifier: Apache-2.0
"""Trains a policy by reward-weighted regression; a VIP says once how good each step was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vvf_models.checkpoints import load_checkpoint
from vvf_models.data.frames import SUCCESS, FrameStore
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import encode_frames, episode_values
from vvf_models.policies.bc_task import BcTaskPolicy
from vvf_models.policies.rwr import RwrConfig, RwrPolicy, reward_weights, rwr_loss
from vvf_models.training.bc_task import BcTaskLearner
from vvf_models.training.learner import Batch, Draw, Indices, choose_goal_frames
from vvf_models.values.base import GoalSet
from vvf_models.values.vip import Vip, difference_reward

_HUBER_BETA = 0.1  # in scaled actions, as of `bc`


class RwrLearner(BcTaskLearner):
    """A policy, the chunks that it should give, and how much each of them counts."""

    kind = 'rwr'
    title = 'Policy by reward-weighted regression'
    config: RwrConfig

    def __init__(
        self,
        model: BcTaskPolicy,
        config: RwrConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Rewards every step.

        Raises:
            UserError: Nobody said which VIP rewards, it does not fit, or no episode succeeded.
        """
        weights = store_weights(config, store, episodes[0], seed)
        # The weights are known from here on; the checkpoint need not be there any more.
        super().__init__(model, replace(config, vip=''), store, episodes, seed)
        self.weights = torch.from_numpy(weights)

    @classmethod
    def network(cls, config: Any) -> BcTaskPolicy:
        """The network of a configuration."""
        return RwrPolicy(config)

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """As of `BcTaskLearner`, with weights."""
        draw = super().draw(rng, split, count)
        draw.data['weight'] = self.weights[torch.from_numpy(draw.frames)]
        return draw

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted loss of the chunks."""
        error = functional.smooth_l1_loss(
            self.predict(batch), batch.data['target'], beta=_HUBER_BETA, reduction='none'
        )
        horizon, weight = self.config.horizon, batch.data['weight']
        loss, info = rwr_loss(error[:, :horizon], weight)
        if self.config.lookahead:
            later, _ = rwr_loss(error[:, horizon:], weight)
            loss = loss + later
            info |= {'loss': loss.detach(), 'later_loss': later.detach()}
        return loss, info


def store_weights(
    config: RwrConfig, store: FrameStore, training: Indices, seed: int
) -> NDArray[np.float32]:
    """How much the action of each frame (N,) counts, by the VIP of the configuration.

    Of what comes after a success nothing is learned: its weight is 0.

    Raises:
        UserError: As of `RwrLearner`.
    """
    if not config.vip:
        raise UserError('Nobody says which VIP rewards; give one with --set vip=CHECKPOINT.')
    vip = load_checkpoint(Path(config.vip), 'vip').model
    assert isinstance(vip, Vip)
    if vip.config.image_size != store.image_size:
        raise UserError(
            f'{config.vip} sees {vip.config.image_size} px, the policy {store.image_size} px; '
            'make both equal.'
        )
    successes = training[store.outcome[training] == SUCCESS]
    if not len(successes):
        raise UserError('No episode succeeded, so there is no goal to come nearer to.')
    # One encoder serves all cameras, so those of the policy may be others than those of the video.
    vip.config = replace(vip.config, cameras=config.cameras)
    goal_frames = choose_goal_frames(store, successes, config.n_goals, seed)
    instructions = tuple(store.instructions[e] for e in store.episode_of[goal_frames])
    goals = GoalSet(encode_frames(vip, store, goal_frames), instructions)
    rewards = [
        np.append(difference_reward(values), np.float32(0))
        for values in episode_values(vip, store, np.arange(store.n_episodes), goals)
    ]
    frames = store.frames_of(np.arange(store.n_episodes), to_success=True)
    weights = np.zeros(store.n_frames, np.float32)
    weights[frames] = reward_weights(
        np.concatenate(rewards)[frames], config.reward_temperature, config.largest_weight
    )
    return weights
