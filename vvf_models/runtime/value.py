# SPDX-License-Identifier: Apache-2.0
"""Value models at run time, on the engine that suits the machine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.checkpoints import MODULES, Checkpoint, load_checkpoint, load_config
from vvf_models.encoders.resnet_v2 import fold
from vvf_models.errors import UserError
from vvf_models.runtime.choice import make_engine
from vvf_models.runtime.engine import Engine
from vvf_models.runtime.observation import prepare_images, prepare_state
from vvf_models.values.base import Goal, GoalSet, ValueModel


@dataclass(frozen=True)
class Values:
    """Answers for B observations, each (B,) float32.

    Attributes:
        value: In the model's own unit (ICVF: minus the discounted steps to the goal).
        progress: Its monotone map to [0, 1].
        uncertainty: Half the spread of an ensemble, or the standard deviation of a distribution, in
            the unit of `value`; NaN where a model has neither.
    """

    value: NDArray[np.float32]
    progress: NDArray[np.float32]
    uncertainty: NDArray[np.float32]


class ValueRuntime:
    """A loaded value model. Not safe for use from several threads at once.

    Attributes:
        kind: Of the model: 'icvf', 'vip', 'distributional' or 'viva'.
        name: The checkpoint's name.
        cameras: Cameras it needs, in its order.
        image_size: Side in pixels that images are scaled to.
        state_dim: Length of the state it needs, 0 for none.
        gamma: Discount per step.
        failure_value: What the last frame of a failure is worth; None for a model that learns of
            none.
        takes_goal: Whether it measures against goal observations.
        reads_text: Whether it measures against an instruction.
        engine: What runs it: 'torch', 'openvino', 'openvino-int8' or 'cuda'.
        engine_note: Why that is not what was asked for, in a sentence; '' if it is.
        precision: The coarsest number format in it: 'float32', 'bfloat16' or 'int8'.
    """

    def __init__(self, checkpoint: Checkpoint, engine: Engine) -> None:
        """Encodes the checkpoint's goals.

        Args:
            checkpoint: Of a value model.
            engine: Made for its model.
        """
        if not isinstance(checkpoint.model, ValueModel):
            raise TypeError('not a value model')
        self._model = checkpoint.model
        self._engine = engine
        self.engine = engine.name
        self.engine_note = engine.note
        self.precision = engine.precision
        config = self._model.config
        self.kind = checkpoint.kind
        self.name = checkpoint.name
        self.cameras = config.cameras
        self.image_size = config.image_size
        self.state_dim = config.state_dim
        self.gamma = self._model.discount
        self.failure_value = self._model.failure_value
        self.takes_goal = self._model.takes_goal
        self.reads_text = self._model.reads_text
        self._goal = Goal()
        self._instruction = ''
        self._stored_goals = self._encode_stored(checkpoint)
        self.reset_goal()

    @property
    def step_cost(self) -> float:
        """What a step costs in the unit of the value, before discounting; by instruction."""
        return self._model.step_cost_of(self._instruction)

    @property
    def model(self) -> ValueModel:
        """The module as it was read, in evaluation mode; on the GPU, if that is the engine."""
        return self._model

    @property
    def ready(self) -> bool:
        """Whether everything is set that a value is measured against."""
        missing = self.takes_goal and self._goal.latents is None
        return not (missing or (self.reads_text and self._goal.text is None))

    def _encode_stored(self, checkpoint: Checkpoint) -> GoalSet | None:
        stored, names = checkpoint.goals, checkpoint.goal_instructions
        if not stored:
            return None
        if 'latents' in stored:
            return GoalSet(stored['latents'], names)
        images = {camera: stored[camera].permute(0, 2, 3, 1).numpy() for camera in self.cameras}
        return GoalSet(
            self.encode(images, stored['state'].numpy() if self.state_dim else None), names
        )

    @property
    def stored_goals(self) -> GoalSet | None:
        """The goals that the checkpoint holds."""
        return self._stored_goals

    def reset_goal(self) -> None:
        """Takes the checkpoint's goals of the instruction, or all of them; none if it has none."""
        stored = self._stored_goals
        self._own_goal = False
        latents = None if stored is None else stored.of(self._instruction)
        self._goal = replace(self._goal, latents=latents)

    @property
    def n_goals(self) -> int:
        """How many goal observations a value is the mean over; 0 before any is set."""
        return 0 if self._goal.latents is None else len(self._goal.latents)

    @property
    def goal(self) -> Goal:
        """What values are measured against now."""
        return self._goal

    @property
    def instruction(self) -> str:
        """The instruction that was set last, '' before that."""
        return self._instruction

    @torch.inference_mode()
    def encode(
        self, images: Mapping[str, NDArray[np.uint8]], state: NDArray[np.floating] | None = None
    ) -> Tensor:
        """Encodes observations once, for any number of goals.

        Args:
            images: Per camera, (B, H, W, 3) uint8 RGB of any size.
            state: (B, D) in SI units; None if `state_dim` is 0.

        Returns:
            (B, L) latents, float32 on the CPU.

        Raises:
            ValueError: A camera is missing, a shape is wrong, or the state is not finite.
        """
        prepared = prepare_images(images, self.cameras, self.image_size)
        given = prepare_state(state, self.state_dim, len(prepared[0]))
        return self._engine.encode(prepared, given)

    @torch.inference_mode()
    def value(self, latents: Tensor, goal: Goal | Tensor | None = None) -> Values:
        """Values of encoded observations.

        Args:
            latents: (B, L) from `encode`.
            goal: What to measure against; (G, L) or (L,) latents of goal observations, with the
                instruction that is set; or None for all that is set.

        Raises:
            ValueError: A goal or an instruction is needed and not set, or latents have a wrong
                shape.
        """
        if isinstance(goal, Tensor):
            goal = replace(self._goal, latents=goal.reshape(-1, goal.shape[-1]))
        elif goal is None:
            goal = self._goal
        if self.takes_goal and goal.latents is None:
            raise ValueError('no goal is set; call set_goal first')
        if self.reads_text and goal.text is None:
            raise ValueError('no instruction is set; call set_instruction first')
        size = self._model.latent_size
        for given in (latents, goal.latents):
            if given is not None and (given.ndim != 2 or given.shape[1] != size):
                raise ValueError(f'latents must be (B, {size}), not {tuple(given.shape)}')
        value, uncertainty = self._engine.estimate(latents, goal)
        progress = self._model.progress(value)
        return Values(value.numpy(), progress.numpy(), uncertainty.numpy())

    def set_goal(
        self, images: Mapping[str, NDArray[np.uint8]], state: NDArray[np.floating] | None = None
    ) -> None:
        """Replaces the goals by G observations, given like those of `encode`.

        Raises:
            ValueError: As for `encode`, or there is no observation, or the model takes no goal.
        """
        if not self.takes_goal:
            raise ValueError(f'{self.name} is of kind "{self.kind}" and takes no goal observation')
        goals = self.encode(images, state)
        if not len(goals):
            raise ValueError('a goal needs at least one observation')
        self._goal = replace(self._goal, latents=goals)
        self._own_goal = True

    @torch.inference_mode()
    def set_instruction(self, instruction: str) -> None:
        """Sets what the robot is asked to do.

        A model that takes goals then measures against the checkpoint's goals of that instruction,
        unless `set_goal` gave others.
        """
        self._instruction = instruction
        text = self._model.embed([instruction]) if self.reads_text else None
        self._goal = replace(self._goal, text=None if text is None else text[0].cpu())
        if not self._own_goal:
            self.reset_goal()


def load_value(
    path: Path | str,
    threads: int = 1,
    engine: str = 'auto',
    calibration: Mapping[str, NDArray[np.uint8]] | None = None,
) -> ValueRuntime:
    """Loads a value model.

    Args:
        path: The checkpoint's folder.
        threads: CPU threads of the whole process; one is immune to contention.
        engine: One of `ENGINES`; see `vvf_models.runtime.choice.make_engine`.
        calibration: For 'openvino-int8': per camera, (N, H, W, 3) uint8 RGB frames of any size,
            like those to be scored.

    Raises:
        UserError: The checkpoint is missing, damaged or no value model, or the engine cannot run
            it.
    """
    if threads < 1:
        raise UserError('threads must be at least 1.')
    kind, _ = load_config(path)
    if not issubclass(MODULES[kind], ValueModel):
        raise UserError(f'{path} is a checkpoint of kind "{kind}", which is no value model.')
    checkpoint = load_checkpoint(path)
    torch.set_num_threads(threads)
    # Exact, and twice as fast for one image where convolutions are standardised.
    model = cast(ValueModel, fold(checkpoint.model).requires_grad_(False))
    return ValueRuntime(checkpoint, make_engine(model, engine, threads, calibration))
