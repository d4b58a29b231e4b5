# SPDX-License-Identifier: Apache-2.0
"""Steps that are done once: each leaves a stamp, so a later run knows what is left to do."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from machine import SetupError

_PR_SET_PDEATHSIG = 1
AGAIN = 'Then run `make setup` again: it goes on where it stopped.'


def digest(*parts: str | Path) -> str:
    """A key that changes when one of the texts, files or folders changes."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode())
            continue
        files = sorted(p for p in part.rglob('*') if p.is_file()) if part.is_dir() else [part]
        for file in files:
            total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


class Steps:
    """Runs the steps of an installation in order, skipping those that are done.

    Args:
        folder: where stamps and the log are kept.
        total: number of steps, for the progress line.
    """

    def __init__(self, folder: Path, total: int) -> None:
        self.folder = folder
        self.total = total
        self.log = folder / 'setup.log'
        self.number = 0
        self.ran = 0

    def stamp(self, name: str) -> Path:
        """The file that says, by its content, for which input a step was done."""
        return self.folder / f'{name}.done'

    @contextlib.contextmanager
    def step(self, name: str, key: str, advice: str) -> Iterator[Step | None]:
        """`with steps.step(...) as step: if step: ...`; gives `None` where nothing is to do.

        Args:
            name: one word, shown and used for the stamp.
            key: what the step depends on; it is done again when this changes.
            advice: what to do when it fails.
        """
        self.number += 1
        stamp, begun = self.stamp(name), self.folder / f'{name}.begun'
        if stamp.exists() and stamp.read_text() == key:
            yield None
            return
        self.ran += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        step = Step(f'[{self.number}/{self.total}] {name}', self.log, begun.exists())
        begun.touch()
        stamp.unlink(missing_ok=True)
        try:
            yield step
        except (subprocess.CalledProcessError, OSError) as error:
            lines = self.log.read_text(errors='replace').splitlines()[-12:]
            tail = '\n'.join([*lines, str(error)])
            raise SetupError(
                f'{tail}\n\nStep `{name}` failed; everything it said is in {self.log}.\n{advice} '
                f'{AGAIN}'
            ) from None
        stamp.write_text(key)
        begun.unlink()
        step.say('done', end='\n')

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second `make setup` from working in the same folder at the same time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / 'lock').open('w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print('Another `make setup` is at work here: waiting for it.', flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Step:
    """One step while it runs."""

    def __init__(self, title: str, log: Path, interrupted: bool) -> None:
        self.title = title
        self.log = log
        #: An earlier run began this step and did not finish it.
        self.interrupted = interrupted
        self.started = time.monotonic()
        if not sys.stdout.isatty():
            print(f'{title} ...', flush=True)

    def say(self, text: str, end: str = '') -> None:
        """Rewrite the progress line on a terminal; elsewhere only what ends a line is shown."""
        line = f'{self.title}: {text} ({time.monotonic() - self.started:.0f} s)'
        if sys.stdout.isatty():
            width = os.get_terminal_size().columns - 1
            print(f'\r\x1b[K{line[:width]}', end=end, flush=True)
        elif end:
            print(line, flush=True)

    def run(self, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        """Run a command to its end; its output goes to the log, its last line is shown.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        words = [str(word) for word in command]
        with self.log.open('ab') as log:
            log.write(f'\n$ {" ".join(words)}\n'.encode())
            log.flush()
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env),
                preexec_fn=_die_with_parent,
            )
            try:
                while child.poll() is None:
                    self.say(_last_line(self.log))
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(0.3)
            finally:
                child.kill()
                child.wait()
        if child.returncode != 0:
            raise subprocess.CalledProcessError(child.returncode, words)


def _die_with_parent() -> None:
    # An orphan would go on writing into the folder that the next run repairs.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _last_line(file: Path) -> str:
    with file.open('rb') as log:
        log.seek(max(0, file.stat().st_size - 400))
        lines = log.read().decode(errors='replace').split('\n')
    return next((line.strip() for line in reversed(lines) if line.strip()), '')
