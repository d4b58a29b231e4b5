# SPDX-License-Identifier: Apache-2.0
"""The package's metadata agree with each other and with the files."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import vvf

ROOT = Path(vvf.__file__).resolve().parent.parent
SHARED = ('calibration', 'checkpoints', 'config', 'launch')


@pytest.fixture(scope='module')
def metadata() -> dict[str, Any]:
    """The arguments that setup.py calls `setup` with."""
    code = (
        'import runpy, setuptools\n'
        'setuptools.setup = lambda **arguments: print(repr(arguments))\n'
        'runpy.run_path("setup.py")'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = ast.literal_eval(done.stdout)
    return answer


def package_xml(folder: Path) -> ET.Element:
    return ET.parse(folder / 'package.xml').getroot()


def text(root: ET.Element, tag: str) -> str:
    return root.findtext(tag) or ''


def test_the_version_is_the_same_everywhere(metadata: dict[str, Any]) -> None:
    versions = {
        vvf.__version__,
        metadata['version'],
        text(package_xml(ROOT), 'version'),
        text(package_xml(ROOT / 'ros2_ws' / 'src' / 'vvf_msgs'), 'version'),
    }
    assert len(versions) == 1


def test_package_xml_is_an_ament_python_package_that_ros_accepts(metadata: dict[str, Any]) -> None:
    from catkin_pkg.package import parse_package

    package = parse_package(str(ROOT / 'package.xml'))
    package.validate()
    assert package.get_build_type() == 'ament_python'
    assert [(m.name, m.email) for m in package.maintainers] == [
        (metadata['maintainer'], metadata['maintainer_email'])
    ]
    assert package.licenses == ['Apache-2.0']
    dependencies = {dependency.name for dependency in package.exec_depends}
    assert 'vvf_msgs' in dependencies
    assert not any('torch' in name for name in dependencies), 'no apt key of torch resolves'


def test_every_program_is_a_function_of_its_module(metadata: dict[str, Any]) -> None:
    scripts = dict(
        re.fullmatch(r'(\w+) = ([\w.]+:\w+)', line).groups()  # type: ignore[union-attr, misc]
        for line in metadata['entry_points']['console_scripts']
    )
    assert scripts['vvf'] == 'vvf.cli.main:main'
    for target in scripts.values():
        module, _, function = target.partition(':')
        assert callable(getattr(importlib.import_module(module), function)), target


def test_every_package_is_installed(metadata: dict[str, Any]) -> None:
    folders = {
        '.'.join(init.parent.relative_to(ROOT).parts)
        for name in ('vvf', 'vvf_models', 'vvf_sim')
        for init in (ROOT / name).rglob('__init__.py')
    }
    assert folders == set(metadata['packages'])
    with_code = {
        '.'.join(file.parent.relative_to(ROOT).parts)
        for name in ('vvf', 'vvf_models', 'vvf_sim')
        for file in (ROOT / name).rglob('*.py')
    }
    assert with_code == folders, 'a folder with code lacks its __init__.py'


def test_every_package_says_that_it_is_typed() -> None:
    assert [
        p for p in ('vvf', 'vvf_models', 'vvf_sim') if not (ROOT / p / 'py.typed').exists()
    ] == []


def test_every_shared_file_is_installed_in_its_place(metadata: dict[str, Any]) -> None:
    installed = {
        f'{target}/{Path(source).name}': source
        for target, sources in metadata['data_files']
        for source in sources
    }
    assert installed['share/vvf/config/fastdds.xml'] == 'config/fastdds.xml'
    assert installed['share/ament_index/resource_index/packages/vvf'] == 'resource/vvf'
    wanted = {
        f'share/vvf/{file.relative_to(ROOT)}'
        for folder in SHARED
        for file in (ROOT / folder).rglob('*')
        if file.is_file() and '__pycache__' not in file.parts
    }
    assert wanted <= set(installed)


def test_pyproject_leaves_the_metadata_to_setup_py() -> None:
    tables = tomllib.loads((ROOT / 'pyproject.toml').read_text())
    assert set(tables) == {'build-system', 'tool'}, '[project] breaks colcon --symlink-install'
    assert tables['tool']['pytest']['ini_options']['testpaths'] == ['tests']


def test_colcon_finds_both_packages_and_knows_what_they_are() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name('colcon'), '--log-base', os.devnull, 'list'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = {tuple(line.split('\t')) for line in done.stdout.splitlines()}
    assert listed == {
        ('vvf', '.', '(ros.ament_python)'),
        ('vvf_msgs', 'ros2_ws/src/vvf_msgs', '(ros.ament_cmake)'),
    }


def test_the_workspace_sees_the_root_package() -> None:
    link = ROOT / 'ros2_ws' / 'src' / 'vvf'
    assert link.readlink() == Path('../..')
    assert link.resolve() == ROOT


@pytest.mark.parametrize('name', ['lock.txt', 'ros-lock.txt'])
def test_locks_pin_every_line_and_hold_no_torch(name: str) -> None:
    lines = [
        line
        for line in (ROOT / 'requirements' / name).read_text().splitlines()
        if not line.startswith('#')
    ]
    pinned = re.compile(r'[a-z0-9-]+==[\w.+]+(; python_version == "3\.1[12]")?')
    assert [line for line in lines if not pinned.fullmatch(line)] == []
    packages = {line.partition('==')[0] for line in lines}
    assert not packages & {'torch', 'torchvision', 'timm'}


def test_locks_hold_everything_that_is_asked_for() -> None:
    folder = ROOT / 'requirements'

    def names(*files: str) -> set[str]:
        lines = [line for file in files for line in (folder / file).read_text().splitlines()]
        found = (re.match(r'[A-Za-z0-9][\w.-]*', line) for line in lines)
        return {re.sub(r'[-_.]+', '-', match[0]).lower() for match in found if match}

    assert names('core.txt', 'dev.txt', 'ros.txt') <= names('lock.txt', 'ros-lock.txt')
