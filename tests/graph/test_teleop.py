# SPDX-License-Identifier: Apache-2.0
"""A human takes over from a policy at work, moves the arm and gives it back; the bag says so."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header
from vvf_msgs.msg import Action, EpisodeEvent

from vvf.bags.reader import open_bag
from vvf.cli.main import main
from vvf.node_spec import NodeSpec
from vvf.nodes.common import LATCHED, seconds
from vvf.teleop.commands import KEYS_TOPIC, STATUS_TOPIC

from .conftest import Probe, only
from .test_faults import STILL, begin_episode

TAKEN, GIVEN = EpisodeEvent.INTERVENTION_START, EpisodeEvent.INTERVENTION_END


def test_an_intervention_goes_from_the_key_to_the_labels(
    specs: list[NodeSpec], start, probe: Probe, tmp_path: Path
) -> None:
    actions: list[Action] = []
    events: list[EpisodeEvent] = []
    told: list[DiagnosticStatus] = []
    keys = probe.node.create_publisher(Header, KEYS_TOPIC, 50)
    probe.node.create_subscription(Action, '/vvf/action', actions.append, 50)
    probe.node.create_subscription(DiagnosticStatus, STATUS_TOPIC, told.append, 10)
    probe.node.create_subscription(EpisodeEvent, '/vvf/episode', events.append, LATCHED)

    def press(key: str) -> None:
        stamp = probe.node.get_clock().now().to_msg()
        keys.publish(Header(stamp=stamp, frame_id=key))
        probe.spin(0.05)

    def hears() -> bool:
        press('')
        return any(v.key == 'terminal' and v.value == 'True' for m in told for v in m.values)

    def stamps(source: int) -> np.ndarray:
        return np.array([seconds(a.header.stamp) for a in actions if a.source == source])

    def event(kind: int) -> float:
        probe.wait(lambda: any(e.event == kind for e in events), f'event {kind}')
        return next(seconds(e.header.stamp) for e in events if e.event == kind)

    patient = {'task': 'pick_place', 'ramp_s': 0.2, 'max_key_age_s': 5.0}  # on a busy machine
    teleop = NodeSpec('teleop', 'teleop', parameters=patient)
    graph = start([*only(specs, 'arm', 'value', 'policy', 'episode'), teleop])
    probe.wait(hears, 'the teleop node hears keys')
    begin_episode(probe)
    press('i')
    taken = event(TAKEN)
    probe.joints.clear()

    def moved() -> bool:
        press('k')
        enough = len(stamps(Action.SOURCE_HUMAN)) > 7 and len(probe.joints) > 5
        return enough and probe.travelled() > 0.05

    probe.wait(moved, 'the arm goes where the human wants it')
    # The human's process dies: the policy does not get the arm until a human gives it back.
    os.kill(graph.supervisor.pid('teleop'), signal.SIGKILL)
    probe.settle(STILL)
    refused = probe.refused('human')
    probe.wait(lambda: probe.refused('human') > refused, 'the policy goes on in vain')
    assert probe.travel(0.5) < STILL
    probe.wait(lambda: graph.supervisor.restarts('teleop') == 1, 'the node is started again')
    told.clear()
    probe.wait(hears, 'it hears keys')
    press('i')
    probe.wait(lambda: sum(e.event == TAKEN for e in events) == 2, 'taken over once more')
    press('i')
    given = event(GIVEN)
    probe.wait(lambda: (stamps(Action.SOURCE_POLICY) > given).sum() > 3, 'the policy goes on')
    probe.wait(lambda: probe.travel(0.5) > 0.02, 'and the arm follows it')
    human = stamps(Action.SOURCE_HUMAN)
    assert taken < human.min() <= human.max() < given
    press('s')
    probe.wait(lambda: any(e.outcome == 'success' for e in events), 'the end')

    (bag,) = (tmp_path / 'bags').iterdir()
    with open_bag(bag) as reader:
        recorded = [reader.deserialize(m[3], m[1]) for m in reader.messages({'/vvf/episode'})]
    assert [m.event for m in recorded if m.event in (TAKEN, GIVEN)] == [TAKEN, TAKEN, GIVEN]
    assert {m.episode_id for m in recorded if m.event in (TAKEN, GIVEN)} == {bag.name}
    out = tmp_path / 'relabelled'
    assert main(['relabel', str(bag), '--value', 'icvf_pick_place', '--out', str(out)]) == 0
    (parquet,) = out.rglob('*.parquet')
    table = pq.read_table(parquet)
    labels = table['complementary_info.is_intervention'].to_numpy()
    frames = table['stamp_ns'].to_numpy() * 1e-9
    assert labels[(frames > taken) & (frames < given)].all()
    # The human's last step is in effect until it is used up.
    assert not labels[(frames < taken) | (frames > given + 0.1)].any()
    assert 5 < labels.sum() < len(labels) - 5
