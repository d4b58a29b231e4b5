# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vvf.cli import doctor
from vvf.cli.doctor import Check
from vvf.cli.main import main


def pretend(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(doctor, 'CHECKS', [lambda check=check: check for check in checks])


GOOD = Check('Python', '3.11.7')
BROKEN = Check('torch', 'no module', ok=False, mend='make setup')
SLOW = Check('OpenGL', 'none', ok=False, needed=False, mend='sudo apt install libegl1')


def test_all_there_is_exit_code_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD)
    assert main(['doctor']) == 0
    assert 'Nothing is missing' in capsys.readouterr().out


def test_a_missing_part_is_exit_code_1_and_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    also = Check('vvf_msgs', 'no module', ok=False, mend='make setup')
    pretend(monkeypatch, GOOD, BROKEN, also)
    assert main(['doctor']) == 1
    said = capsys.readouterr().out
    assert 'MISSING torch' in said
    assert said.count('make setup') == 1, 'one command for all that it mends'
    assert '(torch, vvf_msgs)' in said


def test_what_is_not_needed_is_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD, SLOW)
    assert main(['doctor']) == 0
    assert 'sudo apt install libegl1' in capsys.readouterr().out


def test_json_has_every_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, GOOD, BROKEN)
    file = tmp_path / 'doctor.json'
    assert main(['doctor', '--json', str(file)]) == 1
    report = json.loads(file.read_text())
    assert report['ok'] is False
    assert [check['name'] for check in report['checks']] == ['Python', 'torch']
    assert set(report['checks'][0]) == {'name', 'found', 'ok', 'needed', 'mend'}


def test_a_file_that_cannot_be_written_is_a_user_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD)
    assert main(['doctor', '--json', str(tmp_path / 'none' / 'doctor.json')]) == 2
    assert 'cannot write' in capsys.readouterr().err


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_something() -> Check:
        raise OSError('disk on fire')

    found = doctor._guarded(check_something)()
    assert (found.name, found.ok, found.mend) == ('something', False, 'make setup')
    assert 'disk on fire' in found.found


def test_a_package_that_does_not_load_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor._imports('torch', 'import no_such_package')
    assert not found.ok
    assert 'no_such_package' in found.found
    assert found.mend == 'make setup'


def test_a_library_that_crashes_does_not_take_the_doctor_along() -> None:
    found = doctor._imports('torch', 'import os; os.abort()')
    assert not found.ok


def test_an_unreadable_profile_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/nowhere/mine.xml')
    found = doctor.check_middleware()
    assert not found.ok
    assert '/nowhere/mine.xml' in found.found


INSTALLED: tuple[Callable[[], Check], ...] = (
    doctor.check_python,
    doctor.check_torch,
    doctor.check_packages,
    doctor.check_ros,
    doctor.check_interfaces,
    doctor.check_middleware,
    doctor.check_mujoco,
    doctor.check_checkpoints,
)


@pytest.mark.parametrize('check', INSTALLED)
def test_what_make_setup_installs_is_found_here(check: Callable[[], Check]) -> None:
    found = check()
    assert found.ok, found.found
    assert found.mend == ''
