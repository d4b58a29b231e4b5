# SPDX-License-Identifier: Apache-2.0
"""Runs a graph as supervised processes, where there is no `ros2 launch`.

A node that dies is reported in one line and, where its spec allows, started again; stopping goes
in order: first what moves, then the rest, and nothing outlives `STOP_WITHIN_S`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import yaml

from vvf.environment import ros_environment
from vvf.node_spec import NodeSpec
from vvf.processes import PARENT, USER_ERROR

STOP_WITHIN_S = 12.0  # from Ctrl-C to nothing left; most of it is the arm's way to its sleep pose
_ARM_TIME_S = 10.0  # at parking pace, from the farthest posture of any of our arms
_MARGIN_S = 0.4
_MAX_RESTARTS = 5


def node_command(spec: NodeSpec, parameter_file: Path) -> list[str]:
    """The command line of one node; an argument list, never a shell line."""
    if spec.package == 'vvf':
        command = [sys.executable, '-m', f'vvf.nodes.{spec.executable}']
        files = [spec.parameter_file, parameter_file]
    else:
        command = [spec.executable]
        files = [parameter_file]
        if spec.executable == 'rviz2':
            command += ['-d', str(spec.parameters['config'])]
    command += ['--ros-args', '-r', f'__node:={spec.name}']
    if spec.namespace:
        command += ['-r', f'__ns:={spec.namespace}']
    for source, target in spec.remappings:
        command += ['-r', f'{source}:={target}']
    for file in files:
        command += ['--params-file', str(file)]
    return command


@dataclass
class _Child:
    spec: NodeSpec
    process: subprocess.Popen[str]
    restarts: int = 0
    started: float = field(default_factory=time.monotonic)
    finished: bool = False


class Supervisor:
    """Starts, watches and stops the processes of a graph.

    Use as a context manager; leaving it stops everything.

    Args:
        specs: the graph.
        log: gets every line that is worth a person's eye.
        log_dir: where each node's output is kept, one file for each.
        quiet: keep the nodes' own INFO lines out of `log` (they are in the files).
    """

    def __init__(
        self,
        specs: Sequence[NodeSpec],
        *,
        log: Callable[[str], None] = print,
        log_dir: Path | None = None,
        quiet: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._specs = list(specs)
        self._log = log
        self._quiet = quiet
        self._log_dir = log_dir
        self._environment = environment if environment is not None else ros_environment()
        # Several small networks on few cores: more threads than one only make them wait.
        self._environment.setdefault('OMP_NUM_THREADS', '1')
        self._environment['PYTHONUNBUFFERED'] = '1'
        self._environment[PARENT] = str(os.getpid())
        self._scratch = tempfile.TemporaryDirectory(prefix='vvf-')
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None
        self._readers: list[threading.Thread] = []
        self.failure: str | None = None

    def __enter__(self) -> Supervisor:
        try:
            for spec in self._specs:
                self._start(spec)
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name='supervisor', daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pid(self, name: str) -> int:
        """Process id of a node; it changes when the node is started again."""
        with self._lock:
            return self._children[name].process.pid

    def restarts(self, name: str) -> int:
        """How often a node was started again."""
        with self._lock:
            return self._children[name].restarts

    def alive(self) -> dict[str, bool]:
        """Which nodes run."""
        with self._lock:
            return {n: c.process.poll() is None for n, c in self._children.items()}

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the graph ends by itself, as when a replay is through; True if it did."""
        return self._finished.wait(timeout)

    def stop(self) -> None:
        """Stop everything within `STOP_WITHIN_S`: what moves first, then the rest."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._stopping.set()
            children = list(self._children.values())
        began = time.monotonic()
        self._end([c for c in children if c.spec.stop_first], began + _ARM_TIME_S)
        self._end([c for c in children if not c.spec.stop_first], began + STOP_WITHIN_S - _MARGIN_S)
        for reader in self._readers:
            reader.join(timeout=0.3)
        self._finished.set()
        self._over.set()
        self._scratch.cleanup()

    def _end(self, children: Sequence[_Child], deadline: float) -> None:
        running = [c for c in children if c.process.poll() is None]
        for child in running:
            child.process.send_signal(signal.SIGINT)
        for child in running:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._log(f'[vvf] {child.spec.name} did not stop in time; it was ended')
                child.process.kill()
                child.process.wait()

    def _start(self, spec: NodeSpec) -> None:
        file = Path(self._scratch.name) / f'{spec.name}.yaml'
        file.write_text(yaml.safe_dump({'/**': {'ros__parameters': dict(spec.parameters)}}))
        try:
            process = subprocess.Popen(
                node_command(spec, file),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches us alone, so that the order is ours
            )
        except FileNotFoundError:
            self._log(f'[vvf] {spec.executable} is not installed; the graph runs without it')
            return
        with self._lock:
            old = self._children.get(spec.name)
            restarts = old.restarts + 1 if old else 0
            self._children[spec.name] = _Child(spec, process, restarts)
        assert process.stdout is not None
        reader = threading.Thread(target=self._read, args=(spec.name, process.stdout), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _read(self, name: str, stream: IO[str]) -> None:
        """Keep a node's output; a full disk or a closed terminal must not block the node."""
        file = None
        if self._log_dir:
            with suppress(OSError):
                self._log_dir.mkdir(parents=True, exist_ok=True)
                file = (self._log_dir / f'{name}.log').open('a', buffering=1)
        for line in stream:
            with suppress(OSError):
                if file:
                    file.write(line)
            if not self._quiet or '[WARN]' in line or '[ERROR]' in line or '[FATAL]' in line:
                with suppress(OSError):
                    self._log(f'[{name}] {line.rstrip()}')
        if file:
            with suppress(OSError):
                file.close()

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            with self._lock:
                dead = [
                    c
                    for c in self._children.values()
                    if c.process.poll() is not None and not c.finished
                ]
            for child in dead:
                self._died(child)
        # The kernel takes the end of the thread that started a child for the end of its parent.
        self._over.wait()

    def _died(self, child: _Child) -> None:
        code = child.process.returncode
        child.finished = True
        name = child.spec.name
        how = f'signal {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'
        if child.spec.package != 'vvf':
            self._log(f'[vvf] {name} ended')
        elif code == 0 and not child.spec.respawn:
            self._finished.set()
        elif code == USER_ERROR:
            self._give_up(f'{name} refused its settings')
        elif not child.spec.respawn:
            self._give_up(f'{name} died ({how})')
        elif child.restarts >= _MAX_RESTARTS:
            self._give_up(f'{name} died {child.restarts + 1} times ({how})')
        else:
            with self._lock:
                if not self._stopping.is_set():
                    self._log(f'[vvf] {name} died ({how}); starting it again')
                    self._start(child.spec)

    def _give_up(self, why: str) -> None:
        self.failure = why
        self._log(f'[vvf] {why}; stopping')
        self._finished.set()
