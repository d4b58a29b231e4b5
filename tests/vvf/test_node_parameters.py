# SPDX-License-Identifier: Apache-2.0
"""Parameters of nodes that a user sets, in a file or one by one."""

import pytest

from vvf.cli.main import main
from vvf.errors import UserError
from vvf.graph import GraphArguments, build_graph
from vvf.node_parameters import with_settings
from vvf.nodes.policy import PARAMETERS


def graph(tmp_path, text):
    file = tmp_path / 'mine.yaml'
    file.write_text(text)
    specs = build_graph('pick_place', GraphArguments(params_file=str(file)))
    return {spec.name: dict(spec.parameters) for spec in specs}


def test_a_file_reaches_the_nodes_that_it_names(tmp_path):
    text = """
/policy: {ros__parameters: {gate: resample, gate_drop: 1, execute: 2}}
/**: {ros__parameters: {threads: 3}}
"""
    nodes = graph(tmp_path, text)
    plain = {spec.name: dict(spec.parameters) for spec in build_graph('pick_place')}
    assert nodes['policy'] == plain['policy'] | {
        **{'gate': 'resample', 'gate_drop': 1.0, 'execute': 2, 'threads': 3}
    }
    assert isinstance(nodes['policy']['gate_drop'], float)  # ROS takes no integer for it
    assert nodes['value'] == plain['value'] | {'threads': 3}
    assert nodes['arm'] == plain['arm']


def test_one_setting_reaches_one_node():
    specs = build_graph('pick_place')
    found = {s.name: s.parameters for s in with_settings(specs, ['policy.guidance=2'])}
    assert found['policy']['guidance'] == 2.0
    assert {p.name: p.default for p in PARAMETERS}['guidance'] != 2.0
    assert [s for s in with_settings(specs, []) if s not in specs] == []


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('/polcy: {ros__parameters: {gate: stop}}', "no node 'polcy'"),
        ('policy: {ros__parameters: {gat: stop}}', "policy has no parameter 'gat'"),
        ('/**: {ros__parameters: {gat: stop}}', "no node has a parameter 'gat'"),
        ('policy: {ros__parameters: {gate_drop: much}}', 'policy.gate_drop must be a float'),
        ('policy: {ros__parameters: {rtc: 1}}', 'policy.rtc must be a bool'),
        ('policy: {ros__parameters: {model: x}}', 'arguments of the graph'),
        ('policy: {gate: stop}', 'ros__parameters'),
        ('[policy]', 'ros__parameters'),
        ('policy: {', 'no YAML'),
    ],
)
def test_what_no_node_would_hear_is_refused(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        graph(tmp_path, text)


def test_a_missing_file_and_half_a_setting(capsys):
    for arguments in (['--params-file', 'nowhere.yaml'], ['--set', 'policy=resample']):
        assert main(['up', 'pick_place', *arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert 'nowhere.yaml is no YAML file' in said[0]
    assert 'NODE.PARAMETER=VALUE' in said[1]
