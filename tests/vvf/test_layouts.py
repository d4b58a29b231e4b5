# SPDX-License-Identifier: Apache-2.0
"""rviz, Foxglove and PlotJuggler layouts ask for what the graphs really publish and serve.

The nodes of both graphs are made in this process, with their graph's parameters; what they offer is
read from ROS itself.
"""

from __future__ import annotations

import importlib
import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from tests.shared_data import shared_data
from vvf.graph import GraphArguments, build_graph, build_replay_graph
from vvf.node_spec import NodeSpec
from vvf.nodes.messages import message_class
from vvf.paths import config_path
from vvf.simulated_bag import write_bag
from vvf.task import load_task
from vvf_sim.collect import EpisodeData

NODES = {
    'arm': 'ArmNode',
    'value': 'ValueNode',
    'policy': 'PolicyNode',
    'episode': 'EpisodeNode',
    'plot': 'PlotNode',
    'replay': 'ReplayNode',
}
MODELS = ('value', 'policy')
#: What rviz_default_plugins (Jazzy) calls its displays, and the message each of them takes.
DISPLAYS = {
    'rviz_default_plugins/Grid': None,
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/MarkerArray': 'visualization_msgs/msg/MarkerArray',
    'rviz_default_plugins/Pose': 'geometry_msgs/msg/PoseStamped',
    'rviz_default_plugins/RobotModel': 'std_msgs/msg/String',
}
PANELS = {'rviz_common/Displays', 'rviz_common/Views'}
TOOLS = {'rviz_default_plugins/MoveCamera'}
VIEWS = {'rviz_default_plugins/Orbit'}
TASKS = sorted(p.stem for p in config_path('tasks').glob('*.yaml'))
#: No graph drives two arms yet; their bags can be replayed.
TWO_ARMED = ('pants_folding', 'shirt_folding')


@dataclass
class Offer:
    """What a graph publishes (type and QoS by topic) and serves (type by service)."""

    topics: dict[str, tuple[str, QoSProfile]] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)


def two_armed_episode(task: str) -> EpisodeData:
    """Two frames of nothing: enough for a bag with the topics of one."""
    nothing = np.zeros((2, 14), np.float32)
    none, names = np.zeros(0, np.int64), np.zeros(0, 'U1')
    return EpisodeData(
        images={c.name: np.zeros((2, 8, 8, 3), np.uint8) for c in load_task(task).cameras},
        state=nothing,
        action=nothing,
        executed_action=nothing,
        stamps=np.array([0.0, 0.2]),
        success=False,
        success_index=-1,
        failure_kind='timeout',
        event_names=names,
        event_kinds=names,
        event_indices=none,
        event_targets=none.astype(bool),
        interventions=np.zeros(2, bool),
        seed=0,
        task=task,
        arm='wx250s',
        instruction='fold it',
        facts='{}',
        setting='any',
        renderer='ray',
        mistake='',
    )


def offer_of(specs: list[NodeSpec], folder: Path) -> Offer:
    file = folder / 'parameters.yaml'
    given = {f'/{s.name}': {'ros__parameters': dict(s.parameters)} for s in specs}
    for name in MODELS:
        if f'/{name}' in given:
            given[f'/{name}']['ros__parameters']['autostart'] = False
    file.write_text(yaml.safe_dump(given))
    rclpy.init(args=['--ros-args', '--params-file', str(file)], domain_id=96)
    nodes: list[Node] = []
    offer = Offer()
    try:
        for spec in specs:
            module = importlib.import_module(f'vvf.nodes.{spec.executable}')
            nodes.append(getattr(module, NODES[spec.executable])())
            if isinstance(nodes[-1], LifecycleNode):
                assert nodes[-1].trigger_configure() == TransitionCallbackReturn.SUCCESS
        for node in nodes:
            for publisher in node.publishers:
                topic = publisher.topic_name
                kind = publisher.msg_type
                name = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
                offer.topics[topic] = (name, publisher.qos_profile)
            for service in node.services:
                kind = service.srv_type
                name = f'{kind.__module__.split(".")[0]}/srv/{kind.__name__}'
                offer.services[node.resolve_service_name(service.srv_name)] = name
    finally:
        for node in nodes:
            close = getattr(node, 'close', None)
            if close:
                close()
            node.destroy_node()
        rclpy.try_shutdown()
    return offer


@pytest.fixture(scope='module')
def offers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Offer]:
    folder = tmp_path_factory.mktemp('offers')
    bag = shared_data('wx200_bag')
    models = load_task('pick_place').models
    one_armed = [task for task in TASKS if load_task(task).sim and task not in TWO_ARMED]
    graphs = {}
    for task in one_armed:
        # Not every task has models yet, and no view shows what these publish.
        own = load_task(task).models if load_task(task).models.value else None
        given = own or models
        live = GraphArguments(
            bag_dir=str(folder / 'bags'), value_model=given.value, policy=given.policy
        )
        graph = build_graph(task, live)
        graphs[task] = graph if own else [n for n in graph if n.executable not in MODELS]
    graphs['wx200_replay'] = build_replay_graph(bag, 'wx200_replay')
    for task in TWO_ARMED:
        write_bag(two_armed_episode(task), load_task(task), folder / task)
        graph = build_replay_graph(folder / task, task, value_model=models.value)
        graphs[task] = [node for node in graph if node.executable != 'value']
    return {task: offer_of(graph, folder) for task, graph in graphs.items()}


@pytest.fixture(scope='module')
def offer(offers: dict[str, Offer]) -> Offer:
    return offers['pick_place']


def rviz(task: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(config_path('rviz', f'{task}.rviz').read_text())
    return data


def wanted_qos(topic: dict[str, Any]) -> QoSProfile:
    def key(policy: str) -> str:
        return str(topic[f'{policy} Policy']).upper().replace(' ', '_')

    return QoSProfile(
        depth=topic['Depth'],
        history=HistoryPolicy[key('History')],
        reliability=ReliabilityPolicy[key('Reliability')],
        durability=DurabilityPolicy[key('Durability')],
    )


# -- rviz ----------------------------------------------------------------------------------------


def test_every_task_has_a_view() -> None:
    assert sorted(p.stem for p in config_path('rviz').glob('*.rviz')) == TASKS


@pytest.mark.parametrize('task', TASKS)
def test_a_view_has_cameras_plot_robot_and_markers(task: str) -> None:
    displays = rviz(task)['Visualization Manager']['Displays']
    images = {d['Topic']['Value'] for d in displays if d['Class'] == 'rviz_default_plugins/Image'}
    assert images == {c.topic for c in load_task(task).cameras} | {'/vvf/value/plot'}
    classes = [d['Class'].rpartition('/')[2] for d in displays]
    assert classes.count('MarkerArray') == classes.count('RobotModel') == 1


@pytest.mark.parametrize('task', TASKS)
def test_every_class_is_one_of_rviz(task: str) -> None:
    view = rviz(task)
    manager = view['Visualization Manager']
    assert {p['Class'] for p in view['Panels']} <= PANELS
    assert {d['Class'] for d in manager['Displays']} <= DISPLAYS.keys()
    assert {t['Class'] for t in manager['Tools']} <= TOOLS
    assert manager['Views']['Current']['Class'] in VIEWS


@pytest.mark.parametrize('task', TASKS)
def test_every_display_gets_what_it_asks_for(task: str, offers: dict[str, Offer]) -> None:
    for display in rviz(task)['Visualization Manager']['Displays']:
        kind = DISPLAYS[display['Class']]
        if display['Class'].endswith('/RobotModel'):
            # The URDF comes from the arm's own driver, if at all.
            assert not display['Enabled']
            assert display['Description Topic']['Durability Policy'] == 'Transient Local'
            continue
        if kind is None:
            continue
        topic = display['Topic']
        published, qos = offers[task].topics[topic['Value']]
        if topic['Value'].endswith('/compressed'):
            kind = 'sensor_msgs/msg/CompressedImage'  # rviz asks image_transport for these
        assert published == kind, topic['Value']
        compatible, why = qos_check_compatible(qos, wanted_qos(topic))
        assert compatible != QoSCompatibility.ERROR, (topic['Value'], why)


@pytest.mark.parametrize('task', TASKS)
def test_the_window_has_a_place_for_every_panel_and_image(task: str) -> None:
    view = rviz(task)
    state = bytes.fromhex(view['Window Geometry']['QMainWindow State'])
    displays = view['Visualization Manager']['Displays']
    names = [p['Name'] for p in view['Panels']]
    names += [d['Name'] for d in displays if d['Class'].endswith('/Image')]
    for name in names:
        text = name.encode('utf-16-be')
        assert len(text).to_bytes(4) + text in state, name


def test_markers_and_poses_are_in_the_fixed_frame() -> None:
    """No transform is published, so that rviz can show what is in its fixed frame and no more."""
    for task in TASKS:
        assert rviz(task)['Visualization Manager']['Global Options']['Fixed Frame'] == 'base_link'


# -- Foxglove ------------------------------------------------------------------------------------


def foxglove() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(config_path('foxglove', 'pick_place.json').read_text())
    return data


def panels_of(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    assert node['direction'] in ('row', 'column')
    assert 0 < node['splitPercentage'] < 100
    return panels_of(node['first']) + panels_of(node['second'])


def has_field(type_name: str, path: str) -> bool:
    """Whether a dotted path leads to a number, a flag or a text of a message."""
    for name in path.split('.'):
        fields = message_class(type_name).get_fields_and_field_types()
        if name not in fields:
            return False
        type_name = fields[name].replace('/', '/msg/')
    return '/' not in type_name


def test_foxglove_shows_every_panel_once() -> None:
    layout = foxglove()
    assert sorted(panels_of(layout['layout'])) == sorted(layout['configById'])


def test_foxglove_draws_what_is_published(offer: Offer) -> None:
    kinds = set()
    for panel, settings in foxglove()['configById'].items():
        kind = panel.partition('!')[0]
        kinds.add(kind)
        if kind == 'Image':
            assert offer.topics[settings['imageMode']['imageTopic']][0] == 'sensor_msgs/msg/Image'
            info = settings['imageMode'].get('calibrationTopic')
            assert info is None or offer.topics[info][0] == 'sensor_msgs/msg/CameraInfo'
        elif kind == '3D':
            assert set(settings['topics']) <= offer.topics.keys()
            assert all(t['visible'] for t in settings['topics'].values())
        elif kind in ('Plot', 'StateTransitions'):
            assert settings['paths']
            for path in settings['paths']:
                assert path['enabled'], 'what is not enabled is not drawn'
                if path['value'].replace('.', '').isdigit():
                    continue  # a line at a height
                topic, _, name = path['value'].partition('.')
                assert has_field(offer.topics[topic][0], name), path['value']
        elif kind == 'RawMessages':
            assert settings['topicPath'] in offer.topics
    assert {'Image', '3D', 'Plot', 'StateTransitions', 'CallService'} <= kinds


def test_foxglove_calls_what_is_served(offer: Offer) -> None:
    called = set()
    for panel, settings in foxglove()['configById'].items():
        if not panel.startswith('CallService!'):
            continue
        called.add(settings['serviceName'])
        package, _, name = offer.services[settings['serviceName']].split('/')
        request = getattr(importlib.import_module(f'{package}.srv'), name).Request
        request(**json.loads(settings['requestPayload']))  # wrong fields and types raise
        assert not settings['editingMode'], 'a button, not a form'
        assert settings['buttonText']
    assert {'/vvf/episode/start', '/vvf/episode/end', '/vvf/episode/label'} <= called


# -- PlotJuggler ---------------------------------------------------------------------------------


def test_plotjuggler_draws_fields_that_exist(offer: Offer) -> None:
    root = ET.parse(config_path('plotjuggler', 'value.xml')).getroot()
    curves = [c.attrib['name'] for c in root.iter('curve')]
    assert {f'/vvf/value/{n}' for n in ('value', 'progress', 'advantage')} <= set(curves)
    used = set()
    for curve in curves:
        topic = max((t for t in offer.topics if curve.startswith(f'{t}/')), key=len)
        used.add(topic)
        name = curve.removeprefix(f'{topic}/').replace('/', '.')
        assert has_field(offer.topics[topic][0], name), curve
    selected = root.find(".//plugin[@ID='ROS2 Topic Subscriber']/selected_topics")
    assert selected is not None
    assert set(selected.attrib['value'].split(';')) == used


def test_plotjuggler_splits_its_window_into_what_it_says() -> None:
    root = ET.parse(config_path('plotjuggler', 'value.xml')).getroot()
    for splitter in root.iter('DockSplitter'):
        sizes = [float(s) for s in splitter.attrib['sizes'].split(';')]
        assert len(sizes) == len(splitter) == int(splitter.attrib['count'])
        assert sum(sizes) == pytest.approx(1.0)
