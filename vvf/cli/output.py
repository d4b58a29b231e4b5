# SPDX-License-Identifier: Apache-2.0
"""What the commands share: progress bars and numbers as JSON."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(TextColumn):
    """Items per second."""

    def __init__(self, unit: str) -> None:
        super().__init__('')
        self._unit = unit

    def render(self, task: Any) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get('unit', self._unit)
        return Text('' if speed is None else f'{speed:.1f} {unit}/s', style='cyan')


def progress_bar(unit: str, console: Console | None = None) -> Progress:
    """Bars with count, rate and an estimate of what is left; for `with`.

    Args:
        unit: what is counted; a task may have another, as its field `unit`.
        console: where it is drawn.
    """
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TextColumn('left:'),
        TimeRemainingColumn(),
        console=console,
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`."""
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers to FILE')


def write_json(path: Path | None, numbers: Mapping[str, Any]) -> None:
    """Write numbers with stable keys; what is not finite becomes null."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_plain(numbers), indent=2) + '\n', 'utf-8')


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, 'item'):
        return _plain(value.item())
    return value
