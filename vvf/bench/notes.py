# SPDX-License-Identifier: Apache-2.0
"""What a long measurement has found so far, so that one that was stopped can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Notes:
    """Results, a line of JSON each, in a file beside the JSON file that is to be.

    Args:
        path: of the JSON file; without one nothing is kept.

    Attributes:
        lines: what was found there and noted since.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path and path.with_name(f'{path.name}.partial')
        self.lines: list[dict[str, Any]] = []
        if self._path is not None and self._path.is_file():
            self.lines = [line for text in self._path.read_text('utf-8').splitlines()
                          if (line := _parsed(text)) is not None]  # fmt: skip
            print(f'{len(self.lines)} results of a run that was stopped are in {self._path}')

    def add(self, line: Mapping[str, Any]) -> None:
        """Keep a result."""
        self.lines.append(dict(line))
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open('a', encoding='utf-8') as file:
                file.write(json.dumps(line) + '\n')

    def finish(self, told: Callable[[dict[str, Any]], bool]) -> None:
        """Forget what the JSON file tells now; what another run has yet to tell stays."""
        if self._path is None:
            return
        kept = [line for line in self.lines if not told(line)]
        self._path.unlink(missing_ok=True)
        self.lines = []
        for line in kept:
            self.add(line)


def _parsed(text: str) -> dict[str, Any] | None:
    """A line, or None for one that was cut off when its writer was killed."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
