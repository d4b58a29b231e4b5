# SPDX-License-Identifier: Apache-2.0
"""Value models at run time, on eager torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.checkpoints import Checkpoint, load_checkpoint
from vvf_models.errors import UserError
from vvf_models.runtime.observation import prepare_images, prepare_state
from vvf_models.values.icvf import Icvf, progress_from_value


@dataclass(frozen=True)
class Values:
    """Answers for B observations, each (B,) float32.

    Attributes:
        value: In the model's own unit (ICVF: minus the discounted steps to the goal).
        progress: Its monotone map to [0, 1].
        uncertainty: Half the spread of the ensemble, in the unit of `value`; NaN without one.
    """

    value: NDArray[np.float32]
    progress: NDArray[np.float32]
    uncertainty: NDArray[np.float32]


class ValueRuntime:
    """A loaded value model. Not safe for use from several threads at once.

    Attributes:
        kind: 'icvf'.
        name: The checkpoint's name.
        cameras: Cameras it needs, in its order.
        image_size: Side in pixels that images are scaled to.
        state_dim: Length of the state it needs, 0 for none.
        gamma: Discount per step.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Encodes the checkpoint's goals."""
        if not isinstance(checkpoint.model, Icvf):
            raise TypeError('not a value model')
        self._model = checkpoint.model.requires_grad_(False)
        self._config = checkpoint.model.config
        self.kind = checkpoint.kind
        self.name = checkpoint.name
        self.cameras = self._config.cameras
        self.image_size = self._config.image_size
        self.state_dim = self._config.state_dim
        self.gamma = self._config.discount
        self._goals: Tensor | None = None
        self._checkpoint_goals = checkpoint.goals
        self.reset_goal()

    def reset_goal(self) -> None:
        """Takes the goals that the checkpoint holds; none where it holds none."""
        stored = self._checkpoint_goals
        if 'latents' in stored:
            self._goals = stored['latents']
        elif stored:
            images = {camera: stored[camera].permute(0, 2, 3, 1).numpy() for camera in self.cameras}
            self.set_goal(images, stored['state'].numpy() if self.state_dim else None)
        else:
            self._goals = None

    @property
    def n_goals(self) -> int:
        """How many goals a value is the mean over; 0 before any is set."""
        return 0 if self._goals is None else len(self._goals)

    @property
    def goals(self) -> Tensor | None:
        """(G, L) latents of the current goals, or None before any is set."""
        return self._goals

    @torch.inference_mode()
    def encode(
        self, images: Mapping[str, NDArray[np.uint8]], state: NDArray[np.floating] | None = None
    ) -> Tensor:
        """Encodes observations once, for any number of goals.

        Args:
            images: Per camera, (B, H, W, 3) uint8 RGB of any size.
            state: (B, D) in SI units; None if `state_dim` is 0.

        Returns:
            (B, L) latents.

        Raises:
            ValueError: A camera is missing, a shape is wrong, or the state is not finite.
        """
        prepared = prepare_images(images, self.cameras, self.image_size)
        given = prepare_state(state, self.state_dim, len(prepared[0]))
        normalised = None if given is None else self._model.encoder.normalise(given)
        latents: Tensor = self._model.encoder(prepared, normalised)
        return latents

    @torch.inference_mode()
    def value(self, latents: Tensor, goal: Tensor | None = None) -> Values:
        """Values of encoded observations.

        Args:
            latents: (B, L) from `encode`.
            goal: (G, L) or (L,) from `encode`; None for the current goals. Values are the mean
                over goals.

        Raises:
            ValueError: No goal is set, or latents have a wrong shape.
        """
        goals = self._goals if goal is None else goal.reshape(-1, goal.shape[-1])
        if goals is None:
            raise ValueError('no goal is set; call set_goal first')
        size = self._model.encoder.output_dim
        if latents.ndim != 2 or latents.shape[1] != size or goals.shape[1] != size:
            raise ValueError(
                f'latents must be (B, {size}), not {tuple(latents.shape)} and {tuple(goals.shape)}'
            )
        per_head = self._model.pairwise_values(latents, goals).mean(-1)  # (E, B)
        value = per_head.mean(0)
        if len(per_head) > 1:
            spread = (per_head.amax(0) - per_head.amin(0)) / 2
        else:
            spread = torch.full_like(value, torch.nan)
        progress = progress_from_value(value, self._config)
        return Values(value.numpy(), progress.numpy(), spread.numpy())

    def set_goal(
        self, images: Mapping[str, NDArray[np.uint8]], state: NDArray[np.floating] | None = None
    ) -> None:
        """Replaces the goals by G observations, given like those of `encode`.

        Raises:
            ValueError: As for `encode`, or there is no observation.
        """
        goals = self.encode(images, state)
        if not len(goals):
            raise ValueError('a goal needs at least one observation')
        self._goals = goals


def load_value(path: Path | str, threads: int = 1) -> ValueRuntime:
    """Loads a value model.

    Args:
        path: The checkpoint's folder.
        threads: CPU threads of the whole process; one is immune to contention.

    Raises:
        UserError: The checkpoint is missing, damaged or no value model.
    """
    if threads < 1:
        raise UserError('threads must be at least 1.')
    checkpoint = load_checkpoint(path, 'icvf')
    torch.set_num_threads(threads)
    return ValueRuntime(checkpoint)
