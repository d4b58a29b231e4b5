# SPDX-License-Identifier: Apache-2.0
"""Behaviour cloning of several tasks, on any image encoder: the imitation baselines of V-PTR.

Bhateja et al., arXiv 2309.13041, sec. 5 and appendix D.2: BC, and the representations of R3M and
MVP frozen under an MLP (`freeze_encoder`, with `encoder_weights` for released ones), which is told
the task. It has the layers of CQL's actor and learns from the same frames, of each episode those up
to its success, and from the last of failures, too. Besides having no reward and no Q function, it
differs from `cql` in these:
- the gripper is a number that is regressed with the motion, where CQL's may be binary;
- motion is scaled by given numbers (`action_scale`), where CQL's is by the largest of the data.

As of CQL, the weights that are kept are the last: no loss on held-out episodes tells which policy
succeeds more. With a `patience` they are those of the least loss, since that is what stops it.

Where this differs from the paper: smooth L1 instead of the squared error, as for `bc`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vvf_models.encoders.observation import Normaliser, ObservationEncoder
from vvf_models.model_config import EncodedObservationConfig, TrainingConfig, require
from vvf_models.policies.chunks import ChunkConfig, ChunkScale
from vvf_models.policies.cql_networks import ToldMlp
from vvf_models.policies.tasks import TASK_VECTORS, embed_tasks, known_task, task_dim


@dataclass(frozen=True)
class BcTaskConfig(TrainingConfig, ChunkConfig, EncodedObservationConfig):
    """Everything needed to rebuild and to train a policy."""

    horizon: int = 1
    lookahead: int = 0  # actions beyond the horizon that are learned, too, and never executed
    # Task.
    task_vector: str = 'one-hot'  # or 'language': the sentence encoder's 384 numbers
    task_slots: int = 0  # places of the one-hot vector, some for later tasks; 0: as many as tasks
    target_task: str = ''  # one-hot: the one task of all target data, or of all data without any
    # Network.
    hidden: tuple[int, ...] = (256, 256, 256)
    actor_layer_norm: bool = False  # before each ReLU; named as CQL's
    # Training.
    mixing_ratio: float = 0.9  # share of a batch that is prior data, where there is target data
    prior_as_target: float = 0.0  # share of prior data told as the target task, where there is any
    successes_only: bool = False
    state_noise: float = 0.0  # of each entry's standard deviation
    evaluate_every: int = 1000  # steps
    # Found in training.
    tasks: tuple[str, ...] = ()  # instructions, in the order of the one-hot vector

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        self.check_training()
        self.check_chunks()
        for name in ('task_slots', 'lookahead'):
            require(getattr(self, name) >= 0, f'"{name}" must not be negative')
        require(0 < self.mixing_ratio <= 1, '"mixing_ratio" must be above 0 and at most 1')
        require(min(self.hidden, default=0) >= 1, '"hidden" must have sizes of at least 1')
        require(
            self.prior_as_target == 0 or (self.prior_as_target <= 1 and self.target_task != ''),
            '"prior_as_target" must lie in [0, 1], and wants a "target_task"',
        )
        require(
            self.task_vector in TASK_VECTORS,
            f'"task_vector" must be one of {", ".join(TASK_VECTORS)}',
        )

    @property
    def task_dim(self) -> int:
        """Length of the task vector."""
        return task_dim(self.task_vector, self.tasks, self.task_slots)


class BcTaskPolicy(nn.Module):
    """The policy network."""

    def __init__(self, config: BcTaskConfig) -> None:
        """Builds the network."""
        super().__init__()
        self.config = config
        self.encoder = ObservationEncoder(config)
        self.body = ToldMlp(
            config.task_dim,
            0,
            self.encoder.output_dim,
            config.hidden,
            layer_norm=config.actor_layer_norm,
        )
        self._said = config.horizon + config.lookahead
        self.chunk = nn.Linear(config.hidden[-1], self._said * config.action_dim)
        self.normalise = Normaliser(config)
        self.actions = ChunkScale(config)

    def embed(self, instructions: Sequence[str]) -> Tensor:
        """Task vectors (N, T) of N instructions.

        Raises:
            UserError: An instruction is none of several that were trained.
        """
        config = self.config
        known = [
            known_task(t, config.task_vector, config.tasks, config.target_task)
            for t in instructions
        ]
        return embed_tasks(known, config.task_vector, config.tasks, config.task_slots)

    def forward(
        self,
        images: list[Tensor],
        state: Tensor | None,
        task: Tensor,
        hide_state: Tensor | None = None,
    ) -> Tensor:
        """Predicts scaled chunks.

        Args:
            images: Per camera, (B, 3, S, S) float in [-1, 1].
            state: (B, D) normalised, or None for a model of images only.
            task: (B, T) task vectors.
            hide_state: (B,) bool, where the state's latent is set to zero.

        Returns:
            (B, horizon, action_dim), each entry about [-1, 1].
        """
        return self.foresee(images, state, task, hide_state)[:, : self.config.horizon]

    def foresee(
        self,
        images: list[Tensor],
        state: Tensor | None,
        task: Tensor,
        hide_state: Tensor | None = None,
    ) -> Tensor:
        """As `forward`, with the actions after the chunk: (B, horizon + lookahead, action_dim)."""
        latent = self.encoder(images, state, hide_state)
        with torch.autocast(latent.device.type, enabled=False):
            chunk: Tensor = self.chunk(self.body(task, None, latent))
        return chunk.view(-1, self._said, self.config.action_dim)
