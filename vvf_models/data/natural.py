# SPDX-License-Identifier: Apache-2.0
"""Names in the order that people expect: frame_2 before frame_10."""

import re
from collections.abc import Iterable
from pathlib import Path


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Key to sort names by, with the numbers in them compared as numbers."""
    parts = re.findall(r'[0-9]+|[^0-9]+', name)
    return [(0, int(part), '') if part[0] in '0123456789' else (1, 0, part) for part in parts], name


def natural(paths: Iterable[Path]) -> list[Path]:
    """Paths in the natural order of their names."""
    return sorted(paths, key=lambda path: natural_key(path.name))
