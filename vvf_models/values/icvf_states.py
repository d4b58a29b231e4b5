# SPDX-License-Identifier: Apache-2.0
"""An ICVF of state vectors: V(s, g, z) with the objective and the goal sampling of that of images.

As ViVa-ICVF (arXiv 2503.18210) trains it for AntMaze; authors' code: Dashora7/rlpd_subgoals,
final_train_script.py: monolithic, ensemble of two, no encoder. See icvf.py for the objective and
goal_sampling.py for the goals; vvf_models/training/icvf_states.py trains it.

Where this differs from the authors' code: states are normalised; LayerNorm as in the paper; of a
goal only some entries are shown (x and y in a maze), where theirs shows whole states in training
and asks for (x, y, 0, ..., 0) in use; a goal may be reached by whoever comes near; smaller networks
and fewer steps in the small configurations.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.encoders.observation import STATE_LIMIT
from vvf_models.model_config import require
from vvf_models.values.icvf import IcvfConfig, MonolithicHead

_AT_ONCE = 16_384  # states whose values are computed together: of all data, layers fill the memory


@dataclass(frozen=True)
class StateIcvfConfig:
    """Everything needed to rebuild and to train it."""

    state_dim: int = 0  # from the data
    goal_entries: tuple[int, ...] = (0, 1)  # of a state that is a goal; () for all
    state_mean: tuple[float, ...] = ()  # from the data
    state_std: tuple[float, ...] = ()
    hidden: tuple[int, ...] = (512, 512, 512)
    ensemble: int = 2
    layer_norm: bool = True
    value_scale: float = 10.0
    discount: float = 0.99
    expectile: float = 0.9
    n_step: int = 1  # steps from s to s'
    target_rate: float = 0.005
    p_random: float = 0.3
    p_trajectory: float = 0.5
    p_current: float = 0.2
    p_same_goal: float = 0.5
    # In the unit of a goal's shown entries: goals lie anywhere so near to a frame, and who comes so
    # near has reached them; 0: the frame itself and nobody else. No other trajectory ever comes to
    # exactly that place, and what is never reached looks the farther, the longer is trained; and
    # of goals beyond all frames a network knows nothing.
    goal_radius: float = 0.0
    batch_size: int = 256
    learning_rate: float = 3e-4
    steps: int = 100_000
    evaluate_every: int = 2000

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        require(
            all(entry >= 0 for entry in self.goal_entries), '"goal_entries" must not be negative'
        )
        if self.state_dim:
            require(
                max(self.goal_entries, default=0) < self.state_dim,
                f'"goal_entries" must be entries of a state, which has {self.state_dim}',
            )
        for name in ('steps', 'evaluate_every', 'batch_size'):
            require(getattr(self, name) >= 1, f'"{name}" must be at least 1')
        require(self.learning_rate > 0, '"learning_rate" must be above 0')
        require(0 < self.target_rate <= 1, '"target_rate" must lie above 0, and at most at 1')
        require(min(self.hidden, default=0) >= 1, '"hidden" must have sizes of at least 1')
        require(self.goal_radius >= 0, '"goal_radius" must not be negative')
        _ = self.objective  # has checks of its own

    @property
    def objective(self) -> IcvfConfig:
        """What the loss of icvf.py asks for."""
        return IcvfConfig(
            discount=self.discount,
            expectile=self.expectile,
            n_step=self.n_step,
            ensemble=self.ensemble,
            p_random=self.p_random,
            p_trajectory=self.p_trajectory,
            p_current=self.p_current,
            p_same_goal=self.p_same_goal,
        )


class StateIcvf(nn.Module):
    """The network: an ensemble of MLPs on [s, g, z]."""

    mean: Tensor
    std: Tensor
    shown: Tensor

    def __init__(self, config: StateIcvfConfig) -> None:
        """Builds the heads."""
        super().__init__()
        self.config = config
        size = config.state_dim
        mean, std = config.state_mean or (0.0,) * size, config.state_std or (1.0,) * size
        shown = torch.zeros(size)
        shown[list(config.goal_entries) or slice(None)] = 1.0
        for name, value in (('mean', mean), ('std', std), ('shown', shown)):
            self.register_buffer(name, torch.as_tensor(value), persistent=False)
        self.heads = nn.ModuleList(
            MonolithicHead(size, config.hidden, layer_norm=config.layer_norm)
            for _ in range(config.ensemble)
        )

    def encode(self, state: Tensor) -> Tensor:
        """Normalised states (B, D)."""
        return ((state - self.mean) / self.std).clamp(-STATE_LIMIT, STATE_LIMIT)

    def forward(self, state: Tensor, goal: Tensor, intent: Tensor) -> Tensor:
        """V(s, g, z) of encoded (B, D) each, per head: (E, B)."""
        goal, intent = goal * self.shown, intent * self.shown
        heads = torch.stack([head(state, goal, intent) for head in self.heads])
        return heads * self.config.value_scale

    @torch.no_grad()
    def values(
        self, states: NDArray[np.floating], goal: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """V(s, g, g), the mean over heads, (...) of states (..., D) and one goal (D,)."""
        flat = torch.as_tensor(np.asarray(states, np.float32)).reshape(-1, self.config.state_dim)
        wanted = self.encode(torch.as_tensor(np.asarray(goal, np.float32))[None])
        parts = []
        for some in torch.split(flat, _AT_ONCE):
            latents = self.encode(some)
            there = wanted.expand_as(latents)
            parts.append(self(latents, there, there).mean(0))
        return np.asarray(torch.cat(parts).numpy()).reshape(states.shape[:-1])
