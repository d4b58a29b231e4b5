# SPDX-License-Identifier: Apache-2.0
"""The parameter files and the nodes name the same parameters, with the same defaults."""

from __future__ import annotations

import importlib
import itertools
import re

import pytest
import rclpy
import rclpy.parameter
import yaml
from rcl_interfaces.msg import ParameterType
from rclpy.node import Node

from vvf.errors import UserError
from vvf.parameters import declare
from vvf.paths import config_path

NODES = ('arm', 'camera', 'episode', 'moveit', 'plot', 'policy', 'replay', 'teleop', 'value')


def parameters_of(node: str):
    return importlib.import_module(f'vvf.nodes.{node}').PARAMETERS


@pytest.mark.parametrize('node', NODES)
def test_file_and_node_agree(node: str) -> None:
    data = yaml.safe_load(config_path('nodes', f'{node}.yaml').read_text())
    assert list(data) == ['/**'], 'whatever the node is called, and in every namespace'
    assert data['/**']['ros__parameters'] == {p.name: p.default for p in parameters_of(node)}


@pytest.mark.parametrize('node', NODES)
def test_every_entry_has_a_comment_with_its_range(node: str) -> None:
    lines = config_path('nodes', f'{node}.yaml').read_text().splitlines()
    by_name = {p.name: p for p in parameters_of(node)}
    for above, line in itertools.pairwise(lines):
        entry = re.fullmatch(r' {4}(\w+): .*', line)
        if entry:
            parameter = by_name[entry[1]]
            assert above.strip().startswith(f'# {parameter.description}')
            if parameter.low is not None:
                assert f'[{parameter.low:g} .. {parameter.high:g}]' in above


def test_every_node_has_a_file() -> None:
    assert sorted(p.stem for p in config_path('nodes').glob('*.yaml')) == sorted(NODES)


@pytest.mark.parametrize('node', NODES)
def test_descriptions_and_ranges_can_be_asked_for(node: str) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    made = Node('probe', context=context)
    try:
        parameters = parameters_of(node)
        values = declare(made, parameters)
        assert values == {p.name: p.default for p in parameters}
        for parameter in parameters:
            described = made.describe_parameter(parameter.name)
            assert described.description == parameter.description
            ranges = [*described.floating_point_range, *described.integer_range]
            assert len(ranges) == (parameter.low is not None)
            if described.type == ParameterType.PARAMETER_DOUBLE and ranges:
                assert parameter.low <= parameter.default <= parameter.high
    finally:
        made.destroy_node()
        rclpy.try_shutdown(context=context)


@pytest.mark.parametrize(
    ('given', 'words'), [('fast', 'must be of type float'), (5000.0, 'between 10 and 500')]
)
def test_a_wrong_value_is_one_sentence(given: object, words: str) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    override = rclpy.parameter.Parameter('rate_hz', value=given)
    made = Node('probe', context=context, parameter_overrides=[override])
    try:
        with pytest.raises(UserError, match=words):
            declare(made, parameters_of('arm'))
    finally:
        made.destroy_node()
        rclpy.try_shutdown(context=context)
