# SPDX-License-Identifier: Apache-2.0
"""RECAP's advantage-conditioned policy (pi*0.6, arXiv 2511.14759, sec. IV), small enough to train.

A policy that is told, beside what is seen and asked for, whether the action *improves* on what the
value function expects of the data (the indicator I). It learns from everything, good and bad; at
run time it is asked for improvement. The indicator is dropped in `indicator_dropout` of the batch,
so that both pi(a | o) and pi(a | I, o) are there and guidance can go beyond the better one:

    v = v(o) + beta (v(I, o) - v(o)),          beta = 1 the plain conditional.

Differences from the paper: the vision-language backbone with an action expert is replaced by a
spatial softmax per camera, a sentence vector or a one-hot task, and one network for the flow; the
indicator is an embedding and not a piece of text; no discrete action tokens are predicted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vvf_models.model_config import require
from vvf_models.policies.cql_networks import ToldMlp
from vvf_models.policies.flow import guided, integrate
from vvf_models.policies.rtc import continue_chunk
from vvf_models.policies.small import SmallPolicy, SmallPolicyConfig
from vvf_models.policies.tasks import TASK_VECTORS, embed_tasks, task_dim

NEGATIVE, POSITIVE, DROPPED = 0, 1, 2

_INDICATOR_DIM = 32
_TIME_DIM = 32
_LOWEST, _HIGHEST = 1.0, 100.0  # angular frequencies of the time's embedding
LEARN_FROM = ('all', 'positive', 'successes')


@dataclass(frozen=True)
class RecapConfig(SmallPolicyConfig):
    """Everything needed to rebuild and to train a policy."""

    # Conditioning.
    task_vector: str = 'one-hot'  # or 'language': the sentence encoder's 384 numbers
    task_slots: int = 0  # places of a one-hot vector; 0: as many as there are tasks
    tasks: tuple[str, ...] = ()  # from the training data
    indicator_dropout: float = 0.3  # 1: a policy without an indicator
    guidance: float = 1.0  # beta at run time; 1.5 to 2.5 where it helps
    temperature: float = 1.0  # of the noise at run time; 0: the same chunk each time
    # Objective: what is learned from; 'positive' and 'successes' are filtered cloning.
    learn_from: str = 'all'
    # Network.
    hidden: tuple[int, ...] = (512, 512, 512)
    flow_steps: int = 10
    # Times and noises that each encoded observation is trained at: encoders are what a step costs.
    flow_draws: int = 4

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        require(min(self.hidden, default=0) >= 1, '"hidden" must have sizes of at least 1')
        require(
            min(self.flow_steps, self.flow_draws) >= 1,
            '"flow_steps" and "flow_draws" must be at least 1',
        )
        require(0 <= self.indicator_dropout <= 1, '"indicator_dropout" must lie in [0, 1]')
        for name in ('guidance', 'temperature'):
            require(getattr(self, name) >= 0, f'"{name}" must not be negative')
        for name, known in (('task_vector', TASK_VECTORS), ('learn_from', LEARN_FROM)):
            require(getattr(self, name) in known, f'"{name}" must be one of {", ".join(known)}')

    @property
    def task_dim(self) -> int:
        """Length of a task vector."""
        return task_dim(self.task_vector, self.tasks, self.task_slots)

    @property
    def is_told(self) -> bool:
        """Whether the policy knows an indicator at all."""
        return self.indicator_dropout < 1 and self.learn_from != 'positive'


class RecapPolicy(SmallPolicy):
    """The policy network."""

    frequencies: Tensor

    def __init__(self, config: RecapConfig) -> None:
        """Builds the network."""
        super().__init__(config)
        self.config = config
        size = self.seen_dim + config.task_dim
        flat = config.horizon * config.action_dim
        self.norm = nn.LayerNorm(size)
        self.indicator = nn.Embedding(3, _INDICATOR_DIM)
        self.flow = ToldMlp(size, _TIME_DIM + _INDICATOR_DIM, flat, config.hidden)
        self.velocity_head = nn.Linear(config.hidden[-1], flat)
        octaves = torch.linspace(math.log(_LOWEST), math.log(_HIGHEST), _TIME_DIM // 2)
        self.register_buffer('frequencies', octaves.exp(), persistent=False)

    def embed(self, instructions: Sequence[str]) -> Tensor:
        """Task vectors (N, T) of N instructions.

        Raises:
            UserError: An instruction is none of several that were trained.
        """
        config = self.config
        return embed_tasks(instructions, config.task_vector, config.tasks, config.task_slots)

    def context(
        self,
        images: list[Tensor],
        state: Tensor | None,
        task: Tensor,
        hide_state: Tensor | None = None,
    ) -> Tensor:
        """What the flow is conditioned on, but for the indicator: (B, C).

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) normalised, or None for a model of images only.
            task: (B, T) task vectors.
            hide_state: (B,) bool, where the state's latent is set to zero.
        """
        parts = self.seen(images, state, hide_state)
        normed: Tensor = self.norm(torch.cat([*(p.float() for p in parts), task], -1))
        return normed

    def velocity(self, context: Tensor, chunk: Tensor, time: Tensor, indicator: Tensor) -> Tensor:
        """Velocities of noisy chunks.

        Args:
            context: (B, C).
            chunk: (..., B, H, A) at time t.
            time: (..., B) in [0, 1].
            indicator: (..., B) of NEGATIVE, POSITIVE and DROPPED.

        Returns:
            (..., B, H, A), as many as the indicators; chunks and times that are fewer are repeated.
        """
        angles = time[..., None] * self.frequencies
        clock = torch.cat([angles.sin(), angles.cos()], -1).expand(*indicator.shape, -1)
        told = torch.cat([clock, self.indicator(indicator)], -1)
        noisy = chunk.flatten(-2).expand(*indicator.shape, -1)
        velocity: Tensor = self.velocity_head(self.flow(context, told, noisy))
        return velocity.view(*indicator.shape, *chunk.shape[-2:])

    def sample(
        self,
        context: Tensor,
        noise: Tensor,
        *,
        indicator: int = POSITIVE,
        guidance: float | None = None,
        temperature: float | None = None,
        previous: Tensor | None = None,
        frozen: int = 0,
    ) -> Tensor:
        """Draws scaled chunks (B, H, A) from noise of that shape.

        Args:
            context: (B, C).
            noise: Standard normal.
            indicator: What is asked for.
            guidance: Beta; None: the configuration's.
            temperature: What the noise is scaled by; None: the configuration's. A small network
                leaves some of the noise in the chunk; from 0 on it finds the middle.
            previous: (B, K, A) scaled steps of the last chunk to go on from, see `rtc`.
            frozen: How many of them are executed in any case.
        """
        config = self.config
        beta = config.guidance if guidance is None else guidance
        noise = noise * (config.temperature if temperature is None else temperature)
        wanted = indicator if config.is_told else DROPPED
        both = wanted != DROPPED and beta != 1.0
        asked = torch.tensor([wanted, DROPPED] if both else [wanted], device=noise.device)
        indicators = asked[:, None].expand(-1, len(noise))

        def velocity(chunk: Tensor, time: Tensor) -> Tensor:
            found = self.velocity(context, chunk, time, indicators)
            return guided(found[0], found[1], beta) if both else found[0]

        if previous is not None:
            return continue_chunk(velocity, noise, previous, frozen, config.flow_steps)
        return integrate(velocity, noise, config.flow_steps)
