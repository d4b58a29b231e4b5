# SPDX-License-Identifier: Apache-2.0
"""Training: seeded, resumable, stopped by Ctrl-C without loss."""

from vvf_models.training.train import train

__all__ = ['train']
