# SPDX-License-Identifier: Apache-2.0
"""Conservative Q-learning from images, as PTR and V-PTR use it: multi-task, with a task vector.

Kumar et al., "Conservative Q-Learning", arXiv 2006.04779, eq. 4 (CQL(H), with importance weights as
in its appendix F); Kumar et al., "Pre-Training for Robots", arXiv 2210.05178; Bhateja et al.,
"Robotic Offline RL from Internet Videos" (V-PTR), arXiv 2309.13041, sec. 4.2 and 4.3. Authors'
code: Asap7772/PTR (MIT), jaxrl2/agents/cql_encodersep_parallel/ and examples/train_utils.py.

    y     = r + γ mask max_k min_i Q̄_i(s', a'_k),  a'_k ~ π(.|s'), k ≤ 4
    cat_i = [Q_i(s, a_k) - log π(a_k|s)] ++ [Q_i(s, u_k) - log .5^d],  a_k ~ π(.|s), u_k ~ U[-1, 1]
    L_Q   = mean_iB (Q_i(s, a) - y)² + α mean_iB [logsumexp(cat_i) - Q_i(s, a)]
    L_π   = mean_B [temperature log π(a|s) - min_i Q_i(s, a)],  a ~ π(.|s)

Labels are 1 on the last three steps of a success and 0 elsewhere, the reward 11 label - 1, and each
labelled step is terminal: PTR's +10 and -1. V-PTR's paper says +1.

Where this differs from the authors' code:
- a success ends in the first frame in which the task is done, since recorded episodes may run on; a
  failure ends for want of time, so its last step is no end, and, as it leads to no frame, left out;
- the last of the three labelled steps begins in that first frame, where PTR's leads into the final
  one: all are one later (`transitions` in training/cql.py says why);
- actor, critics and temperature take their steps at once, from the same weights, where theirs go
  one after the other; the delayed critics follow after that, as theirs;
- an observation is several cameras, each with its own encoder, whose latents are concatenated; the
  actor has the state beside them through a layer of its own, the critics have none;
- the task is told to every hidden layer of critics (V-PTR) and actor; PTR tells it to the first;
- instructions say which task an episode is of, those of target data, too; `target_task` gives all
  target data one task, as V-PTR does in simulation, and whatever else is asked for then is that;
- the actor may begin by cloning the data's actions, by likelihood as in CQL's own code
  (`policy_eval_start`), or by `distance`, smooth L1 where PTR's has the squared error (`bc_start`,
  `bc_end`): off by default, as in PTR's published run; V-PTR's paper names no such steps. It may
  clone successes alone (`cloned`), learn to say the actions that follow, too (`lookahead`), have a
  given `deviation` instead of a learned one, and Q choose at run time among what it then draws with
  less noise (`temperature`);
- the gripper may be shut or open (`gripper: binary`) instead of an entry of the Gaussian (see
  cql_actions.py), and the layers of critics and actor normalised (`critic_layer_norm`,
  `actor_layer_norm`): all off by default;
- actions are scaled by the largest of the training data instead of by the robot's limits;
- AdamW without weight decay, with warm-up and cosine where `hold` says so; theirs is constant.

An action is what was asked of the robot. Where a data set's expert disturbed its own actions, the
executed ones (`vvf train --actions executed`) are what led to the next frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.encoders.observation import Normaliser, ObservationEncoder
from vvf_models.errors import UserError
from vvf_models.model_config import EncodedObservationConfig, TrainingConfig, require
from vvf_models.policies.cql_actions import (
    GRIPPERS,
    ActionDistribution,
    draw_grips,
    grip_log_prob,
    shut_or_open,
)
from vvf_models.policies.cql_networks import Actor, Critic, Heads, tanh_gaussian
from vvf_models.policies.tasks import TASK_VECTORS, embed_tasks, known_task, task_dim

_LEAST_SCALE = 1e-3  # m and rad: an entry that never moves stays nearly still
CLONED = ('all', 'successes')
CLONINGS = ('likelihood', 'distance')
_OF_ONE_ARM = 8  # most numbers of an action: seven joints and the gripper


@dataclass(frozen=True)
class CqlConfig(TrainingConfig, EncodedObservationConfig):
    """Everything needed to rebuild and to train a policy and its Q functions.

    The last entry of an action is the gripper in [0, 1] (1 open), as of a cloned policy.
    """

    # Action and task.
    action_dim: int = 7
    displacements: bool = True  # False: joint positions
    action_scale: tuple[float, ...] = ()  # m and rad; (): the largest of the training data
    dt: float = 0.2  # seconds per step
    task_vector: str = 'one-hot'  # or 'language': the sentence encoder's 384 numbers
    task_slots: int = 0  # places of the one-hot vector, some for later tasks; 0: as many as tasks
    target_task: str = ''  # one-hot: the one task of all target data, or of all data without any
    # Network.
    hidden: tuple[int, ...] = (256, 256, 256)
    ensemble: int = 2
    critic_layer_norm: bool = False  # before each ReLU of the critics
    actor_layer_norm: bool = False  # and of the actor
    deviation: float = 0.0  # of the actor's Gaussian, before its tanh; 0: learned
    gripper: str = 'continuous'  # an entry of the Gaussian; or 'binary': shut or open, see above
    # Reward.
    reward_steps: int = 3  # last steps of a success that are labelled, and terminal
    reward_scale: float = 11.0
    reward_shift: float = -1.0
    unlabelled_as_success: bool = False  # data sets of demonstrations that nobody labelled
    # Objective.
    discount: float = 0.96
    alpha: float = 10.0
    min_q_version: int = 3  # 1: mean of the policy's Q; 2: without importance weights
    n_actions: int = 4  # of the policy, and as many random ones; also in the target
    max_backup: bool = True  # else the mean over the actions of the target
    target_rate: float = 0.005
    initial_temperature: float = 1.0
    target_entropy_factor: float = 1.0  # times minus the entries that are drawn
    # Training.
    cloning_steps: int = 0  # the first so many, in which the actor clones the data's actions
    cloning: str = 'likelihood'  # by it, or by 'distance': smooth L1, as other cloned policies
    cloned: str = 'all'  # which of them: 'all', or those of 'successes'
    lookahead: int = 0  # later actions that cloning by distance has the actor say, too
    mixing_ratio: float = 0.9  # share of a batch that is prior data, where there is target data
    prior_as_target: float = 0.0  # share of prior data told as the target task, where there is any
    learning_rate: float = 3e-4  # of the critics
    actor_learning_rate: float = 1e-4
    temperature_learning_rate: float = 3e-4
    weight_decay: float = 0.0
    evaluate_every: int = 1000  # steps
    state_noise: float = 0.0  # of each entry's standard deviation
    # At run time: of the noise that candidates are drawn with; the first has none.
    temperature: float = 1.0
    # Found in training.
    tasks: tuple[str, ...] = ()  # instructions, in the order of the one-hot vector

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        self.check_training()
        for name in ('action_dim', 'ensemble', 'reward_steps', 'n_actions'):
            require(getattr(self, name) >= 1, f'"{name}" must be at least 1')
        for name in ('dt', 'initial_temperature', 'reward_scale'):
            require(getattr(self, name) > 0, f'"{name}" must be above 0')
        for name in ('actor_learning_rate', 'temperature_learning_rate'):
            require(getattr(self, name) > 0, f'"{name}" must be above 0')
        not_negative = ('alpha', 'task_slots', 'cloning_steps', 'lookahead', 'temperature')
        for name in (*not_negative, 'deviation'):
            require(getattr(self, name) >= 0, f'"{name}" must not be negative')
        for name in ('mixing_ratio', 'target_rate'):
            require(0 < getattr(self, name) <= 1, f'"{name}" must be above 0 and at most 1')
        require(0 <= self.discount < 1, '"discount" must lie in [0, 1)')
        require(min(self.hidden, default=0) >= 1, '"hidden" must have sizes of at least 1')
        require(self.cloned in CLONED, f'"cloned" must be one of {", ".join(CLONED)}')
        require(self.cloning in CLONINGS, f'"cloning" must be one of {", ".join(CLONINGS)}')
        require(
            self.cloning == 'likelihood' or self.deviation > 0,
            '"cloning" by distance wants a "deviation" above 0, which distances do not tell',
        )
        require(
            self.lookahead == 0 or self.cloning == 'distance',
            '"lookahead" is for "cloning" by distance',
        )
        require(self.min_q_version in (1, 2, 3), '"min_q_version" must be 1, 2 or 3')
        require(self.gripper in GRIPPERS, f'"gripper" must be one of {", ".join(GRIPPERS)}')
        check_one_arm(self.action_dim)
        require(
            not self.binary_gripper or self.action_dim > 1,
            '"action_dim" must be at least 2 where the gripper is binary: something has to move',
        )
        require(
            self.prior_as_target == 0 or (self.prior_as_target <= 1 and self.target_task != ''),
            '"prior_as_target" must lie in [0, 1], and wants a "target_task"',
        )
        require(
            self.task_vector in TASK_VECTORS,
            f'"task_vector" must be one of {", ".join(TASK_VECTORS)}',
        )
        require(
            not self.action_scale or len(self.action_scale) == self.action_dim - 1,
            f'"action_scale" must have {self.action_dim - 1} entries, one for each entry of an '
            'action but the gripper, or none',
        )
        require(
            min(self.action_scale, default=1.0) > 0, 'every entry of "action_scale" must be above 0'
        )

    @property
    def horizon(self) -> int:
        """Actions per chunk: a Q function judges one."""
        return 1

    @property
    def binary_gripper(self) -> bool:
        """Whether the gripper is apart from the Gaussian."""
        return self.gripper == 'binary'

    @property
    def drawn_dim(self) -> int:
        """Entries of an action that the Gaussian draws."""
        return self.action_dim - self.binary_gripper

    @property
    def task_dim(self) -> int:
        """Length of the task vector."""
        return task_dim(self.task_vector, self.tasks, self.task_slots)


class Cql(nn.Module):
    """The policy and its Q functions."""

    action_scale: Tensor

    def __init__(self, config: CqlConfig) -> None:
        """Builds the networks; both image encoders begin alike and then go their own ways."""
        super().__init__()
        self.config = config
        seen = ObservationEncoder(replace(config, state_dim=0, state_mean=(), state_std=()))
        dims = config.task_dim, config.action_dim, config.hidden
        heads = Heads(seen.output_dim, *dims, config.ensemble, layer_norm=config.critic_layer_norm)
        self.critic = Critic(seen, heads)
        self.actor = Actor(
            ObservationEncoder(config),
            *dims,
            binary_gripper=config.binary_gripper,
            deviation=config.deviation,
            layer_norm=config.actor_layer_norm,
            lookahead=config.lookahead,
        )
        self.actor.encoder.cameras.load_state_dict(seen.cameras.state_dict())
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.initial_temperature)))
        self.normalise = Normaliser(config)
        scale = config.action_scale or (1.0,) * (config.action_dim - 1)
        self.register_buffer('action_scale', torch.tensor(scale), persistent=False)

    @property
    def observation_encoders(self) -> tuple[nn.Module, ...]:
        """Those of the critics and of the actor."""
        return self.critic.encoder, self.actor.encoder

    def embed(self, instructions: Sequence[str]) -> Tensor:
        """Task vectors (N, T) of N instructions.

        Raises:
            UserError: An instruction is none of several that were trained.
        """
        config = self.config
        known = [
            known_task(text, config.task_vector, config.tasks, config.target_task)
            for text in instructions
        ]
        return embed_tasks(known, config.task_vector, config.tasks, config.task_slots)

    def policy(self, latent: Tensor, task: Tensor) -> ActionDistribution:
        """Of scaled actions, given (B, L) of the actor's encoder and (B, T)."""
        mean, log_std, logit = self.actor(latent, task)
        grips = torch.zeros_like(mean[:, 0])[None] if logit is None else grip_log_prob(logit)
        return ActionDistribution(tanh_gaussian(mean, log_std), grips)

    def forward(self, images: list[Tensor], state: Tensor | None, task: Tensor) -> Tensor:
        """The most usual scaled action of each observation.

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) normalised, or None for a model of images only.
            task: (B, T) task vectors.

        Returns:
            (B, 1, A) in [-1, 1], a chunk of one.
        """
        usual = self.usual(self.actor.encoder(images, state), task)[:, None]
        return shut_or_open(usual) if self.config.binary_gripper else usual

    def usual(self, latent: Tensor, task: Tensor) -> Tensor:
        """The most usual scaled actions (B, A), a binary gripper's mean in place of its likelier.

        Args:
            latent: (B, L) of the actor's encoder.
            task: (B, T).
        """
        mean, _, logit = self.actor(latent, task)
        if logit is not None:
            mean = torch.cat([mean, logit[:, None] / 2], -1)
        usual: Tensor = mean.tanh()
        return usual

    def best_of(
        self,
        images: list[Tensor],
        state: Tensor | None,
        task: Tensor,
        candidates: int,
        generator: torch.Generator,
        temperature: float | None = None,
    ) -> Tensor:
        """Of so many actions that the actor draws, the one with the largest of the smaller Q.

        The first is its most usual one. A binary gripper is drawn, too, and not for Q to choose:
        where the actor is sure of it, the other one is none of the data's, and Q is not to be
        trusted there.

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) normalised, or None for a model of images only.
            task: (B, T) task vectors.
            candidates: How many are drawn.
            generator: Source of the draws, on the CPU.
            temperature: Of their noise, and of the gripper's probability; None: the
                configuration's.

        Returns:
            (B, 1, A) in [-1, 1], a chunk of one.
        """
        mean, log_std, logit = self.actor(self.actor.encoder(images, state), task)
        if temperature is None:
            temperature = self.config.temperature
        noise = temperature * torch.randn((candidates, *mean.shape), generator=generator).to(mean)
        noise[0] = 0
        drawn = (mean + log_std.exp() * noise).tanh()
        if logit is not None:
            drawn = torch.cat([drawn, draw_grips(logit, candidates, temperature, generator)], -1)
        best = self.q_values(images, task, drawn).argmax(0)
        chunk: Tensor = drawn[best, torch.arange(len(best), device=best.device)][:, None]
        return chunk

    def q_values(self, images: list[Tensor], task: Tensor, actions: Tensor) -> Tensor:
        """The smaller Q, (..., B), of scaled actions (..., B, A)."""
        latent = self.critic.encoder(images, None)
        values: Tensor = self.critic.heads(latent, task, actions)
        return values.amin(0)

    def actions(self, scaled: Tensor) -> Tensor:
        """Scaled actions to SI units, the gripper in [0, 1]."""
        gripper = ((scaled[..., -1:] + 1) / 2).clamp(0, 1)
        return torch.cat([scaled[..., :-1] * self.action_scale, gripper], -1)


def check_one_arm(action_dim: int) -> None:
    """That no other arm's gripper is among what is scaled and drawn as motion.

    Raises:
        UserError: An action has more numbers than one arm and its gripper.
    """
    if action_dim > _OF_ONE_ARM:
        raise UserError(
            f'CQL is for one arm, whose gripper is the last of at most {_OF_ONE_ARM} numbers of an '
            f'action, and these have {action_dim}; train bc, bc_task or recap on two arms.'
        )


def scale_of(actions: NDArray[np.float32]) -> tuple[float, ...]:
    """The `action_scale` of training data: the largest of each entry but the gripper."""
    largest = np.abs(actions[:, :-1]).max(0)
    return tuple(float(value) for value in np.maximum(largest, _LEAST_SCALE))


def scaled_actions(actions: NDArray[np.float32], config: CqlConfig) -> NDArray[np.float32]:
    """Actions (N, A) in SI units to [-1, 1]; what is larger is cut."""
    gripper = actions[:, -1:] * 2 - 1
    motion = actions[:, :-1] / np.array(config.action_scale, np.float32)
    scaled: NDArray[np.float32] = np.clip(np.concatenate([motion, gripper], 1), -1, 1)
    return scaled
