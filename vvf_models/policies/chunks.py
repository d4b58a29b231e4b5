# SPDX-License-Identifier: Apache-2.0
"""Chunks of the next actions, in units that a network can give: about [-1, 1] each.

An action is, for each arm in turn, what moves it and then its gripper in [0, 1] (1 open). What
moves is divided by `action_scale`; a gripper g becomes 2 g - 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.model_config import require


@dataclass(frozen=True)
class ChunkConfig:
    """What a policy's chunks are made of; one scaled unit should be a large but usual action."""

    action_dim: int = 7
    arms: int = 1
    displacements: bool = True  # False: joint positions, of which 0 does not mean to stay
    horizon: int = 6
    # Of one arm, without its gripper; m and rad.
    action_scale: tuple[float, ...] = (0.045, 0.045, 0.045, 0.3, 0.3, 0.3)
    dt: float = 0.2  # seconds per step of a chunk

    def check_chunks(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        require(self.horizon >= 1 and self.arms >= 1, '"horizon" and "arms" must be at least 1')
        require(
            self.action_dim % self.arms == 0
            and len(self.action_scale) == self.action_dim // self.arms - 1,
            f'"action_scale" must have {self.action_dim // self.arms - 1} entries, one for each '
            'entry of an arm\'s action but the gripper, and "arms" must divide "action_dim"',
        )
        require(
            min(self.action_scale, default=1.0) > 0, 'every entry of "action_scale" must be above 0'
        )


class ChunkScale(nn.Module):
    """Between actions in SI units and what the network gives."""

    scale: Tensor
    shift: Tensor
    grips: Tensor

    def __init__(self, config: ChunkConfig) -> None:
        """Takes the scale; it is in the configuration already, so not in the weights."""
        super().__init__()
        scale, shift = scale_and_shift(config)
        self.register_buffer('scale', torch.from_numpy(scale), persistent=False)
        self.register_buffer('shift', torch.from_numpy(shift), persistent=False)
        self.register_buffer('grips', torch.from_numpy(shift > 0), persistent=False)

    def forward(self, chunk: Tensor) -> Tensor:
        """Scaled chunks (..., A) to actions in SI units, grippers in [0, 1]."""
        actions = chunk * self.scale + self.shift
        return torch.where(self.grips, actions.clamp(0, 1), actions)


def scale_and_shift(config: ChunkConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An action is scaled * scale + shift, (A,) each; only grippers are shifted."""
    one = np.array([*config.action_scale, 0.5], np.float32)
    shift = np.zeros(len(one), np.float32)
    shift[-1] = 0.5
    return np.tile(one, config.arms), np.tile(shift, config.arms)


def chunk_targets(
    actions: NDArray[np.float32], last: NDArray[np.int64], config: ChunkConfig
) -> NDArray[np.float32]:
    """The scaled chunk that starts at each frame.

    Beyond the end of an episode nothing moves and the grippers stay as they were.

    Args:
        actions: (N, A), SI units.
        last: (N,) last frame of each frame's episode.
        config: Of the policy.

    Returns:
        (N, horizon, A).
    """
    scale, shift = scale_and_shift(config)
    stops = (shift == 0) & config.displacements
    frames = np.arange(len(actions))
    return (next_actions(actions, frames, last, config.horizon, stops) - shift) / scale


def next_actions(
    actions: NDArray[np.float32],
    frames: NDArray[np.int64],
    last: NDArray[np.int64],
    count: int,
    stops: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """The actions of some frames and of those that follow.

    Args:
        actions: (N, A).
        frames: (F,), where to begin.
        last: (F,) last frame of each one's episode.
        count: How many, with the frame's own.
        stops: (A,) bool, which entries are 0 beyond the last frame; the others stay as they were.

    Returns:
        (F, count, A).
    """
    index = frames[:, None] + np.arange(count)
    beyond = index > last[:, None]
    chunks: NDArray[np.float32] = actions[np.minimum(index, last[:, None])]
    chunks[beyond[..., None] & stops] = 0
    return chunks


def counted_steps(
    human: NDArray[np.bool_],
    last: NDArray[np.int64],
    failed: NDArray[np.bool_],
    horizon: int,
) -> NDArray[np.bool_]:
    """Which steps of each frame's chunk are of who acts in that frame: what can be learned of them.

    Who takes over or gives back begins something else. After a success nothing is left to do, and
    standing still is right; a failure would have gone on, and its last action was never executed.

    Args:
        human: (N,) bool, where a human acted.
        last: (N,) last frame of each frame's episode.
        failed: (N,) bool, of failed episodes.
        horizon: Steps of a chunk.

    Returns:
        (N, horizon) bool.
    """
    index = np.arange(len(human))[:, None] + np.arange(horizon)
    same = human[np.minimum(index, last[:, None])] == human[:, None]
    counted: NDArray[np.bool_] = np.logical_and.accumulate(same, 1)
    return counted & ~(failed[:, None] & (index >= last[:, None]))


def mean_errors(prediction: Tensor, target: Tensor, grips: Sequence[bool] | Tensor) -> Tensor:
    """Mean absolute errors of motion (scaled) and of grippers (in [0, 1]): (2,)."""
    difference = (prediction.detach() - target).abs()
    chosen = torch.as_tensor(grips)
    return torch.stack([difference[..., ~chosen].mean(), difference[..., chosen].mean() / 2])
