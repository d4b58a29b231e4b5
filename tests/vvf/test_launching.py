# SPDX-License-Identifier: Apache-2.0
"""Launch arguments become nodes; `launch` itself comes with a ROS 2 installation only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.vvf.bag_factory import write_episode
from vvf.errors import UserError
from vvf.launching import REPLAY_ARGUMENTS, replay_specs
from vvf.paths import share

DEFAULTS = {name: default for name, (default, _) in REPLAY_ARGUMENTS.items()}


def test_every_task_and_both_replays_have_a_launch_file_that_is_python() -> None:
    files = {p.name: p.read_text() for p in (share() / 'launch').glob('*.launch.py')}
    assert {'pick_place.launch.py', 'replay.launch.py', 'relabel.launch.py'} <= files.keys()
    for name, text in files.items():
        defined = [n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
        assert 'generate_launch_description' in defined, name


def test_a_relabelling_plays_at_its_rate_and_records_where_it_is_told(tmp_path: Path) -> None:
    bag = write_episode(tmp_path / 'episode', 3)
    given = {**DEFAULTS, 'bag': str(bag), 'rate': '4', 'bag_dir': str(tmp_path / 'out')}
    nodes = {s.name: s.parameters for s in replay_specs(given)}
    assert list(nodes) == ['value', 'plot', 'episode', 'replay']
    assert nodes['replay']['rate'] == 4.0
    assert nodes['replay']['bag'] == str(bag)
    assert nodes['episode']['directory'] == str(tmp_path / 'out')
    assert nodes['episode']['record'] is True
    with_rviz = replay_specs({**given, 'rviz': 'true'})
    assert with_rviz[-1].package == 'rviz2'


def test_without_a_bag_there_is_a_sentence() -> None:
    with pytest.raises(UserError, match='bag:=DIR'):
        replay_specs(DEFAULTS)
