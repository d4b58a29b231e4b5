# SPDX-License-Identifier: Apache-2.0
"""Three storeys, one direction: nothing below imports anything above."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STOREYS = {
    'vvf_models': {'vvf', 'vvf_sim', 'mujoco', 'gymnasium'},
    'vvf_sim': {'vvf', 'vvf_models', 'torch'},
}
ROS = {'rclpy', 'ament_index_python', 'rosidl_runtime_py', 'builtin_interfaces'}
#: There are no wheels of these: imported at module level they would break `make demo`.
NOT_IN_WHEELS = {
    'launch',
    'launch_ros',
    'ros2cli',
    'rosbag2_py',
    'cv_bridge',
    'moveit',
    'moveit_py',
    'message_filters',
    'tf2_ros',
    'tf2_py',
    'diagnostic_updater',
}


def imports(tree: ast.AST, *, everywhere: bool) -> Iterator[str]:
    """Top-level names that are imported; inside functions too if `everywhere`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition('.')[0]
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node, everywhere=everywhere)


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob('*.py'))
    assert found, f'{package} has no code'
    return found


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding='utf-8'), str(file))


@pytest.mark.parametrize('package', STOREYS)
def test_a_lower_storey_knows_nothing_above_or_beside_it(package: str) -> None:
    def forbidden(name: str) -> bool:
        return name in STOREYS[package] | ROS or name.endswith('_msgs')

    wrong = [
        f'{file.relative_to(ROOT)} imports {name}'
        for file in files(package)
        for name in imports(parse(file), everywhere=True)
        if forbidden(name)
    ]
    assert wrong == []


def test_vvf_imports_nothing_without_a_wheel_at_module_level() -> None:
    wrong = [
        f'{file.relative_to(ROOT)} imports {name}'
        for file in files('vvf')
        for name in imports(parse(file), everywhere=False)
        if name in NOT_IN_WHEELS
    ]
    assert wrong == []


def test_the_search_sees_imports_in_functions_and_conditions() -> None:
    code = 'import a.b\nif x:\n    from c import d\ndef f():\n    import e\nfrom . import g\n'
    tree = ast.parse(code)
    assert list(imports(tree, everywhere=True)) == ['a', 'c', 'e']
    assert list(imports(tree, everywhere=False)) == ['a', 'c']
