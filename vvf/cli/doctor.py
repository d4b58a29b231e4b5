# SPDX-License-Identifier: Apache-2.0
"""`vvf doctor`: what was found, what is missing, and the command that mends it.

Whatever may be broken is asked in a process of its own, so that the report is made in any case;
this module needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vvf import environment
from vvf.errors import UserError
from vvf.paths import checkpoint_path, config_path

SETUP = 'make setup'
_TIME_LIMIT_S = 60
_GB = 1e9
#: Each process that publishes has a segment of 32 MiB; a graph with two cameras has seven.
_SHARED_MEMORY_GB = 0.25
_MEMORY_GB = 4.0
_OPENGL = 'sudo apt install libegl1 libopengl0 libgl1-mesa-dri'

# Draws one grey image, since a library that is found may still fail to open a context.
_DRAW = """
from vvf_sim import gl
backend = gl.choose_backend()
if backend != 'ray':
    import mujoco
    floor = '<geom type="plane" size="1 1 1"/>'
    model = mujoco.MjModel.from_xml_string(f'<mujoco><worldbody>{floor}</worldbody></mujoco>')
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = mujoco.Renderer(model, 8, 8)
    renderer.update_scene(data)
    renderer.render()
    renderer.close()
print(backend)
"""


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: the part.
        found: what is there, in a few words.
        ok: whether that will do.
        needed: whether vvf cannot run its demo without it.
        mend: the command that mends it; empty where nothing is to mend.
    """

    name: str
    found: str
    ok: bool = True
    needed: bool = True
    mend: str = ''


def add_parser(subparsers: Any) -> None:
    """Add `vvf doctor`."""
    parser = subparsers.add_parser(
        'doctor',
        help='what is installed, what is missing, and the command that mends it',
        description='Look at the installation and the machine. Exit code 1: a needed part is '
        'missing.',
        epilog='example: vvf doctor --json doctor.json',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the findings there too')


def run(args: argparse.Namespace) -> int:
    """Run `vvf doctor`."""
    checks = []
    for check in CHECKS:
        checks.append(check())
        print(_line(checks[-1]), flush=True)
    broken = [check for check in checks if check.needed and not check.ok]
    commands = dict.fromkeys(check.mend for check in checks if not check.ok and check.mend)
    if commands:
        print('\nTo mend what is missing:')
        for command in commands:
            names = ', '.join(c.name for c in checks if c.mend == command and not c.ok)
            print(f'  {command}    ({names})')
    else:
        print('\nNothing is missing.')
    if args.json:
        report = {'ok': not broken, 'checks': [asdict(check) for check in checks]}
        try:
            args.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
        except OSError as error:
            raise UserError(f'cannot write {args.json}: {error.strerror}.') from error
    return 1 if broken else 0


def _line(check: Check) -> str:
    mark = 'ok' if check.ok else 'MISSING' if check.needed else 'note'
    return f'{mark:8}{check.name:15}{check.found}'


def _ask(code: str) -> tuple[bool, str]:
    """Run Python code in a process of its own; its last line, or that of its error."""
    try:
        answer = subprocess.run(
            [sys.executable, '-c', code],
            capture_output=True,
            text=True,
            timeout=_TIME_LIMIT_S,
            env=environment.ros_environment(),
        )
    except subprocess.TimeoutExpired:
        return False, f'no answer within {_TIME_LIMIT_S} s'
    good = answer.returncode == 0
    lines = (answer.stdout if good else answer.stderr).strip().splitlines()
    return good, lines[-1] if lines else f'ended with code {answer.returncode}'


def _imports(name: str, code: str, mend: str = SETUP) -> Check:
    good, found = _ask(code)
    return Check(name, found, good, mend='' if good else mend)


def check_python() -> Check:
    """Python itself."""
    version = '.'.join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] in ((3, 11), (3, 12))
    mend = '' if good else 'make setup PYTHON=python3.12'
    return Check('Python', f'{version}, {sys.executable}', good, mend=mend)


def check_machine() -> Check:
    """Cores and memory."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GB
    found = f'{cores} {"core" if cores == 1 else "cores"}, {memory:.0f} GB of memory'
    return Check('machine', found, memory >= _MEMORY_GB, needed=False)


def check_torch() -> Check:
    """Whether torch loads, and on what it would run."""
    return _imports(
        'torch',
        'import torch; c = torch.cuda; '
        'print(torch.__version__, "on", c.get_device_name() if c.is_available() else "CPU")',
    )


def check_packages() -> Check:
    """The other packages that everything stands on."""
    return _imports(
        'packages',
        'import av, cv2, gymnasium, mcap, numpy, pyarrow, rich, rosbags, safetensors, scipy, yaml; '
        'cv2.calibrateHandEye; print("OpenCV", cv2.__version__ + ", NumPy", numpy.__version__)',
    )


def check_ros() -> Check:
    """ROS 2: sourced, or from wheels."""
    good, found = _ask('import rclpy; print(rclpy.__file__)')
    if environment.uses_wheels():
        source = 'Jazzy from wheels, in ' + sys.prefix
        mend = SETUP
    else:
        folder = environment.sourced_ros()
        source = f'{os.environ.get("ROS_DISTRO", "?")} of {folder}, sourced' if folder else 'none'
        mend = SETUP if folder is None else f'source {folder}/setup.bash && make setup'
    return Check('ROS 2', source if good else f'{source}: {found}', good, mend='' if good else mend)


def check_interfaces() -> Check:
    """vvf_msgs, and whether its libraries load."""
    return _imports(
        'vvf_msgs',
        'import vvf_msgs, vvf_msgs.msg as m, vvf_msgs.action, vvf_msgs.srv; '
        'm.ValueEstimate.__class__.__import_type_support__(); print(vvf_msgs.__path__[0])',
    )


def check_middleware() -> Check:
    """Which DDS is used, and whether images fit through it."""
    env = environment.ros_environment()
    good, found = _ask('import rclpy; print(rclpy.get_rmw_implementation_identifier())')
    if not good:
        return Check('middleware', found, ok=False, mend=SETUP)
    reach = env.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET').lower()
    where = f'domain {env.get("ROS_DOMAIN_ID", "0")}, {reach}'
    if found != 'rmw_fastrtps_cpp':
        return Check('middleware', f'{found}, {where}', mend='')
    profile = Path(env.get('FASTRTPS_DEFAULT_PROFILES_FILE', ''))
    if not profile.is_file():
        missing = f'{found}, {where}; the profile {profile} does not exist'
        return Check('middleware', missing, ok=False, mend='unset FASTRTPS_DEFAULT_PROFILES_FILE')
    own = profile.samefile(environment.own_profile(env))
    return Check('middleware', f'{found}, {where}, {"" if own else "your "}profile {profile}')


def check_shared_memory() -> Check:
    """Room for images on their way between processes."""
    folder = Path('/dev/shm')
    if not folder.is_dir():
        return Check('shared memory', 'no /dev/shm: images go by UDP', ok=False, needed=False)
    usage = shutil.disk_usage(folder)
    found = f'/dev/shm: {usage.free / _GB:.2f} of {usage.total / _GB:.2f} GB free'
    if usage.free / _GB >= _SHARED_MEMORY_GB:
        return Check('shared memory', found, needed=False)
    mend = 'sudo mount -o remount,size=1G /dev/shm (in Docker: docker run --shm-size=1g)'
    return Check('shared memory', f'{found}, too little for images', False, False, mend)


def check_mujoco() -> Check:
    """The simulator."""
    return _imports('MuJoCo', 'import mujoco; print(mujoco.__version__)')


def check_opengl() -> Check:
    """How the simulator's cameras draw."""
    good, found = _ask(_DRAW)
    if not good:
        return Check('OpenGL', found, ok=False, needed=False, mend=_OPENGL)
    if found == 'ray':
        slow = 'none: the simulated cameras use the slower ray caster'
        return Check('OpenGL', slow, ok=False, needed=False, mend=_OPENGL)
    return Check('OpenGL', found, needed=False)


def check_cameras() -> Check:
    """Cameras plugged into this computer; the simulator needs none."""
    devices = sorted(Path('/dev').glob('video*'))
    if not devices:
        return Check('cameras', 'none plugged in (the simulation brings its own)', needed=False)
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    names = ', '.join(map(str, devices))
    if closed:
        mend = 'sudo usermod -aG video $USER, and log in again'
        return Check('cameras', f'{names}; no right to open {closed[0]}', False, False, mend)
    return Check('cameras', names, needed=False)


def check_checkpoints() -> Check:
    """The models that the demos run."""
    import yaml  # here, so that a missing package is one line of the report

    files = [config_path('tasks', f'{task}.yaml') for task in ('box_assembly', 'pick_place')]
    tasks = [yaml.safe_load(file.read_text(encoding='utf-8')) for file in files]
    models = [task['models'] for task in tasks]
    names = [Path(of[role]).name for of in models for role in ('value', 'policy') if of.get(role)]
    missing = [name for name in names if checkpoint_path(name) is None]
    if missing:
        return Check('checkpoints', f'no {", ".join(missing)}', ok=False, mend='make train-demo')
    return Check('checkpoints', ', '.join(names))


def _guarded(check: Callable[[], Check]) -> Callable[[], Check]:
    """A check that fails is a finding, not the end of the report."""

    def guarded() -> Check:
        try:
            return check()
        except Exception as error:
            name = check.__name__.removeprefix('check_').replace('_', ' ')
            return Check(name, f'{type(error).__name__}: {error}', ok=False, mend=SETUP)

    return guarded


CHECKS: tuple[Callable[[], Check], ...] = tuple(
    _guarded(check)
    for check in (
        check_python,
        check_machine,
        check_torch,
        check_packages,
        check_ros,
        check_interfaces,
        check_middleware,
        check_shared_memory,
        check_mujoco,
        check_opengl,
        check_cameras,
        check_checkpoints,
    )
)
