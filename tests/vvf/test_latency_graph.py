# SPDX-License-Identifier: Apache-2.0
"""What `vvf bench latency` measures, short of starting it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vvf.bench.latency import Costs
from vvf.bench.latency_graph import filmed, simulated
from vvf.cli.main import main
from vvf.graph import GraphArguments, build_graph
from vvf.node_spec import NodeSpec
from vvf.sources import VideoSource
from vvf.task import load_task


def by_name(specs: list[NodeSpec]) -> dict[str, NodeSpec]:
    return {s.name: s for s in specs}


def test_simulated_cameras_only_change_their_rate(tmp_path: Path) -> None:
    arguments = GraphArguments(bag_dir=str(tmp_path / 'bags'))
    graph = by_name(simulated('pick_place', tmp_path, arguments, 30.0))
    usual = by_name(build_graph('pick_place', arguments))
    assert list(graph) == list(usual)
    for name, spec in graph.items():
        assert {**spec.parameters, 'task': 0} == {**usual[name].parameters, 'task': 0}
    task = load_task(graph['value'].parameters['task'])
    assert [c.rate_hz for c in task.cameras] == [30.0, 30.0]


def test_camera_nodes_play_a_video_in_the_place_of_the_simulated_ones(tmp_path: Path) -> None:
    arguments = GraphArguments(bag_dir=str(tmp_path / 'bags'))
    graph = by_name(filmed('pick_place', tmp_path, arguments, 30.0, (64, 48)))
    moved = dict(graph['arm'].remappings)
    for camera in load_task(graph['value'].parameters['task']).cameras:
        assert (camera.width, camera.height, camera.rate_hz) == (64, 48, 30.0)
        node = graph[f'camera_{camera.name}']
        assert camera.topic == f'/{node.parameters["camera"]}/image_raw'
        assert moved[camera.topic] != camera.topic, 'nobody else publishes on it'
        video = VideoSource(node.parameters['video'])
        frame = video.read()
        video.close()
        assert frame is not None
        assert frame.shape == (48, 64, 3)
        assert frame.std() > 5, 'something is to be seen'


def test_costs_are_shares_of_a_core() -> None:
    costs = Costs({'plot': os.getpid()})
    sum(i * i for i in range(300_000))
    report = costs.report()
    assert 0.0 < report['plot_cpu_share'] <= 8.0
    assert report['cpu_share'].keys() == {'plot'}
    assert report['cpus'] >= 1


@pytest.mark.parametrize(
    ('option', 'word'),
    [
        (['--seconds', '0'], '--seconds'),
        (['--rates', '10', '1000'], '--rates'),
        (['--width', '641'], '--width'),
        (['--height', '4096'], '--height'),
    ],
)
def test_bad_options_are_a_sentence(
    option: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['bench', 'latency', *option]) == 2
    assert word in capsys.readouterr().err
