# SPDX-License-Identifier: Apache-2.0
"""Training: seeded, resumable, stopped by Ctrl-C without loss."""

from vvf_models.training.bc import train_bc
from vvf_models.training.icvf import train_icvf

__all__ = ['train_bc', 'train_icvf']
