# SPDX-License-Identifier: Apache-2.0
"""The environment that a process needs to use ROS 2, from any shell, with nothing sourced.

Two kinds of installation exist, and `.venv` decides which one a process uses:

- *wheels*: ROS 2 itself lies in the virtual environment, next to `vvf_msgs`. The dynamic linker
  needs the environment's `lib` folder before Python starts. A ROS 2 that happens to be sourced as
  well is taken out, since two sets of the same libraries in one process crash.
- *sourced*: the environment sees a ROS 2 that was sourced, which is left alone; only `vvf_msgs` is
  added where the workspace does not bring its own.

Nothing here imports ROS: this runs before ROS can be imported.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from vvf.paths import config_path

#: Holds the process id while a process restarts itself, so that it does so at most once.
_RESTARTED = 'VVF_RESTARTED_PROCESS'
#: Tells the ROS wheels' own start-up hook that the library path is already set.
_WHEELS_GUARD = '_ROS_WHEELS_BOOTSTRAP_COMPLETE'
_PREFIX_PATHS = ('AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'COLCON_PREFIX_PATH')
#: What is read before Python code can run; a change of these needs a new process.
_READ_AT_START = ('LD_LIBRARY_PATH', 'PYTHONPATH')
#: Where an installation's Python packages lie in its prefix.
_PACKAGES = f'lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages'


def uses_wheels(prefix: Path | None = None) -> bool:
    """Whether ROS 2 is installed from wheels in this virtual environment."""
    return ((prefix or Path(sys.prefix)) / 'lib' / 'librcl.so').exists()


def sourced_ros(environment: Mapping[str, str] | None = None) -> Path | None:
    """The folder of a ROS 2 that was sourced in this shell, such as `/opt/ros/jazzy`."""
    env = os.environ if environment is None else environment
    own = Path(sys.prefix)
    for entry in _split(env.get('AMENT_PREFIX_PATH', '')):
        if Path(entry) != own and (Path(entry) / 'share' / 'rclpy').is_dir():
            return Path(entry)
    return None


def ros_environment(
    environment: Mapping[str, str] | None = None, prefixes: Iterable[Path] = ()
) -> dict[str, str]:
    """The environment to start a process in that uses ROS 2.

    Args:
        environment: what to start from; default: this process's.
        prefixes: further folders that packages were installed into, to be found first.

    Returns:
        A complete environment for `subprocess.Popen(..., env=...)`. What the user has set
        (middleware, profile, discovery range, domain) stays as it is.
    """
    env = dict(os.environ if environment is None else environment)
    env.pop(_RESTARTED, None)
    prefix = Path(sys.prefix)
    if uses_wheels(prefix):
        _remove_sourced_ros(env)
        _prepend(env, 'LD_LIBRARY_PATH', _library_folders(prefix))
        _prepend(env, 'AMENT_PREFIX_PATH', [str(prefix)])
        env[_WHEELS_GUARD] = '1'
        env['RMW_IMPLEMENTATION'] = 'rmw_fastrtps_cpp'  # the only one there is a wheel of
        if not {'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY'} & env.keys():
            env['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    else:
        if not _in_sourced_workspace(env) and _has_interfaces(prefix):
            _prepend(env, 'LD_LIBRARY_PATH', [str(prefix / 'lib')])
            _prepend(env, 'AMENT_PREFIX_PATH', [str(prefix)])
        env.setdefault('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    for further in prefixes:
        _prepend(env, 'LD_LIBRARY_PATH', [str(further / 'lib')])
        _prepend(env, 'AMENT_PREFIX_PATH', [str(further)])
        _prepend(env, 'PYTHONPATH', [str(further / _PACKAGES)])
    _set_profile(env)
    return env


def ensure(prefixes: Iterable[Path] = ()) -> None:
    """Give this process the environment of `ros_environment`, starting it anew if it must be.

    Call it first, before ROS is imported. The dynamic linker reads its path when a process starts,
    so where that path lacks something, the process is replaced by itself, once.
    """
    wanted = ros_environment(prefixes=prefixes)
    changed = any(os.environ.get(name) != wanted.get(name) for name in _READ_AT_START)
    if changed and os.environ.get(_RESTARTED) != str(os.getpid()):
        wanted[_RESTARTED] = str(os.getpid())
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)
    os.environ.update(wanted)
    os.environ.pop(_RESTARTED, None)


def _split(value: str) -> list[str]:
    return [part for part in value.split(os.pathsep) if part]


def _prepend(env: dict[str, str], name: str, folders: Iterable[str]) -> None:
    """Put folders in front, unless they are there already: order only matters when it changes."""
    present = _split(env.get(name, ''))
    missing = [folder for folder in folders if folder not in present]
    if missing:
        env[name] = os.pathsep.join(missing + present)


def _library_folders(prefix: Path) -> list[str]:
    site_packages = Path(sysconfig.get_paths()['purelib'])
    bundled = sorted(str(folder.resolve()) for folder in site_packages.glob('ros_*.libs'))
    return [str(prefix / 'lib'), *bundled]


def _has_interfaces(prefix: Path) -> bool:
    return (prefix / 'share' / 'vvf_msgs' / 'package.xml').exists()


def _in_sourced_workspace(env: Mapping[str, str]) -> bool:
    own = Path(sys.prefix)
    prefixes = [Path(entry) for entry in _split(env.get('AMENT_PREFIX_PATH', ''))]
    return any(_has_interfaces(prefix) for prefix in prefixes if prefix != own)


def _remove_sourced_ros(env: dict[str, str]) -> None:
    """Take every trace of a sourced ROS 2, and of the workspaces on top of it, out of `env`."""
    if sourced_ros(env) is None:
        return
    own = Path(sys.prefix)
    foreign = [Path(p) for name in _PREFIX_PATHS for p in _split(env.get(name, ''))]
    foreign = [prefix for prefix in foreign if prefix != own]
    for name in (*_PREFIX_PATHS, *_READ_AT_START):
        kept = [
            entry
            for entry in _split(env.get(name, ''))
            if not any(Path(entry).is_relative_to(prefix) for prefix in foreign)
        ]
        if kept:
            env[name] = os.pathsep.join(kept)
        else:
            env.pop(name, None)
    env.pop('ROS_DISTRO', None)


def own_profile(env: Mapping[str, str]) -> Path:
    """The Fast DDS profile for how far the nodes of an environment are to be heard."""
    alone = env.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '').upper() in ('LOCALHOST', 'OFF')
    alone = alone or env.get('ROS_LOCALHOST_ONLY') == '1'
    # Who names computers to talk to wants to be answered.
    alone = alone and not env.get('ROS_STATIC_PEERS')
    return config_path('fastdds_loopback.xml' if alone else 'fastdds.xml')


def _set_profile(env: dict[str, str]) -> None:
    # Two names of one thing: the first is read by the Fast DDS of Jazzy, the second by newer ones.
    names = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    if not any(name in env for name in names):
        env.update(dict.fromkeys(names, str(own_profile(env))))
