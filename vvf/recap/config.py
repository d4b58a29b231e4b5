# SPDX-License-Identifier: Apache-2.0
"""How large a run of RECAP's loop is, from `config/experiments/recap_<size>.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from vvf.errors import UserError
from vvf.paths import config_path
from vvf_models.config import from_mapping

SIZES = ('tiny', 'small', 'full')
VALUES = ('viva', 'distributional', 'icvf')
#: What the policy learns from: a value's indicator, everything alike, or successes only.
METHODS = (*VALUES, 'none', 'filtered')
# Entries that only say how long something is expected to take.
_EXPECTATIONS = {
    *('ms_per_step', 'ms_per_frame', 'steps_per_episode'),
    *('seconds_per_rollout', 'seconds_per_demonstration'),
}


@dataclass(frozen=True)
class ModelPlan:
    """How one model is trained.

    Attributes:
        config: name in `config/models`.
        pretrain_steps: optimiser steps on demonstrations and prior data.
        finetune_steps: optimiser steps of each fine-tuning, from the pre-trained weights.
        ms_per_step: measured, for `--dry-run`.
        ms_per_frame: of a value model that judges frames, the same.
        settings: entries of the model's configuration that differ from the file's.
    """

    config: str
    pretrain_steps: int
    finetune_steps: int
    ms_per_step: float
    ms_per_frame: float
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class LoopConfig:
    """How large everything is.

    Attributes:
        demonstrations: episodes of the task's demonstrator that are learned from; 0 for all of a
            folder that was given.
        prior: episodes of the noisy expert beside them in pre-training, 0 for none.
        autonomous: episodes that a policy collects alone in an iteration.
        corrected: episodes in an iteration that somebody watches, and corrects.
        patience: steps that an error may last before that person takes over.
        stalled: steps without a milestone before that person does, too; 0: never.
        temperature: of the noise that actions of rollouts are drawn from; policies are judged with
            their own. From 0 a policy does the same each time and shows its values little.
        eval_episodes: that every policy is judged by, of the same seeds.
        positive_ratio_pretraining: share of frames that are positive; the paper's 30 %.
        positive_ratio: the same of the rollouts in fine-tuning; the paper's 40 %.
        n_steps: frames that an advantage looks ahead in fine-tuning; in pre-training it looks to
            the end of the episode, as in the paper.
        open_failures: whether failures are judged as cut off by the time limit, which they are in
            simulation, and not as over; see `vvf_models.training.indicators.store_advantages`.
        shared_pretraining: whether the policy is pre-trained without a value, once for all.
        steps_per_episode: of a rollout, for `--dry-run`.
        seconds_per_rollout: measured, the same.
        seconds_per_demonstration: measured, the same.
        policy: how it is trained.
        values: by name.
    """

    demonstrations: int
    prior: int
    autonomous: int
    corrected: int
    patience: int
    stalled: int
    temperature: float
    eval_episodes: int
    positive_ratio_pretraining: float
    positive_ratio: float
    n_steps: int
    open_failures: bool
    shared_pretraining: bool
    steps_per_episode: float
    seconds_per_rollout: float
    seconds_per_demonstration: float
    policy: ModelPlan = field(default_factory=lambda: ModelPlan('recap', 1, 1, 0.0, 0.0, {}))
    values: Mapping[str, ModelPlan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = ('demonstrations', 'prior', 'autonomous', 'corrected', 'stalled')
        for name in (*counts, 'temperature'):
            if getattr(self, name) < 0:
                raise UserError(f'"{name}" must not be negative.')
        for name in ('patience', 'eval_episodes', 'n_steps'):
            if getattr(self, name) < 1:
                raise UserError(f'"{name}" must be at least 1.')
        if self.autonomous + self.corrected < 1:
            raise UserError('"autonomous" and "corrected" are 0: nothing would be collected.')
        for name in ('positive_ratio_pretraining', 'positive_ratio'):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f'"{name}" must lie between 0 and 1.')

    def mapping(self) -> dict[str, Any]:
        """Plain values that make a difference, for a record of what a folder was made with."""
        mapping: dict[str, Any] = _without_times(asdict(self))
        return mapping


def load_loop_config(size: str, settings: Sequence[str] = ()) -> LoopConfig:
    """The configuration of a size.

    Args:
        size: of `SIZES`, or a YAML file.
        settings: entries that differ, as `KEY=VALUE` or `policy.finetune_steps=VALUE`.

    Raises:
        UserError: (of `vvf` or of `vvf_models`) there is no such file, or an entry is wrong.
    """
    path = Path(size) if size.endswith(('.yaml', '.yml')) else _of_size(size)
    try:
        entries = yaml.safe_load(path.read_text('utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'{path} is no YAML that can be read; mend it.') from error
    if not isinstance(entries, dict):
        raise UserError(f'{path} must hold "key: value" lines.')
    for setting in settings:
        _set(entries, setting)
    where = f'{path} and --set' if settings else str(path)
    policy, values = entries.pop('policy', None), entries.pop('values', None)
    if not isinstance(policy, dict) or not isinstance(values, dict):
        raise UserError(f'{path} needs "policy" and "values", with entries below each.')
    if unknown := sorted(set(values) - set(VALUES)):
        raise UserError(f'{path}: value {unknown[0]!r} is unknown: use {", ".join(VALUES)}.')
    plans = {name: _plan(plan, f'{where}, {name}') for name, plan in values.items()}
    sizes = {f.name for f in fields(LoopConfig)} - {'policy', 'values'}
    if missing := sorted(sizes - set(entries)):
        raise UserError(f'{where}: the key "{missing[0]}" is missing; add it.')
    config = from_mapping(LoopConfig, entries, where, partial=True)
    given = {name: getattr(config, name) for name in sizes}
    return LoopConfig(**given, policy=_plan(policy, f'{where}, policy'), values=plans)


def _of_size(size: str) -> Path:
    if size not in SIZES:
        raise UserError(f'there is no size {size!r}: use {", ".join(SIZES)} or a YAML file.')
    return config_path('experiments', f'recap_{size}.yaml')


def _plan(entries: Any, where: str) -> ModelPlan:
    if not isinstance(entries, dict):
        raise UserError(f'{where} must hold "key: value" lines.')
    plain = {'ms_per_frame': 0.0, **entries}
    settings = plain.pop('settings', None) or {}
    if not isinstance(settings, dict):
        raise UserError(f'{where}: "settings" must hold "key: value" lines.')
    plan = from_mapping(_Plain, plain, where)
    if min(plan.pretrain_steps, plan.finetune_steps) < 1:
        raise UserError(f'{where}: steps must be at least 1.')
    return ModelPlan(**asdict(plan), settings=settings)


@dataclass(frozen=True)
class _Plain:
    """What of a `ModelPlan` is no mapping."""

    config: str
    pretrain_steps: int
    finetune_steps: int
    ms_per_step: float
    ms_per_frame: float


def _without_times(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: _without_times(v) for k, v in value.items() if k not in _EXPECTATIONS}


def _set(entries: dict[str, Any], setting: str) -> None:
    name, separator, text = setting.partition('=')
    if not separator or not name:
        raise UserError(f'--set {setting}: write it as KEY=VALUE.')
    *parents, last = name.split('.')
    for parent in parents:
        entries = entries.setdefault(parent, {})
        if not isinstance(entries, dict):
            raise UserError(f'--set {setting}: {parent!r} has no entries below it.')
    try:
        entries[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f'--set {setting}: the value is not valid YAML.') from error
