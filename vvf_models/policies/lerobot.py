# SPDX-License-Identifier: Apache-2.0
"""Policies of LeRobot (ACT, SmolVLA, pi0 and its like) behind the interface of our own.

The checkpoint's folder is LeRobot's `pretrained_model`: its configuration, safetensors and the
processors that scale and tokenise. `config.yaml` beside them adds what LeRobot does not say; a
folder without it, trained by LeRobot alone, is taken as well. LeRobot is needed to load one, not to
read what it is.

RECAP's indicator is text here, as in pi*0.6 (arXiv 2511.14759, sec. IV-B): "Advantage: positive"
below the instruction, left out in 30 % of the training data.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vvf_models.errors import UserError

LEROBOT_CONFIG = 'config.json'
#: Policies that answer one observation with a chunk; others want several observations in a row.
POLICIES = ('act', 'smolvla', 'pi0', 'pi05', 'pi0_fast')
INSTALL = (
    'LeRobot is not installed in this environment: see docs/policies.md for one that has it and '
    'vvf (pip install lerobot==0.4.4)'
)
_IMAGES = 'observation.images.'
_STATE = 'observation.state'
INDICATORS = ('positive', 'negative', 'none')


@dataclass(frozen=True)
class LerobotSpec:
    """What a folder says of its policy.

    Attributes:
        policy: LeRobot's name of its kind.
        cameras: (height, width) in pixels, by the camera's name.
        state_dim: Length of the state, 0 for none.
        action_dim: Numbers per action.
        horizon: Actions per chunk.
        told: Whether it was trained with an indicator.
        dt: Seconds per action; NaN where nobody says.
        displacements: Whether actions say how far to move; None where nobody says.
    """

    policy: str
    cameras: dict[str, tuple[int, int]]
    state_dim: int
    action_dim: int
    horizon: int
    told: bool = False
    dt: float = math.nan
    displacements: bool | None = None


def read_spec(folder: Path | str) -> LerobotSpec | None:
    """What a folder says of its policy; None where it is none of LeRobot's.

    Raises:
        UserError: It is one, but damaged, or of a kind that cannot be used.
    """
    folder = Path(folder)
    own = folder / 'config.yaml'
    try:
        ours = yaml.safe_load(own.read_text('utf-8')) if own.is_file() else {'kind': 'lerobot'}
        if not isinstance(ours, dict) or ours.get('kind') != 'lerobot':
            return None
        if not (folder / LEROBOT_CONFIG).is_file():
            return None
        theirs = json.loads((folder / LEROBOT_CONFIG).read_text('utf-8'))
        kind = theirs.get('type')
        if kind not in POLICIES:
            raise UserError(
                f'{folder}: a LeRobot policy of kind {kind!r} cannot be used; those of '
                f'{", ".join(POLICIES)} can.'
            )
        features = theirs['input_features']
        shapes = {name: feature['shape'] for name, feature in features.items()}
        return LerobotSpec(
            policy=kind,
            cameras={
                name.removeprefix(_IMAGES): (int(shape[1]), int(shape[2]))
                for name, shape in shapes.items()
                if name.startswith(_IMAGES)
            },
            state_dim=int(shapes[_STATE][0]) if _STATE in shapes else 0,
            action_dim=int(theirs['output_features']['action']['shape'][0]),
            horizon=int(theirs['chunk_size']),
            told=bool(ours.get('told', False)),
            dt=float(ours.get('dt', math.nan)),
            displacements={None: None, True: True, False: False}[ours.get('displacements')],
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f'{folder / LEROBOT_CONFIG} is damaged; copy the folder again.') from error


def prompt(instruction: str, indicator: str) -> str:
    """The text for a policy that was trained with an indicator, one of `INDICATORS`."""
    return instruction if indicator == 'none' else f'{instruction}\nAdvantage: {indicator}'


def observation(
    spec: LerobotSpec,
    images: Mapping[str, NDArray[np.uint8]],
    state: NDArray[np.floating] | None,
    text: str,
) -> dict[str, Any]:
    """An observation as LeRobot's processors want it.

    Args:
        spec: Of the policy.
        images: Per camera, (H, W, 3) uint8 RGB of any size.
        state: (D,) in SI units; None if the policy takes none.
        text: What to do.

    Raises:
        ValueError: A camera is missing, a shape is wrong, or the state is not finite.
    """
    batch: dict[str, Any] = {'task': [text]}
    for camera, size in spec.cameras.items():
        if camera not in images:
            raise ValueError(f'no image of camera "{camera}"; given: {", ".join(images) or "none"}')
        image = np.asarray(images[camera])
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'the image of camera "{camera}" must be (H, W, 3) uint8')
        scaled = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        if scaled.shape[2:] != size:
            scaled = functional.interpolate(scaled, size, mode='bilinear', antialias=True)
        batch[f'{_IMAGES}{camera}'] = scaled
    if spec.state_dim:
        row = np.zeros(0, np.float32) if state is None else np.asarray(state, np.float32)
        if row.shape != (spec.state_dim,):
            raise ValueError(f'the state must have {spec.state_dim} numbers, not {row.shape}')
        if not np.isfinite(row).all():
            raise ValueError('the state holds NaN or infinity')
        batch[_STATE] = torch.from_numpy(row)[None]
    return batch


class LerobotPolicy:
    """A policy of LeRobot with the interface of `vvf_models.runtime.PolicyRuntime`.

    Attributes: as there.
    """

    def __init__(self, folder: Path | str, spec: LerobotSpec) -> None:
        """Loads it.

        Raises:
            UserError: LeRobot is not installed, or the files do not fit.
        """
        try:
            from lerobot.configs.policies import PreTrainedConfig
            from lerobot.policies.factory import get_policy_class, make_pre_post_processors
        except ImportError as error:
            raise UserError(f'{folder} is a LeRobot policy ({spec.policy}). {INSTALL}.') from error
        self.spec = spec
        self.kind = 'lerobot'
        self.name = Path(folder).resolve().name
        self.cameras = tuple(spec.cameras)
        self.image_size = max((max(size) for size in spec.cameras.values()), default=8)
        self.state_dim, self.action_dim = spec.state_dim, spec.action_dim
        self.horizon, self.dt = spec.horizon, spec.dt
        self.displacements = spec.displacements
        self.indicator, self.guidance, self.temperature = 'positive', 1.0, 1.0
        self.candidates = 1
        self.task: Tensor | None = None
        self._instruction = ''
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        try:
            config = PreTrainedConfig.from_pretrained(folder, local_files_only=True)
            config.device = device
            policy = get_policy_class(config.type)
            self._policy: Any = policy.from_pretrained(folder, config=config, local_files_only=True)
            self._before, self._after = make_pre_post_processors(
                config,
                str(folder),
                preprocessor_overrides={'device_processor': {'device': device}},
            )
        except Exception as error:  # LeRobot's and its libraries' own have no base in common
            said = ' '.join(str(error).split()).rstrip('.') or type(error).__name__
            raise UserError(f'{folder}: LeRobot cannot load this policy ({said}).') from error

    def set_instruction(self, instruction: str) -> None:
        """Sets what the robot is asked to do."""
        self._instruction = instruction

    def reseed(self, seed: int) -> None:
        """Begins the draws anew; LeRobot draws from torch's own generator."""
        torch.manual_seed(seed)

    def ask_for(
        self,
        *,
        indicator: str = 'positive',
        guidance: float | None = None,
        temperature: float | None = None,
        candidates: int = 1,
        goes_on: bool = False,
    ) -> None:
        """See `PolicyRuntime.ask_for`.

        Raises:
            UserError: It cannot do that.
        """
        if indicator not in INDICATORS:
            raise UserError(f'indicator {indicator!r}: choose {", ".join(INDICATORS)}.')
        if indicator != 'positive' and not self.spec.told:
            raise UserError(f'policy {self.name} was trained without an indicator.')
        if guidance is not None or temperature is not None or candidates > 1 or goes_on:
            raise UserError(
                f'policy {self.name} is one of LeRobot: guidance, temperature, candidates and rtc '
                'are for our own.'
            )
        self.indicator = indicator

    @torch.no_grad()
    def act(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.floating] | None = None,
        previous: NDArray[np.floating] | None = None,
        frozen: int = 0,
    ) -> NDArray[np.float32]:
        """See `PolicyRuntime.act`; `previous` is not looked at.

        Raises:
            ValueError: A camera is missing, a shape is wrong, or the state is not finite.
        """
        text = prompt(self._instruction, self.indicator if self.spec.told else 'none')
        batch = self._before(observation(self.spec, images, state, text))
        chunk = self._after(self._policy.predict_action_chunk(batch))
        result: NDArray[np.float32] = chunk[0].float().cpu().numpy()
        return result
