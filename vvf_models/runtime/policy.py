# SPDX-License-Identifier: Apache-2.0
"""Policies at run time, on eager torch."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.checkpoints import MODULES, Checkpoint, load_checkpoint, load_config
from vvf_models.data.augment import to_float
from vvf_models.errors import UserError
from vvf_models.policies.bc import BcPolicy
from vvf_models.policies.bc_task import BcTaskConfig, BcTaskPolicy
from vvf_models.policies.cql import Cql, CqlConfig
from vvf_models.policies.lerobot import LerobotPolicy, read_spec
from vvf_models.policies.recap import DROPPED, NEGATIVE, POSITIVE, RecapConfig, RecapPolicy
from vvf_models.runtime.observation import prepare_images, prepare_state
from vvf_models.runtime.policy_interface import Policy

_POLICIES = (BcPolicy, BcTaskPolicy, Cql, RecapPolicy)
#: What a policy that knows an indicator can be asked for.
INDICATORS = {'positive': POSITIVE, 'negative': NEGATIVE, 'none': DROPPED}


class PolicyRuntime:
    """A loaded policy. Not safe for use from several threads at once.

    Attributes:
        kind: 'bc', 'bc_task', 'rwr', 'cql' or 'recap'.
        guidance: Of a RECAP policy, how far beyond the plain conditional it goes; 1: not at all.
        temperature: Of the noise that a RECAP policy's chunks, or CQL's candidates, are drawn from.
        indicator: Of a RECAP policy, which actions it is asked for, of `INDICATORS`.
        candidates: Of a policy with a Q function, how many actions are drawn for the best of them.
        name: The checkpoint's name.
        cameras: Cameras it needs, in its order.
        image_size: Side in pixels that images are scaled to.
        state_dim: Length of the state it needs, 0 for none.
        horizon: Actions per chunk.
        action_dim: Numbers per action, the gripper last.
        dt: Seconds per action.
        displacements: Whether actions say how far to move; False: they are joint positions.
        task: (1, T) vector of what it is asked to do; None before, or if it heeds no instruction.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Wraps a policy's checkpoint."""
        if not isinstance(checkpoint.model, _POLICIES):
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
        self.displacements: bool | None = config.displacements
        self.task: Tensor | None = None
        self.guidance = config.guidance if isinstance(config, RecapConfig) else 1.0
        self.temperature = 1.0
        if isinstance(config, RecapConfig | CqlConfig):
            self.temperature = config.temperature
        self.indicator = 'positive'
        self.candidates = 1
        # Draws are repeatable, but differ from one observation to the next.
        self._noise = torch.Generator().manual_seed(0)
        if isinstance(config, CqlConfig | BcTaskConfig | RecapConfig) and len(config.tasks) == 1:
            self.set_instruction(config.tasks[0])

    def set_instruction(self, instruction: str) -> None:
        """Sets what the robot is asked to do, for a policy of several tasks; others heed it not.

        Raises:
            UserError: The policy knows its tasks by number, and this is none of several.
        """
        self.task = self.embed(instruction)

    def ask_for(
        self,
        *,
        indicator: str = 'positive',
        guidance: float | None = None,
        temperature: float | None = None,
        candidates: int = 1,
        goes_on: bool = False,
    ) -> None:
        """Sets what is asked of the policy at run time.

        Args:
            indicator: As of the attributes.
            guidance: As of the attributes, at least 0; None: the checkpoint's.
            temperature: The same.
            candidates: As of the attributes.
            goes_on: Whether `act` will be given what to go on from.

        Raises:
            UserError: The policy cannot do it, or a number is out of its range.
        """
        if indicator not in INDICATORS:
            raise UserError(f'indicator {indicator!r}: choose {", ".join(INDICATORS)}.')
        flow = guidance is not None or goes_on
        if (flow or indicator != 'positive') and not isinstance(self._model, RecapPolicy):
            raise UserError(
                f'policy {self.name} ({self.kind}) knows no indicator, guidance or rtc: these are '
                "for RECAP's policies."
            )
        if temperature is not None and not isinstance(self._model, RecapPolicy | Cql):
            raise UserError(
                f'policy {self.name} ({self.kind}) draws nothing, so that it has no temperature.'
            )
        for name, number in (('guidance', guidance), ('temperature', temperature)):
            if number is not None and not (math.isfinite(number) and number >= 0):
                raise UserError(f'{name} is {number:g}: use a number that is 0 or more.')
        untold = isinstance(self._model, RecapPolicy) and not self._model.config.is_told
        if untold and (indicator != 'positive' or guidance not in (None, 1.0)):
            raise UserError(
                f'policy {self.name} was trained without an indicator, so that it can neither be '
                'asked for one nor be guided: leave indicator and guidance away.'
            )
        if candidates > 1 and not isinstance(self._model, Cql):
            raise UserError(
                f'policy {self.name} ({self.kind}) has no Q function to choose among candidates '
                'by; leave candidates at 1.'
            )
        self.indicator, self.candidates = indicator, candidates
        if guidance is not None:
            self.guidance = guidance
        if temperature is not None:
            self.temperature = temperature

    def reseed(self, seed: int) -> None:
        """Begins the draws anew, as for an episode that is to be the same each time it is run."""
        self._noise.manual_seed(seed)

    def embed(self, instruction: str) -> Tensor | None:
        """The task vector (1, T) of an instruction; None for a policy that heeds none.

        Raises:
            UserError: As of `set_instruction`.
        """
        if isinstance(self._model, Cql | BcTaskPolicy | RecapPolicy):
            return self._model.embed([instruction])
        return None

    @torch.no_grad()  # not inference_mode: real-time chunking needs gradients
    def act(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.floating] | None = None,
        previous: NDArray[np.floating] | None = None,
        frozen: int = 0,
    ) -> NDArray[np.float32]:
        """The next actions.

        Args:
            images: Per camera, (H, W, 3) uint8 RGB of any size.
            state: (D,) in SI units; None if `state_dim` is 0.
            previous: (K, action_dim) in SI units: what is executed and planned from this
                observation on, for the chunk to go on from (`rtc`); RECAP policies only.
            frozen: How many of these steps are executed whatever the answer is.

        Returns:
            (horizon, action_dim) float32 in SI units; the last entry is the gripper in [0, 1].

        Raises:
            ValueError: A camera is missing, a shape is wrong, the state is not finite, a policy
                of several tasks was not told which, or there are candidates and no Q function.
        """
        if self.candidates > 1 and not isinstance(self._model, Cql):
            raise ValueError(f'a policy of kind {self.kind} has no Q function to choose by')
        batched = {camera: np.asarray(image)[None] for camera, image in images.items()}
        scaled = prepare_images(batched, self.cameras, self.image_size)
        given = prepare_state(None if state is None else np.asarray(state)[None], self.state_dim, 1)
        normalised = None if given is None else self._model.normalise(given)
        seen = [to_float(each) for each in scaled]
        if isinstance(self._model, BcPolicy):
            chunk = self._model(seen, normalised)
        elif self.task is None:
            raise ValueError('no instruction is set; call set_instruction first')
        elif isinstance(self._model, RecapPolicy):
            context = self._model.context(seen, normalised, self.task)
            shape = 1, self.horizon, self.action_dim
            noise = torch.randn(shape, generator=self._noise)
            chunk = self._model.sample(
                context,
                noise,
                indicator=INDICATORS[self.indicator],
                guidance=self.guidance,
                temperature=self.temperature,
                previous=None if previous is None else self._scaled(previous),
                frozen=frozen,
            )
        elif isinstance(self._model, Cql) and self.candidates > 1:
            chunk = self._model.best_of(
                *(seen, normalised, self.task, self.candidates, self._noise),
                temperature=self.temperature,
            )
        else:
            chunk = self._model(seen, normalised, self.task)
        result: NDArray[np.float32] = self._model.actions(chunk)[0].numpy()
        return result

    def _scaled(self, rows: NDArray[np.floating]) -> Tensor:
        """Actions (K, A) in SI units as a chunk (1, K, A) of the network's."""
        assert isinstance(self._model, RecapPolicy)
        units = self._model.actions
        chunk = torch.as_tensor(np.asarray(rows, np.float32))
        scaled: Tensor = ((chunk - units.shift) / units.scale)[None]
        return scaled


def load_policy(path: Path | str, threads: int = 1) -> Policy:
    """Loads a policy.

    Args:
        path: The checkpoint's folder.
        threads: CPU threads of the whole process; one is immune to contention.

    Raises:
        UserError: The checkpoint is missing, damaged or no policy.
    """
    if threads < 1:
        raise UserError('threads must be at least 1.')
    lerobot = read_spec(path)
    if lerobot is not None:
        torch.set_num_threads(threads)
        return LerobotPolicy(path, lerobot)
    kind, _ = load_config(path)
    if not issubclass(MODULES[kind], _POLICIES):
        raise UserError(f'{path} is a checkpoint of kind "{kind}", which is no policy.')
    checkpoint = load_checkpoint(path)
    torch.set_num_threads(threads)
    return PolicyRuntime(checkpoint)
