# SPDX-License-Identifier: Apache-2.0
"""Where the project's files lie: in the source tree, or in an installed package's share folder."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def share() -> Path:
    """The folder that holds `config/`, `calibration/` and `checkpoints/`."""
    source = Path(__file__).resolve().parent.parent
    if (source / 'config' / 'tasks').is_dir():
        return source
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        installed = Path(prefix) / 'share' / 'vvf'
        if prefix and (installed / 'config' / 'tasks').is_dir():
            return installed
    raise FileNotFoundError('the config folder of vvf was not found: build or install the package')


def config_path(*parts: str) -> Path:
    """A file below `config/`."""
    return share().joinpath('config', *parts)


def checkpoint_path(name: str | Path) -> Path | None:
    """A checkpoint folder by path, or by name below `checkpoints/`; `None` where there is none."""
    if not str(name):
        return None
    candidates = [Path(name), share() / name]
    if Path(name).name == str(name):
        candidates.append(share() / 'checkpoints' / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate.absolute()
    return None
