# SPDX-License-Identifier: Apache-2.0
"""Real data that tests read where it is present and that is never committed."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_data(name: str) -> Path:
    """Path of a file or folder of the shared data; skips the test where it is absent."""
    root = Path(os.environ.get('VVF_SHARED', REPOSITORY.parent / 'shared'))
    path = root / 'data' / name
    if not path.exists():
        pytest.skip(f'{name} is not in {root / "data"}: set VVF_SHARED to where the data is')
    return path
