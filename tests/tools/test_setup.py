# SPDX-License-Identifier: Apache-2.0
"""`make setup`: steps are done once, resume after an interruption, and failures say what to do."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module(name)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load('steps', monkeypatch)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.delenv('PYTHON', raising=False)
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    return load('machine', monkeypatch)


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch, machine: ModuleType) -> ModuleType:
    return load('setup', monkeypatch)


def python(machine: ModuleType, **changes: object) -> object:
    values = {
        'executable': '/usr/bin/python3',
        'version': (3, 11),
        'venv': True,
        'headers': True,
        'rclpy': False,
    }
    return machine.Python(**{**values, **changes})


def test_a_step_is_done_once_for_each_input(steps: ModuleType, tmp_path: Path) -> None:
    done = []
    for key in ('a', 'a', 'b', 'b'):
        with steps.Steps(tmp_path, 1).step('one', key, '') as step:
            if step:
                done.append(key)
    assert done == ['a', 'b']


def test_a_step_that_was_interrupted_is_done_again_and_knows_it(
    steps: ModuleType, tmp_path: Path
) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        steps.Steps(tmp_path, 1).step('one', 'key', '') as step,
    ):
        assert not step.interrupted
        raise KeyboardInterrupt
    with steps.Steps(tmp_path, 1).step('one', 'key', '') as step:
        assert step.interrupted
    with steps.Steps(tmp_path, 1).step('one', 'key', '') as step:
        assert step is None


def test_a_failure_names_the_step_what_was_said_and_what_to_do(
    steps: ModuleType, machine: ModuleType, tmp_path: Path
) -> None:
    code = 'print("no such package"); raise SystemExit(3)'
    with (
        pytest.raises(machine.SetupError) as failure,
        steps.Steps(tmp_path, 1).step('torch', 'key', 'Check the network.') as step,
    ):
        step.run([sys.executable, '-c', code], os.environ)
    said = str(failure.value)
    assert 'no such package' in said
    assert 'Step `torch` failed' in said
    assert 'Check the network. Then run `make setup` again' in said


def test_the_key_follows_files_names_and_content(steps: ModuleType, tmp_path: Path) -> None:
    (tmp_path / 'msg').mkdir()
    file = tmp_path / 'msg' / 'A.msg'
    file.write_text('bool a')
    keys = {steps.digest('base', tmp_path), steps.digest('other', tmp_path)}
    file.write_text('bool b')
    keys.add(steps.digest('base', tmp_path))
    file.rename(tmp_path / 'msg' / 'B.msg')
    keys.add(steps.digest('base', tmp_path))
    assert len(keys) == 4


def test_packages_that_pip_did_not_finish_are_forgotten(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / 'lib' / 'python3.11' / 'site-packages'
    whole, half = folder / 'whole-1.0.dist-info', folder / 'half-1.0.dist-info'
    for record in (whole, half):
        record.mkdir(parents=True)
        (record / 'METADATA').touch()
    (whole / 'INSTALLER').write_text('pip')
    monkeypatch.setattr(setup, 'VENV', tmp_path)
    setup.forget_half_installed()
    assert [record.name for record in folder.iterdir()] == ['whole-1.0.dist-info']


def test_cmake_files_are_pointed_to_this_machine(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    share = tmp_path / 'share' / 'pkg' / 'cmake'
    share.mkdir(parents=True)
    (tmp_path / 'lib' / 'python3.11' / 'site-packages').mkdir(parents=True)
    file = share / 'pkgExport.cmake'
    built = '/opt/python/cp311-cp311'
    file.write_text(
        f'"{built}/include/python3.11;{built}/lib/python3.11/site-packages/numpy/_core/include"'
    )
    monkeypatch.setattr(setup, 'VENV', tmp_path)
    monkeypatch.setattr(setup, '_ask_python', lambda expression: '/usr/include/python3.11')
    setup.mend_cmake_paths()
    numpy = tmp_path / 'lib/python3.11/site-packages/numpy/_core/include'
    assert file.read_text() == f'"/usr/include/python3.11;{numpy}"'


def test_a_python_that_is_too_old_is_named(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, 'probe', lambda command: python(machine, version=(3, 10)))
    with pytest.raises(machine.SetupError, match=r'3\.11 or 3\.12.*is 3\.10.*apt install'):
        machine.choose_python()


def test_an_interpreter_that_lacks_nothing_is_preferred(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        'python3': python(machine, headers=False),
        'python3.12': python(machine, executable='/opt/python3.12', version=(3, 12)),
    }
    monkeypatch.setattr(machine, 'probe', found.get)
    chosen, sourced = machine.choose_python()
    assert (chosen.executable, sourced) == ('/opt/python3.12', False)


def test_all_that_is_missing_is_one_apt_command(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.shutil, 'which', lambda name: None)
    bare = python(machine, venv=False, headers=False)
    wanted = 'sudo apt install g\\+\\+ make python3.11-venv python3.11-dev'
    with pytest.raises(machine.SetupError, match=wanted):
        machine.require_tools(bare)


def test_a_sourced_ros_is_used_where_its_python_fits(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'share' / 'rclpy').mkdir(parents=True)
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    monkeypatch.setattr(machine, 'probe', lambda command: python(machine, rclpy=True))
    assert machine.choose_python()[1] is True
    monkeypatch.setattr(machine, 'probe', lambda command: python(machine, rclpy=False))
    assert machine.choose_python()[1] is False


def test_without_wheels_for_the_processor_ros_has_to_be_sourced(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, 'probe', lambda command: python(machine))
    monkeypatch.setattr(machine.platform, 'machine', lambda: 'aarch64')
    with pytest.raises(machine.SetupError, match=r'aarch64.*source /opt/ros/jazzy'):
        machine.choose_python()


def test_an_environment_that_no_longer_fits_is_refused(
    setup: ModuleType, machine: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(setup, 'VENV', tmp_path)
    fits = {'folder': str(tmp_path), 'python': 'python3.11', 'ros': ''}
    with pytest.raises(machine.SetupError, match='is gone'):
        setup.check_venv(fits)
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python').touch()
    setup.check_venv(fits)
    with pytest.raises(machine.SetupError, match='cannot be moved'):
        setup.check_venv({**fits, 'folder': '/elsewhere'})
    with pytest.raises(machine.SetupError, match='not sourced in this shell'):
        setup.check_venv({**fits, 'ros': '/opt/ros/jazzy'})


@pytest.mark.parametrize('target', ['demo', 'test', 'lint', 'types', 'train-demo', 'bench'])
def test_every_target_sets_up_first(target: str) -> None:
    done = subprocess.run(
        ['make', '--dry-run', target], cwd=TOOLS.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == 'python3 tools/setup.py'
