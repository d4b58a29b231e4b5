# SPDX-License-Identifier: Apache-2.0
"""The demo, as a user runs it, only shorter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from vvf.bags.reader import open_bag
from vvf.data import open_data
from vvf.task import load_task

KEYS = [
    'episodes',
    'successes',
    'success_rate',
    'value_spearman_mean',
    'value_end_success_mean',
    'value_end_failure_mean',
    'value_hz',
    'value_latency_ms_p50',
    'value_latency_ms_p99',
    'seconds',
]


class Demo(NamedTuple):
    """What a demo left, and what it was run with."""

    folder: Path
    cameras: list[str]
    policy: str
    value: str


@pytest.fixture(scope='module', params=['box_assembly', 'pick_place'])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    task = load_task(request.param)
    out = tmp_path_factory.mktemp('demo') / 'demo'
    command = [sys.executable, '-m', 'vvf', 'demo', request.param, '--episodes', '2']
    done = subprocess.run(
        [*command, '--out', str(out)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    models = [Path(name).name for name in (task.models.policy, task.models.value)]
    return Demo(out, [camera.name for camera in task.cameras], *models)


def test_the_summary_has_its_keys(demo: Demo) -> None:
    summary = json.loads((demo.folder / 'summary.json').read_text())
    assert [k for k in KEYS if k not in summary] == []
    assert summary['episodes'] == 2
    assert (
        summary['successes'] + sum(e['outcome'] == 'failure' for e in summary['per_episode']) == 2
    )
    assert 5 < summary['value_hz'] < 12


def test_every_episode_is_a_complete_bag_with_its_provenance(demo: Demo) -> None:
    bags = sorted((demo.folder / 'bags').iterdir())
    assert len(bags) == 2
    for path in bags:
        with open_bag(path) as bag:
            assert not bag.loss
            data = bag.custom_data
            counts = bag.counts()
        assert data['outcome'] in ('success', 'failure')
        assert data['policy_checkpoint'].startswith(f'{demo.policy}@')
        assert data['value_checkpoint'].startswith(f'{demo.value}@')
        assert data['robot'] == 'wx250s'
        assert counts['/vvf/episode'] == 2
        assert counts['/vvf/action'] >= 5
        assert counts['/vvf/value'] >= 0.9 * counts[f'/{demo.cameras[0]}/image_raw']


def test_every_frame_is_relabelled(demo: Demo) -> None:
    for path in sorted((demo.folder / 'bags').iterdir()):
        with open_bag(demo.folder / 'relabelled' / path.name) as bag:
            counts = bag.counts()
        # But for the first ones: the bag may begin with a frame of one camera only.
        assert counts['/vvf/value/relabelled'] >= 0.9 * counts[f'/{demo.cameras[0]}/image_raw']


def test_the_bags_are_episodes_to_train_on(demo: Demo) -> None:
    episodes = open_data(demo.folder / 'bags')
    assert len(episodes) == 2
    for number in range(2):
        episode = episodes[number]
        episode.check()
        assert list(episode.images) == demo.cameras
        assert episode.rate_hz == pytest.approx(5, rel=0.1)  # of 10 frames a second, those acted on
        assert episode.actions is not None
        acted = np.flatnonzero(np.abs(episode.actions[:, :6]).sum(axis=1))
        # A busy machine records some frames before the policy begins; from then on it acts on all.
        assert len(acted) > 10
        assert len(acted) / (acted[-1] - acted[0] + 1) > 0.8
        assert episode.interventions is not None
        assert not episode.interventions.any()


def test_the_report_is_one_page_without_outside_resources(demo: Demo) -> None:
    page = (demo.folder / 'report.html').read_text()
    assert page.count('data:image/jpeg;base64,') >= 2
    assert 'http://' not in page.replace('http://www.w3.org', '')
    assert 'https://' not in page


def test_a_second_graph_is_refused(tmp_path: Path, start, specs, probe) -> None:
    start([s for s in specs if s.name == 'episode'])
    probe.wait(lambda: probe.node.count_publishers('/vvf/episode/heartbeat') > 0, 'the first graph')
    command = [sys.executable, '-m', 'vvf', 'up', 'pick_place', '--log-dir', str(tmp_path / 'log')]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert 'another graph runs' in done.stderr
