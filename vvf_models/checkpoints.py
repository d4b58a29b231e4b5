# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: a folder with weights, configuration and card; nothing in it can run code.

`model.safetensors` the weights, `config.yaml` the kind and every field of its config dataclass,
`card.md` data, command and metrics for people, `metrics.json` the metrics for programs,
`goals.safetensors` goal observations, of models that take goals.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vvf_models.config import from_mapping, to_mapping
from vvf_models.errors import UserError
from vvf_models.policies.bc import BcConfig, BcPolicy
from vvf_models.policies.bc_task import BcTaskConfig, BcTaskPolicy
from vvf_models.policies.cql import Cql, CqlConfig
from vvf_models.policies.recap import RecapConfig, RecapPolicy
from vvf_models.policies.rwr import RwrConfig, RwrPolicy
from vvf_models.values.base import ValueConfig, ValueModel
from vvf_models.values.distributional import DistributionalConfig, DistributionalValue
from vvf_models.values.icvf import Icvf, IcvfConfig
from vvf_models.values.icvf_states import StateIcvf, StateIcvfConfig
from vvf_models.values.vip import Vip, VipConfig
from vvf_models.values.viva import Viva, VivaConfig

MODEL_FILE = 'model.safetensors'
CONFIG_FILE = 'config.yaml'
CARD_FILE = 'card.md'
METRICS_FILE = 'metrics.json'
GOALS_FILE = 'goals.safetensors'
_INSTRUCTIONS = 'instructions'
# Entries that older checkpoints lack, as those were trained; of the kinds that have them.
_LATER = {
    'crop_ratio': [0.9, 1.1],
    'dropout': 0.0,
    'arms': 1,
    'displacements': True,
    'temperature': 1.0,
    'goal_radius': 0.0,
    'prior_as_target': 0.0,
    'cloned': 'all',
    'cloning': 'likelihood',
    'deviation': 0.0,
    'actor_layer_norm': False,
    'lookahead': 0,
}

CONFIGS: dict[str, type[Any]] = {
    'icvf': IcvfConfig,
    'icvf_states': StateIcvfConfig,
    'vip': VipConfig,
    'distributional': DistributionalConfig,
    'viva': VivaConfig,
    'bc': BcConfig,
    'bc_task': BcTaskConfig,
    'rwr': RwrConfig,
    'cql': CqlConfig,
    'recap': RecapConfig,
}
MODULES: dict[str, type[nn.Module]] = {
    'icvf': Icvf,
    'icvf_states': StateIcvf,
    'vip': Vip,
    'distributional': DistributionalValue,
    'viva': Viva,
    'bc': BcPolicy,
    'bc_task': BcTaskPolicy,
    'rwr': RwrPolicy,
    'cql': Cql,
    'recap': RecapPolicy,
}


@dataclass
class Checkpoint:
    """What a folder holds.

    Attributes:
        kind: One of `CONFIGS`.
        name: The folder's name.
        config: The kind's config dataclass.
        model: The module with its weights, on the CPU, in evaluation mode.
        goals: Goal observations: per camera (G, 3, S, S) uint8, 'state' (G, D) float32 in SI units;
            or, where the images may not be passed on, 'latents' (G, L); empty for a model that
            takes none.
        goal_instructions: The instruction of each goal; empty where nobody said.
    """

    kind: str
    name: str
    config: Any
    model: nn.Module
    goals: dict[str, Tensor]
    goal_instructions: tuple[str, ...] = ()


def save_checkpoint(
    folder: Path | str,
    kind: str,
    config: Any,
    weights: Mapping[str, Tensor],
    card: str,
    goals: Mapping[str, Tensor] | None = None,
    goal_instructions: Sequence[str] = (),
) -> None:
    """Writes a checkpoint, each file complete or not at all.

    Raises:
        UserError: The folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The configuration last: without it the folder is no checkpoint.
        write_tensors(folder / MODEL_FILE, weights)
        if goals:
            names = {_INSTRUCTIONS: json.dumps(list(goal_instructions))}
            write_tensors(folder / GOALS_FILE, goals, names)
        _write_text(folder / CARD_FILE, card)
        text = yaml.safe_dump({'kind': kind, **to_mapping(config)}, sort_keys=False)
        _write_text(folder / CONFIG_FILE, text)
    except OSError as error:
        raise UserError(f'{folder} cannot be written ({error}); choose another folder.') from error


def load_checkpoint(folder: Path | str, kind: str | None = None) -> Checkpoint:
    """Reads a checkpoint.

    Args:
        folder: The folder.
        kind: Which kind is wanted, if only one will do.

    Raises:
        UserError: The folder is missing, damaged, of another kind, or its weights do not fit its
            configuration.
    """
    folder = Path(folder)
    read_kind, config = load_config(folder, kind)
    model = MODULES[read_kind](config)
    tensors = read_tensors(folder / MODEL_FILE)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f'{folder / MODEL_FILE} does not fit {CONFIG_FILE} beside it; take both from one '
            f'training run.'
        ) from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise UserError(f'{folder / MODEL_FILE} holds NaN or infinity; train the model again.')
    goals: dict[str, Tensor] = {}
    instructions: tuple[str, ...] = ()
    if isinstance(model, ValueModel) and model.takes_goal and (folder / GOALS_FILE).exists():
        goals = read_tensors(folder / GOALS_FILE)
        _check_goals(folder / GOALS_FILE, goals, config)
        instructions = _goal_instructions(folder / GOALS_FILE, goals)
    return Checkpoint(read_kind, folder.resolve().name, config, model.eval(), goals, instructions)


def load_config(folder: Path | str, kind: str | None = None) -> tuple[str, Any]:
    """Kind and configuration of a checkpoint, without its weights.

    Raises:
        UserError: As for `load_checkpoint`.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise UserError(
            f'{folder} is not a checkpoint: it has no {CONFIG_FILE}; name the folder that training '
            f'wrote.'
        )
    try:
        mapping = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f'{path} is damaged; copy the checkpoint again.') from error
    if not isinstance(mapping, dict) or mapping.get('kind') not in CONFIGS:
        raise UserError(f'{path}: "kind" must be one of {", ".join(CONFIGS)}.')
    read_kind = str(mapping.pop('kind'))
    if kind is not None and read_kind != kind:
        raise UserError(f'{folder} is a checkpoint of kind "{read_kind}", but "{kind}" is wanted.')
    names = {field.name for field in fields(CONFIGS[read_kind])}
    later = {name: value for name, value in _LATER.items() if name in names}
    return read_kind, from_mapping(CONFIGS[read_kind], {**later, **mapping}, str(path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file.

    Raises:
        UserError: It is missing or is no such file; a pickle is refused like any other bytes.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UserError(f'{path} is missing; copy the checkpoint again.') from error
    except (SafetensorError, OSError) as error:
        raise UserError(f'{path} is not a safetensors file; copy the checkpoint again.') from error


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file, complete or not at all."""
    partial = path.with_name(path.name + '.partial')
    partial.touch()
    mode = partial.stat().st_mode  # safetensors would make a file that only its owner can read
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, partial, metadata)
    partial.chmod(mode)
    partial.replace(path)


def _check_goals(path: Path, goals: Mapping[str, Tensor], config: ValueConfig) -> None:
    if set(goals) == {'latents'}:
        return  # checked against the encoder when they are used
    size = config.image_size
    count = len(next(iter(goals.values()))) if goals else 0
    for camera in config.cameras:
        if camera not in goals or tuple(goals[camera].shape) != (count, 3, size, size):
            raise UserError(f'{path} does not fit {CONFIG_FILE} beside it; copy both again.')
    if config.state_dim and tuple(goals.get('state', torch.empty(0)).shape) != (
        count,
        config.state_dim,
    ):
        raise UserError(f'{path} does not fit {CONFIG_FILE} beside it; copy both again.')


def _goal_instructions(path: Path, goals: Mapping[str, Tensor]) -> tuple[str, ...]:
    count = len(next(iter(goals.values()))) if goals else 0
    with safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(_INSTRUCTIONS, '[]')
    try:
        names = json.loads(text)
        if not isinstance(names, list) or len(names) not in (0, count):
            raise ValueError
    except ValueError as error:
        raise UserError(f'{path} is damaged; copy the checkpoint again.') from error
    return tuple(str(name) for name in names)


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + '.partial')
    partial.write_text(text, encoding='utf-8')
    partial.replace(path)
