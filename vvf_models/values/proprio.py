# SPDX-License-Identifier: Apache-2.0
"""The baseline that sees no image: what the arm's posture alone tells about the value.

A value model that does not beat it has learned nothing from its cameras. Two layers regress the
normalised return of each frame, -(steps left + longest if it fails) / (2 longest), as in RECAP
(arXiv 2511.14759, section IV-A, with the failure cost set to one longest episode).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.errors import UserError


class ProprioValue(nn.Module):
    """Value of a state, higher is better, about [-1, 0]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, hidden: int = 64) -> None:
        """Builds the network."""
        super().__init__()
        self.register_buffer('mean', mean)
        self.register_buffer('std', std)
        self.layers = nn.Sequential(
            nn.Linear(len(mean), hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, state: Tensor) -> Tensor:
        """(B, D) SI units to (B,)."""
        value: Tensor = self.layers(((state - self.mean) / self.std).clamp(-5, 5))
        return value.squeeze(-1)

    @torch.inference_mode()
    def values(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T, D) to (T,)."""
        result: NDArray[np.float32] = self(torch.from_numpy(state)).numpy()
        return result


def returns(store: FrameStore, episodes: NDArray[np.int64]) -> NDArray[np.float32]:
    """The normalised return of every frame of some episodes, in the order of `frames_of`.

    Frames after the success count as the goal: no step is left.
    """
    longest = float(store.lengths[episodes].max())
    parts = []
    for e in episodes:
        length = int(store.lengths[e])
        failed = store.outcome[e] == FAILURE
        end = int(store.success_index[e]) if store.outcome[e] == SUCCESS else length - 1
        left = np.maximum(end - np.arange(length), 0)
        parts.append(-(left + longest * failed) / (2 * longest))
    return np.concatenate(parts).astype(np.float32)


def train_proprio(
    store: FrameStore, episodes: NDArray[np.int64], *, steps: int = 600, seed: int = 0
) -> ProprioValue:
    """Trains the baseline; takes a second or two.

    Raises:
        UserError: The episodes have no state.
    """
    if store.state is None:
        raise UserError('The episodes have no state, so there is no proprioception baseline.')
    state = torch.from_numpy(store.state[store.frames_of(episodes)])
    target = torch.from_numpy(returns(store, episodes))
    std, mean = torch.std_mean(state, 0, correction=0)
    torch.manual_seed(seed)
    model = ProprioValue(mean, std.clamp(min=1e-3))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(state), (256,), generator=generator)
        noise = 0.02 * torch.randn(256, state.shape[1], generator=generator) * model.std
        loss = nn.functional.mse_loss(model(state[chosen] + noise), target[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return model.eval()
