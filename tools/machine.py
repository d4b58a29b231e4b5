# SPDX-License-Identifier: Apache-2.0
"""What `make setup` needs from the machine: a Python, a compiler, room on the disk."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ((3, 11), (3, 12))
#: What an installation takes with the CPU build of torch and with the CUDA one, while it unpacks.
ROOM_CPU_GB, ROOM_CUDA_GB = 4, 9

_PROBE = """
import importlib.util, json, os, sys, sysconfig
try:
    import rclpy
except Exception:
    rclpy = None
print(json.dumps({
    'executable': sys.executable,
    'version': sys.version_info[:2],
    'venv': bool(importlib.util.find_spec('venv') and importlib.util.find_spec('ensurepip')),
    'headers': os.path.exists(os.path.join(sysconfig.get_paths()['include'], 'Python.h')),
    'rclpy': rclpy is not None,
}))
"""


class SetupError(Exception):
    """What is wrong, and what to do about it, in a sentence or two."""


@dataclass(frozen=True)
class Python:
    """An interpreter that was found."""

    executable: str
    version: tuple[int, int]
    venv: bool
    headers: bool
    rclpy: bool

    @property
    def name(self) -> str:
        """As Debian and Ubuntu call it: `python3.11`."""
        return 'python{}.{}'.format(*self.version)


def sourced_ros() -> Path | None:
    """The folder of the ROS 2 that is sourced in this shell."""
    if not os.environ.get('ROS_DISTRO'):
        return None
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    return next((p for p in prefixes if (p / 'share' / 'rclpy').is_dir()), None)


def probe(command: str) -> Python | None:
    """Ask an interpreter about itself; `None` where the command does not run."""
    executable = shutil.which(command)
    if executable is None:
        return None
    answer = subprocess.run([executable, '-c', _PROBE], capture_output=True, text=True)
    if answer.returncode != 0:
        return None
    found = json.loads(answer.stdout.splitlines()[-1])
    return Python(**{**found, 'version': tuple(found['version'])})


def find_pythons() -> list[Python]:
    """The interpreters that vvf can run on, best first: `$PYTHON` alone where that is set."""
    asked = os.environ.get('PYTHON', '')
    commands = [asked] if asked else ['python3', 'python3.12', 'python3.11']
    found = [python for python in map(probe, commands) if python is not None]
    usable = [python for python in found if python.version in SUPPORTED]
    if not usable:
        seen = ', '.join('{} is {}.{}'.format(p.executable, *p.version) for p in found)
        raise SetupError(
            f'vvf needs Python 3.11 or 3.12, and found none ({seen or "no Python at all"}). '
            'On Debian and Ubuntu: `sudo apt install python3.11 python3.11-venv python3.11-dev`; '
            'one in another place: `make setup PYTHON=/path/to/python3.12`.'
        )
    return usable


def choose_python() -> tuple[Python, bool]:
    """The interpreter to use, and whether it uses the ROS 2 that is sourced.

    Raises:
        SetupError: none fits, or something that is needed to build with it is missing.
    """
    pythons = find_pythons()
    if sourced_ros():
        with_ros = [python for python in pythons if python.rclpy]
        if with_ros:
            require_tools(with_ros[0])
            return with_ros[0], True
        print(
            f'ROS 2 {os.environ["ROS_DISTRO"]} is sourced, but {pythons[0].name} cannot import its '
            'rclpy: ROS 2 Jazzy is installed from wheels instead.'
        )
    complete = [python for python in pythons if python.venv and python.headers]
    python = (complete or pythons)[0]
    require_tools(python)
    if platform.machine() != 'x86_64':
        raise SetupError(
            f'There are wheels of ROS 2 for x86_64 only, and this is {platform.machine()}: '
            'install ROS 2 Jazzy from its apt repository, source /opt/ros/jazzy/setup.bash, '
            'and run this again.'
        )
    return python, False


def require_tools(python: Python) -> None:
    """Raise a `SetupError` that names every missing program in one apt command."""
    missing = {
        'g++': shutil.which(os.environ.get('CXX') or 'c++') or shutil.which('g++'),
        'make': shutil.which('make'),
        f'{python.name}-venv': python.venv,
        f'{python.name}-dev': python.headers,
    }
    packages = [package for package, there in missing.items() if not there]
    if packages:
        raise SetupError(
            f'These are needed to build the messages and are missing: {", ".join(packages)}. '
            f'Install them with `sudo apt install {" ".join(packages)}` and run this again.'
        )


def require_room(folder: Path) -> None:
    """Raise a `SetupError` where the disk is too full for an installation from nothing."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < ROOM_CPU_GB:
        raise SetupError(
            f'{folder} has {free_gb:.1f} GB free, and the installation needs {ROOM_CPU_GB} GB: '
            'make room and run this again.'
        )
    if free_gb < ROOM_CUDA_GB:
        print(
            f'{folder} has {free_gb:.1f} GB free: enough for the CPU build of torch, but the CUDA '
            f'one needs {ROOM_CUDA_GB} GB.'
        )
