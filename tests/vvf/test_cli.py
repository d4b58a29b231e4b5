# SPDX-License-Identifier: Apache-2.0
import argparse
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vvf import __version__
from vvf.cli.main import COMMANDS, main
from vvf.errors import UserError, is_user_error


def command(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """Put a command `doctor` in place of the real one, which runs `run`."""
    module = ModuleType('vvf.cli.doctor')
    module.add_parser = lambda subparsers: subparsers.add_parser('doctor')  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'vvf.cli.doctor', module)


def raises(error: BaseException) -> Any:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize('package', ['vvf', 'vvf_models', 'vvf_sim'])
def test_a_user_error_is_one_sentence_and_exit_code_2(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = importlib.import_module(f'{package}.errors').UserError('there is no bag here.')
    command(monkeypatch, raises(error))
    assert main(['doctor']) == 2
    assert capsys.readouterr().err == 'vvf: there is no bag here.\n'


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, raises(ZeroDivisionError('a bug')))
    with pytest.raises(ZeroDivisionError):
        main(['doctor'])


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, raises(KeyboardInterrupt()))
    assert main(['doctor']) == 130


def test_a_missing_package_points_to_the_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, raises(ModuleNotFoundError("No module named 'torch'", name='torch')))
    assert main(['doctor']) == 2
    assert 'vvf doctor' in capsys.readouterr().err


def test_the_return_value_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, lambda args: 1)
    assert main(['doctor']) == 1


def test_user_errors_are_told_by_name_and_by_descent() -> None:
    class NarrowerError(UserError):
        pass

    assert is_user_error(NarrowerError())
    assert not is_user_error(ValueError())


@pytest.mark.parametrize('arguments', [[], ['no-such-command'], ['doctor', '--no-such-option']])
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(['--version'])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f'vvf {__version__}\n'


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, '--help'])
    assert stop.value.code == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert 'example' in said
    # argparse makes one space of several and of line ends: commands must not run together.
    before = re.findall(r'(\S+) vvf ', said[said.rindex('example') :])
    assert all(word[-1] in ':;' or word == 'then' for word in before), before


def test_help_imports_neither_torch_nor_ros() -> None:
    code = (
        'import sys\nfrom vvf.cli.main import main\n'
        'try:\n    main(["--help"])\nexcept SystemExit:\n    pass\n'
        'heavy = {"torch", "rclpy", "mujoco", "cv2"} & set(sys.modules)\n'
        'assert not heavy, heavy'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_installed_program_runs_from_anywhere_with_nothing_sourced() -> None:
    program = Path(sys.executable).with_name('vvf')
    done = subprocess.run(
        [program, '--version'], cwd='/', env={'HOME': '/tmp'}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f'vvf {__version__}\n')


def test_transport_measures_and_writes_its_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / 'transport.json'
    arguments = ['--seconds', '1', '--no-baseline', '--json', str(file)]
    assert main(['bench', 'transport', *arguments]) == 0
    report = json.loads(file.read_text())
    assert set(report) == {
        'sent',
        'received',
        'delivered_fraction',
        'latency_ms_p50',
        'latency_ms_p99',
    }
    assert report['sent'] == 60
    assert report['delivered_fraction'] == report['received'] / 60 > 0.5
    assert 'delivered' in capsys.readouterr().out


def test_transport_refuses_a_silly_duration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['bench', 'transport', '--seconds', '0']) == 2
    assert '--seconds' in capsys.readouterr().err


@pytest.mark.parametrize('command', [['vptr'], ['recap', 'box_assembly']])
def test_a_file_where_a_folder_should_be_made_is_one_sentence(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').touch()
    assert main([*command, '--out', str(tmp_path / 'file')]) == 2
    said = capsys.readouterr().err
    assert said.endswith('file exists; choose another place.\n')
    assert said.count('\n') == 1
