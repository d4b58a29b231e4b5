# SPDX-License-Identifier: Apache-2.0
"""Policies at run time, on eager torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vvf_models.checkpoints import Checkpoint, load_checkpoint
from vvf_models.data.augment import to_float
from vvf_models.errors import UserError
from vvf_models.policies.bc import BcPolicy
from vvf_models.runtime.observation import prepare_images, prepare_state


class PolicyRuntime:
    """A loaded policy. Not safe for use from several threads at once.

    Attributes:
        kind: 'bc'.
        name: The checkpoint's name.
        cameras: Cameras it needs, in its order.
        image_size: Side in pixels that images are scaled to.
        state_dim: Length of the state it needs, 0 for none.
        horizon: Actions per chunk.
        action_dim: Numbers per action, the gripper last.
        dt: Seconds per action.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Wraps a policy's checkpoint."""
        if not isinstance(checkpoint.model, BcPolicy):
            raise TypeError('not a policy')
        self._model = checkpoint.model.requires_grad_(False)
        config = checkpoint.model.config
        self.kind = checkpoint.kind
        self.name = checkpoint.name
        self.cameras = config.cameras
        self.image_size = config.image_size
        self.state_dim = config.state_dim
        self.horizon = config.horizon
        self.action_dim = config.action_dim
        self.dt = config.dt

    @torch.inference_mode()
    def act(
        self, images: Mapping[str, NDArray[np.uint8]], state: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """The next actions.

        Args:
            images: Per camera, (H, W, 3) uint8 RGB of any size.
            state: (D,) in SI units; None if `state_dim` is 0.

        Returns:
            (horizon, action_dim) float32 in SI units; the last entry is the gripper in [0, 1].

        Raises:
            ValueError: A camera is missing, a shape is wrong, or the state is not finite.
        """
        batched = {camera: np.asarray(image)[None] for camera, image in images.items()}
        scaled = prepare_images(batched, self.cameras, self.image_size)
        given = prepare_state(None if state is None else np.asarray(state)[None], self.state_dim, 1)
        normalised = None if given is None else self._model.normalise(given)
        chunk = self._model.actions(self._model([to_float(each) for each in scaled], normalised))
        result: NDArray[np.float32] = chunk[0].numpy()
        return result


def load_policy(path: Path | str, threads: int = 1) -> PolicyRuntime:
    """Loads a policy.

    Args:
        path: The checkpoint's folder.
        threads: CPU threads of the whole process; one is immune to contention.

    Raises:
        UserError: The checkpoint is missing, damaged or no policy.
    """
    if threads < 1:
        raise UserError('threads must be at least 1.')
    checkpoint = load_checkpoint(path, 'bc')
    torch.set_num_threads(threads)
    return PolicyRuntime(checkpoint)
