# SPDX-License-Identifier: Apache-2.0
"""How large the experiment is: read from `config/experiments/vptr_<size>.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vvf.errors import UserError
from vvf.paths import config_path
from vvf.schema import build

SIZES = ('tiny', 'small', 'full')
#: Phases of training that a file has to describe.
PHASES = (
    *('icvf', 'vip', 'cql_prior', 'cql_target', 'cql_alone'),
    *('bc_task_prior', 'bc_task_target', 'rwr_prior', 'rwr_target'),
)


@dataclass(frozen=True)
class Phase:
    """One run of `vvf train`.

    Attributes:
        config: a name of `config/models`.
        steps: of the optimiser.
        ms_per_step: on one undisturbed core (or the card that the size is for); for `--dry-run`.
        settings: entries of the configuration that differ from `config`.
    """

    config: str
    steps: int
    ms_per_step: float
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VptrConfig:
    """Data, training and evaluation.

    Attributes:
        image_size: side in pixels of all images, of the clips, too.
        encoder: entries of every model's configuration that make the image encoder.
        clips: of a hand, for phase 1.
        prior_episodes: of the noisy expert with the six source targets, for phase 2.
        noise: of that expert, see `vvf collect`; 1 makes 30 % succeed.
        target_sets: scenarios that the small target data are of, for phase 3.
        demonstrations: in each of these, all of them successes of the expert without noise.
        scenarios: to evaluate in.
        rollouts: in each of them.
        max_steps: of a rollout.
        candidates: of policies with a Q function, also from how many draws they take the best; 1 is
            the mean action.
        phases: by name, see `PHASES`; `cql_alone` is of CQL without prior data, in place of both.
        arm: whose data.
        cameras: of the policies.
        actions: what the policies learn from, see `vvf train`.
        seconds_per_clip: to draw one, on one core; for `--dry-run`.
        seconds_per_episode: to collect one.
        seconds_per_rollout: to try one.
    """

    image_size: int
    encoder: Mapping[str, Any]
    clips: int
    prior_episodes: int
    noise: float
    target_sets: tuple[str, ...]
    demonstrations: int
    scenarios: tuple[str, ...]
    rollouts: int
    max_steps: int
    phases: Mapping[str, Phase]
    arm: str = 'wx250s'
    cameras: tuple[str, ...] = ('shoulder', 'wrist')
    candidates: tuple[int, ...] = (1,)
    actions: str = 'executed'
    seconds_per_clip: float = 1.0
    seconds_per_episode: float = 1.0
    seconds_per_rollout: float = 1.0


def load_config(size: str) -> VptrConfig:
    """The configuration of a size, or of a YAML file.

    Raises:
        UserError: there is no such size or file, or it does not say what it should.
    """
    from vvf_sim.worlds.scenarios import SCENARIOS

    path = Path(size)
    if path.suffix not in ('.yaml', '.yml'):
        if size not in SIZES:
            raise UserError(f'there is no size {size!r}: use {", ".join(SIZES)} or a YAML file.')
        path = config_path('experiments', f'vptr_{size}.yaml')
    if not path.is_file():
        raise UserError(f'there is no file {path}; name one, or a size: {", ".join(SIZES)}.')
    try:
        entries = yaml.safe_load(path.read_text('utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is not valid YAML; mend it.') from error
    config: VptrConfig = build(VptrConfig, entries, str(path), 'the file')
    missing = [name for name in PHASES if name not in config.phases]
    if missing:
        raise UserError(f'{path}: "phases" lacks {missing[0]}; add it.')
    unknown = [n for n in (*config.target_sets, *config.scenarios) if n not in SCENARIOS]
    if unknown:
        raise UserError(f'{path}: there is no scenario {unknown[0]!r}; use {", ".join(SCENARIOS)}.')
    counts = (
        *(config.clips, config.prior_episodes, config.demonstrations, config.rollouts),
        *(config.max_steps, *config.candidates, *(phase.steps for phase in config.phases.values())),
    )
    if min(counts) < 1:
        raise UserError(f'{path}: numbers of episodes and of steps must be at least 1.')
    return config
