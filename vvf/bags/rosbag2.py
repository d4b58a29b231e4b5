# SPDX-License-Identifier: Apache-2.0
"""`ros2 bag record`, rosbag2's own C++ recorder, as the recorder of an episode.

It runs as a process of its own and takes the messages from the middleware itself; outcome,
provenance and audit are written into its bag when it has ended. The bag's topics and their quality
of service are those of the task, as with our own recorder.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vvf.bags.audit import AUDIT, RecordingAudit, audit_recording
from vvf.bags.recorder import update_custom_data
from vvf.bags.topics import TopicAudit
from vvf.bags.writer import COMPLETE
from vvf.errors import UserError
from vvf.task import TaskSpec

NODE_NAME = 'vvf_rosbag2'
"""Of the process that records: whoever subscribes under this name is it."""
_GRACE_S = 0.3  # for the last messages, on their way when an episode ends
_PATIENCE_S = 10.0


def find_ros2() -> str:
    """The `ros2` program.

    Raises:
        UserError: it is not installed.
    """
    program = shutil.which('ros2')
    if program is None:
        raise UserError(
            'recorder rosbag2 needs the program `ros2`, which is not on the PATH: source a ROS 2 '
            'that has ros2bag and rosbag2_storage_mcap, or use recorder:=vvf.'
        )
    return program


def record_command(program: str, path: Path, task: TaskSpec, qos_file: Path) -> list[str]:
    """The command line that records a task into a bag; see `ros2 bag record --help` of Jazzy."""
    return [
        program, 'bag', 'record', '--storage', 'mcap', '--storage-preset-profile', 'zstd_fast',
        '--output', str(path), '--node-name', NODE_NAME, '--disable-keyboard-controls',
        '--include-unpublished-topics', '--qos-profile-overrides-path', str(qos_file),
        '--topics', *(t.topic for t in task.recorded_topics()),
    ]  # fmt: skip


def qos_overrides(task: TaskSpec, *, reliable: bool = False) -> dict[str, dict[str, Any]]:
    """The quality of service to subscribe with, by topic, as `ros2 bag record` reads it."""
    return {
        topic.topic: {
            'history': 'keep_last',
            'depth': 1000,
            'reliability': 'best_effort' if topic.qos == 'sensor' and not reliable else 'reliable',
            'durability': 'transient_local' if topic.qos == 'latched' else 'volatile',
        }
        for topic in task.recorded_topics()
    }


class Rosbag2Recorder:
    """One episode, recorded by a process of `ros2 bag record`.

    Args:
        path: folder of the bag; it must not exist.
        task: whose `recorded_topics` are recorded.
        custom_data: provenance, written into the bag at its end.
        reliable: subscribe to everything reliably.

    Raises:
        UserError: `ros2` is not installed, or the folder exists.
    """

    written = 0
    dropped = 0

    def __init__(
        self,
        path: Path,
        task: TaskSpec,
        custom_data: Mapping[str, str],
        *,
        reliable: bool = False,
    ) -> None:
        program = find_ros2()
        if path.exists():
            raise UserError(f'{path} exists already and is never overwritten')
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._task = task
        self._custom_data = dict(custom_data)
        self._scratch = tempfile.TemporaryDirectory(prefix='vvf-rosbag2-')
        qos_file = Path(self._scratch.name) / 'qos.yaml'
        qos_file.write_text(yaml.safe_dump(qos_overrides(task, reliable=reliable)), 'utf-8')
        self._said = tempfile.TemporaryFile('w+')  # noqa: SIM115  # open as long as the process
        self._process = subprocess.Popen(
            record_command(program, path, task, qos_file),
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us, and we end it when its bag is complete
            preexec_fn=_interrupt_with_parent,
        )

    @property
    def error(self) -> UserError | None:
        """That the process has ended although nobody asked it to."""
        if self._process.poll() is None:
            return None
        self._said.seek(0)
        lines = [line for line in self._said.read().splitlines() if line.strip()]
        why = lines[-1].strip() if lines else f'exit code {self._process.returncode}'
        return UserError(f'`ros2 bag record` has ended: {why}')

    def write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Nothing: the process takes messages from the middleware itself."""

    def settle(self, lost: Mapping[str, int] | None = None) -> None:
        """Nothing is known before the bag is complete."""

    def close(
        self, outcome: str, note: str = '', lost: Mapping[str, int] | None = None
    ) -> RecordingAudit:
        """End the process, and write outcome, provenance and audit into its bag."""
        failed = self.error
        complaints = [str(failed)] if failed else []
        if not failed:
            time.sleep(_GRACE_S)
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                complaints.append('`ros2 bag record` did not end in time and was killed')
        self._said.close()
        self._scratch.cleanup()
        try:
            audit = finish_bag(self.path, self._task, self._custom_data, outcome, note)
        except UserError as error:
            return RecordingAudit({}, 0.0, (*complaints, str(error)))
        return RecordingAudit(audit.topics, audit.seconds, (*complaints, *audit.complaints))


def finish_bag(
    path: Path, task: TaskSpec, custom_data: Mapping[str, str], outcome: str, note: str
) -> RecordingAudit:
    """Audit a bag of rosbag2, and give it the custom data that our own recorder would write.

    Raises:
        UserError: it cannot be read, or has no metadata.
    """
    from vvf.bags.reader import open_bag

    recorded = {t.topic: TopicAudit() for t in task.recorded_topics()}
    with open_bag(path) as bag:
        for topic, _, stamp, _ in bag.messages():
            recorded.setdefault(topic, TopicAudit()).add(stamp)
    audit = audit_recording(task, recorded)
    notes = {'outcome': outcome, 'note': note, 'dropped': '0', COMPLETE: 'true'}
    update_custom_data(path, {**custom_data, **notes, AUDIT: audit.to_json()})
    return audit


def _interrupt_with_parent() -> None:
    """A recorder whose episode node was killed completes its bag instead of recording for ever."""
    pr_set_pdeathsig = 1
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)
