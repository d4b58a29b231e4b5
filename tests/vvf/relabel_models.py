# SPDX-License-Identifier: Apache-2.0
"""Small untrained value models for the tests of relabelling."""

from pathlib import Path

import torch

from vvf_models.checkpoints import save_checkpoint
from vvf_models.values.icvf import Icvf, IcvfConfig


def write_icvf(
    folder: Path,
    cameras: tuple[str, ...] = ('shoulder', 'wrist'),
    dim: int = 0,
    *,
    seed: int = 0,
    size: int = 32,
    instructions: tuple[str, ...] = (),
) -> Path:
    """An ICVF with three goals, or with one for each of some instructions."""
    torch.manual_seed(seed)
    config = IcvfConfig(cameras=cameras, state_dim=dim, image_size=size, latent_dim=32, d_max=20.0)
    count = len(instructions) or 3
    goals = {c: torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8) for c in cameras}
    if dim:
        goals['state'] = torch.rand(count, dim)
    weights = Icvf(config).state_dict()
    save_checkpoint(folder, 'icvf', config, weights, 'untrained', goals, instructions)
    return folder
