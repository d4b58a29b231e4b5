# SPDX-License-Identifier: Apache-2.0
"""`vvf view`: what the recording for the Rerun viewer holds, by Rerun's own reader."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vvf.bag_factory import state, write_episode
from vvf.cli.main import main
from vvf.images import decode
from vvf.viz.rerun_view import LOOPBACK, TIMELINE, viewer_command, without_statistics


def entities(path: Path) -> dict[str, dict[str, Any]]:
    """Per entity its times in seconds and its columns, by name less the archetype's."""
    from rerun.chunk import RrdReader

    reader = RrdReader(path)
    assert len(reader.blueprints()) == 1
    found: dict[str, dict[str, Any]] = {}
    for chunk in reader.stream().to_chunks():
        table = chunk.to_record_batch()
        columns = found.setdefault(chunk.entity_path, {})
        assert chunk.is_static or chunk.timeline_names == [TIMELINE]
        for name in table.schema.names:
            columns.setdefault(name.rpartition(':')[2], []).extend(table.column(name).to_pylist())
    for columns in found.values():
        if TIMELINE in columns:
            columns[TIMELINE] = [t.total_seconds() for t in columns[TIMELINE]]
    return found


def test_everything_of_an_episode_is_on_one_time_line(tmp_path: Path) -> None:
    bag = write_episode(tmp_path / 'a', live=True, takeover=(2, 5))
    out, numbers = tmp_path / 'new' / 'a.rrd', tmp_path / 'n.json'
    assert main(['view', str(bag), '--save', str(out), '--json', str(numbers)]) == 0
    found = entities(out)
    times = [0.1 * i for i in range(12)]
    assert found['/cameras/shoulder'][TIMELINE] == pytest.approx(times)
    blob = found['/cameras/wrist']['blob'][3]
    assert decode(np.array(blob, np.uint8).tobytes()).shape == (48, 48, 3)
    assert found['/progress/live'][TIMELINE] == pytest.approx(times)
    assert np.ravel(found['/progress/live']['scalars']) == pytest.approx(
        [i / 12 for i in range(12)]
    )
    waist = np.ravel(found['/joints/waist']['scalars'])
    assert waist == pytest.approx([state(i)[0] for i in range(12)])
    assert '/value/live' in found
    assert np.ravel(found['/events']['text']).tolist() == [
        'a human takes over', 'a human gives back', 'end: success',
    ]  # fmt: skip
    assert found['/events'][TIMELINE] == pytest.approx([0.2, 0.5, 1.1])
    assert 'put it there' in found['/about']['text'][0][0]
    rows = json.loads(numbers.read_text())['rows']
    assert (rows['cameras/wrist'], rows['progress/live'], rows['events']) == (12, 12, 3)
    assert [p.name for p in out.parent.iterdir()] == ['a.rrd']


def test_usage_statistics_are_off_and_the_users_own_settings_stay() -> None:
    before = os.environ.get('XDG_CONFIG_HOME')
    with without_statistics():
        command = [sys.executable, '-m', 'rerun', 'analytics', 'config']
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        assert json.loads(told.stdout)['analytics_enabled'] is False
    assert os.environ.get('XDG_CONFIG_HOME') == before


def test_the_viewer_listens_on_loopback_only() -> None:
    command = viewer_command(Path('a.rrd'))
    assert command[command.index('--bind') + 1] == LOOPBACK == '127.0.0.1'


def test_mistakes_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in 'ab':
        write_episode(tmp_path / 'run' / name)
    run, out = str(tmp_path / 'run'), str(tmp_path / 'e.rrd')
    assert main(['view', run, '--save', out]) == 2
    assert 'holds 2 episodes, from a to b' in capsys.readouterr().err
    assert main(['view', run, '--episode', '3', '--save', out]) == 2
    assert main(['view', run, '--episode', 'b', '--save', str(tmp_path / 'e.mp4')]) == 2
    assert '.rrd' in capsys.readouterr().err
    for screen in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(screen, raising=False)
    assert main(['view', run, '--episode', '2']) == 2
    assert 'no screen' in capsys.readouterr().err
