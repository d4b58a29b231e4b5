# SPDX-License-Identifier: Apache-2.0
"""Processes of a measurement that are talked to in lines."""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vvf.errors import UserError


class Child:
    """One process: it answers in lines, and goes on when it is sent one."""

    def __init__(self, process: subprocess.Popen[str], errors: Any) -> None:
        self.pid = process.pid
        self._process = process
        self._errors = errors

    def answer(self, timeout_s: float) -> str:
        """The next line that it says.

        Raises:
            UserError: it died, or says nothing in time.
        """
        stdout = self._process.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], timeout_s)
        line = stdout.readline() if ready else ''
        if line:
            return line
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        reason = said[-1] if said else f'no answer within {timeout_s:g} s'
        raise UserError(f'the measurement failed ({reason}); `vvf doctor` may know why.')

    def go_on(self) -> None:
        """Tell it to go on."""
        assert self._process.stdin is not None
        self._process.stdin.write('\n')
        self._process.stdin.flush()


@contextmanager
def child(module: str, arguments: Sequence[str], env: dict[str, str]) -> Iterator[Child]:
    """Run `python -m module` as long as the block lasts."""
    with tempfile.TemporaryFile('w+') as errors:
        process = subprocess.Popen(
            [sys.executable, '-m', module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=env,
        )
        try:
            yield Child(process, errors)
        finally:
            process.terminate()
            process.communicate()
